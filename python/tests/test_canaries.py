"""Canaries: a word of its own for each place where a user, a model or a provider may say something, through every route
of the server and every call of the package. None is found in the data folder, in what is logged, or in what is shown to
others."""

from __future__ import annotations

import http.client
import inspect
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import kalibr
import pytest
from canaries import Canaries, files_of, test_a_canary_is_found_in_every_form
from conftest import LAB, Home
from fake_provider import FakeProvider, fake_provider
from gateway import program
from kalibr import feedback

__all__ = ["test_a_canary_is_found_in_every_form"]

ROUTER = Path(__file__).parents[2] / "crates" / "kalibr-server" / "src" / "router.rs"

CHAT, SIGNALS = "/v1/chat/completions", "/v1/signals"
TRACE = "0123456789abcdef0123456789abcdef"

# fmt: off
FIELDS = [
    "action_type", "at", "baseline", "category", "comment", "confidence", "contract", "dimension", "dimensions",
    "edit_diff", "edit_ratio", "edited_output", "exploration_cap", "failure_reason", "floor", "goal", "guarantee",
    "half_life", "holdout", "id", "limits", "meta_prompt_id", "metadata", "model", "momentum", "objective", "output",
    "paths", "pipeline_step", "prompt", "raw_evidence", "reason", "risk", "risk_delta", "rollback_error", "run_id",
    "satisfied", "score", "session_id", "session_momentum", "signal_source", "signal_type", "signals", "step_name",
    "strength", "success", "tenant_id", "trace_id", "type", "user_cap", "user_message", "messages", "stream",
    "tools", "user",
]
# fmt: on


def routes() -> set[tuple[str, str]]:
    """All methods and addresses that the server knows, from the source of its router."""
    statements = re.findall(r'\.route\(\s*"([^"]+)",\s*(.*?)\)\s*(?=\.|//)', ROUTER.read_text(), re.DOTALL)
    found = {
        (method.upper(), address)
        for address, handlers in statements
        for method in re.findall(r"\b(get|post|put|delete|patch|any)\(", handlers)
    }
    assert len(statements) == ROUTER.read_text().count(".route("), "a route is written in a way that is not read here"
    return found


class Server:
    """The program, with its log at its loudest and its output in files beside its data folder."""

    def __init__(self, folder: Path, provider: FakeProvider) -> None:
        self.home, self.logs = folder / "home", folder / "logs"
        self.home.mkdir()
        self.logs.mkdir()
        config = f'{LAB}\n[providers.fake]\nbase_url = "{provider.base_url}"\n'
        config += '[goals.g]\npaths = ["fake/echo"]\n'
        (self.home / "kalibr.toml").write_text(config)
        self.env = {"PATH": os.environ.get("PATH", ""), "KALIBR_HOME": str(self.home), "KALIBR_LOG": "trace"}
        out, err = (self.logs / "stdout").open("wb"), (self.logs / "stderr").open("wb")
        self.process = subprocess.Popen(
            [program(), "serve", "--listen", "127.0.0.1:0"], env=self.env, stdout=out, stderr=err
        )
        self.address = self._said()
        self.heard: dict[str, bytes] = {}

    def _said(self) -> str:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            said = re.search(r"http://(\S+)", (self.logs / "stdout").read_text())
            if said:
                return said.group(1)
            time.sleep(0.05)
        raise AssertionError(f"the server does not start: {(self.logs / 'stderr').read_text()[-2000:]}")

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(timeout=40) == 0

    def call(
        self, method: str, address: str, body: bytes | object | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        raw = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self.address, timeout=20)
        try:
            sent = {name: value.encode().decode("latin-1") for name, value in (headers or {}).items()}
            try:
                connection.request(method, address, raw, {"content-type": "application/json", **sent})
                reply = connection.getresponse()
                return reply.status, str(reply.getheaders()).encode() + b"\n" + reply.read()
            except (BrokenPipeError, ConnectionResetError):
                # A route that wants no body hangs up on a huge one.
                return 0, b""
        finally:
            connection.close()

    def hear(
        self, method: str, address: str, body: Any = None, headers: dict[str, str] | None = None, note: str = ""
    ) -> int:
        """Calls, and keeps what came back: no canary may be in it."""
        status, said = self.call(method, address, body, headers)
        self.heard[f"{method} {address[:60]} {note} -> {status} #{len(self.heard)}"] = said
        return status

    def program(self, *arguments: str, stdin: bytes = b"") -> None:
        done = subprocess.run([program(), *arguments], env=self.env, input=stdin, capture_output=True, timeout=60)
        self.heard[f"kalibr {' '.join(a[:20] for a in arguments)} #{len(self.heard)}"] = done.stdout + done.stderr


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with fake_provider() as provider:
        running = Server(tmp_path, provider)
        try:
            yield running
        finally:
            if running.process.poll() is None:
                running.process.kill()
                running.process.wait()


def chat(canaries: Canaries, model: str, note: str, **more: Any) -> dict[str, Any]:
    word = canaries.make
    return {
        "model": model,
        "messages": [
            {"role": "system", "content": word(f"system prompt {note}")},
            {"role": "user", "name": word(f"user name {note}", plain=True), "content": word(f"prompt {note}")},
        ],
        "user": word(f"user field {note}", plain=True),
        "metadata": {word(f"metadata key {note}"): word(f"metadata {note}")},
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": word(f"tool name {note}", plain=True),
                    "description": word(f"tool description {note}"),
                    "parameters": {"type": "object", "properties": {word(f"tool argument {note}"): {}}},
                },
            }
        ],
        word(f"unknown field {note}", plain=True): word(f"unknown value {note}"),
        **more,
    }


def people(canaries: Canaries, note: str) -> dict[str, str]:
    word = canaries.make
    return {
        "x-kalibr-session": word(f"session header {note}", plain=True),
        "x-kalibr-user": word(f"user header {note}"),
        "authorization": f"Bearer {word(f'authorization {note}', plain=True)}",
        "cookie": f"id={word(f'cookie {note}', plain=True)}",
        "user-agent": word(f"user agent {note}", plain=True),
        "referer": f"http://127.0.0.1/{word(f'referer {note}', plain=True)}",
        "x-request-id": word(f"another header {note}", plain=True),
    }


def well_formed(server: Server, canaries: Canaries, key: tuple[str, str]) -> None:
    """Calls a route as it is meant to be called, with a canary wherever it takes something of a user's."""
    method, address = key
    word = canaries.make

    def session(note: str) -> str:
        return quote(word(f"session of {method} {address} {note}", plain=True))

    def at(id: str) -> str:
        return address.replace("{id}", id).replace("{name}", id)

    said = {name: word(f"{name} of {address}") for name in ("reason", "comment", "failure_reason", "raw_evidence")}
    diff = f"@@ -1 +1 @@\n-{word(f'removed in {address}', plain=True)}\n+{word(f'added in {address}', plain=True)}\n"
    match key:
        case ("POST", "/v1/chat/completions"):
            for model in ("goal:g", "fake/echo", "goal:echo2"):
                # What the model says is the caller's own: it is not looked at in the answer.
                for stream in (False, True):
                    note = f"{model} {stream}"
                    server.call(method, address, chat(canaries, model, note, stream=stream), people(canaries, note))
            for model in ("refuse", "unauthorized", "limited", "down", "cut", "garbage"):
                server.call("PUT", f"/v1/goals/{model}", {"paths": [f"fake/{model}"]})
                for stream in (False, True):
                    note = f"{model} {stream}"
                    for name in (f"goal:{model}", f"fake/{model}"):
                        server.call(method, address, chat(canaries, name, note + name, stream=stream))
        case ("PUT", _):
            assert server.hear(method, at("made"), {"paths": ["lab/good"]}) == 200
        case ("POST", "/v1/signals"):
            body = {"type": "user_rejected", "session_id": word("session_id of a signal", plain=True), **said}
            more = {name: word(f"{name} of a signal") for name in ("metadata", "dimensions", "step_name", "tenant_id")}
            assert server.hear(method, address, {**body, **more}) == 202
            assert server.hear(method, address, {"signals": [body, {**body, "type": "output_copied"}]}) == 200
            assert server.hear(method, address, {**body, "type": "output_edited", "edit_diff": diff}) == 202
        case ("POST", "/v1/sessions/{id}/runs"):
            body = {
                "goal": "g",
                "model": "fake/echo",
                "run_id": word("run_id"),
                "prompt": word("prompt of a run"),
                "output": word("output of a run"),
            }
            assert server.hear(method, at(session("run")), body) == 200
        case ("POST", "/v1/sessions/{id}/turns"):
            for opening in ("That's wrong, try again. ", "Thanks, perfect! ", "And what of "):
                body = {"user_message": opening + word(f"user_message {opening}"), "reason": word("reason of a turn")}
                assert server.hear(method, at(session(opening)), body) in (200, 202)
                before = {name: word(f"{name} {opening}") for name in ("prior_user_prompt", "prior_output")}
                assert server.hear(method, at(session(opening + "after all")), {**body, **before}) in (200, 202)
        case ("POST", "/v1/sessions/{id}/actions"):
            body = {"action_type": "output_edited", "edit_ratio": 0.5, **said}
            assert server.hear(method, at(session("action")), body) == 202
            edited = {"action_type": "output_edited"}
            assert server.hear(method, at(session("diff")), {**edited, "edit_diff": diff}) == 202
            assert server.hear(method, at(session("edited")), {**edited, "edited_output": word("edited output")}) == 422
        case ("POST", "/v1/classify"):
            names = ("user_message", "prior_user_prompt", "prior_output")
            assert server.hear(method, address, {name: word(f"{name} to classify") for name in names}) == 200
        case ("POST", "/v1/sessions/{id}/end"):
            assert server.hear(method, at(session("end")), {"satisfied": False, **said}) == 202
        case ("GET", "/v1/decisions/{id}"):
            for place in ("session header goal:g False", "run_id"):
                assert server.hear(method, at(quote(canaries.made[place]))) in (200, 404)
        case ("GET" | "DELETE", "/v1/sessions/{id}/export" | "/v1/sessions/{id}"):
            id = canaries.made["session header goal:g True" if method == "DELETE" else "session header goal:g False"]
            assert server.hear(method, at(id)) == 200
        case ("GET" | "DELETE", "/v1/users/{id}/export" | "/v1/users/{id}"):
            assert server.hear(method, at(quote(word(f"user of {method} {address}")))) == 200
        case ("DELETE", "/v1/signals/{id}"):
            # A signal's id is kept as it is: it is no place for anything of a user's.
            assert server.hear(method, at("signal-1")) == 200
        case (_, "/v1/goals/{name}/replay"):
            assert server.hear(method, at("g") + "?policy=uniform") == 200
        case (_, "/v1/goals/{name}") | ("POST" | "DELETE", _):
            server.hear(method, at("made"))
        case ("GET", "/healthz" | "/v1/models" | "/v1/models/{*id}" | "/v1/goals"):
            server.hear(method, address.replace("{*id}", "fake/echo"))
        case _:
            raise AssertionError(f"{method} {address} is a route without canaries: add a case that calls it with some")


def misused(server: Server, canaries: Canaries, key: tuple[str, str]) -> None:
    """Calls a route in every wrong way, with a canary in what is wrong."""
    method, address = key
    word = canaries.make

    def place(note: str, **more: Any) -> str:
        return word(f"{note} of {method} {address}", **more)

    plain = address.replace("{*id}", "lab/good").replace("{id}", "fine").replace("{name}", "g")
    if method in ("POST", "PUT"):
        broken = [
            b'{"reason": "' + place("broken JSON").encode() + b'"',
            b'{"' + place("broken key", plain=True).encode() + b'" 1}',
            place("no JSON").encode(),
            b"[" + json.dumps(place("a list")).encode() + b"]",
            json.dumps(place("a string")).encode(),
            b'{"x": "\xff' + place("no UTF-8", plain=True).encode() + b'"}',
            b"{" + json.dumps(place("in a huge body")).encode() + b": " + b" " * (9 << 20),
        ]
        for body in broken:
            server.hear(method, plain, body, note="broken")
        server.hear(method, plain, {place("unknown key", plain=True): place("its value")}, note="unknown")
        wrong = {"type": "user_accepted", "action_type": "output_copied", "satisfied": True, "model": "goal:g"}
        wrong |= {"session_id": "fine", "trace_id": TRACE, "user_message": "no", "paths": ["lab/good"]}
        wrong |= {"messages": [{"role": "user", "content": "?"}]}
        for field in FIELDS if (method, address) in {*ROUTE_NEEDS, ("POST", CHAT)} else []:
            server.hear(method, plain, {field: place(f"wrong {field}")}, note=f"wrong {field}")
            server.hear(method, plain, {field: [place(f"list in {field}")]}, note=f"wrong {field}")
            server.hear(method, plain, {field: {place(f"key in {field}"): 1}}, note=f"wrong {field}")
            server.hear(method, plain, {field: place(f"long {field}", plain=True) * 50}, note=f"long {field}")
            # Each beside all that the route needs, so that it is the one that is wrong.
            needed = {name: value for name, value in wrong.items() if name != field}
            server.call(method, plain, {**needed, field: place(f"one wrong {field}")})
            known = ROUTE_NEEDS.get((method, address))
            # The model of a run is a name, which is kept.
            if known is not None and (field, address) != ("model", "/v1/sessions/{id}/runs"):
                beside = {**known, field: place(f"the only wrong {field}")}
                server.hear(method, plain, beside, note=f"only {field}")
        form = {"content-type": place("content type", plain=True)}
        server.hear(method, plain, b"x=" + place("a form").encode(), form)
    query = "&".join(f"{name}={quote(place(name))}" for name in ("q", "policy", "since"))
    server.hear(method, f"{plain}?{query}")
    for header in ("host", "origin", "x-kalibr-bucket", "x-kalibr-pipeline", "x-kalibr-risk", "x-kalibr-max-cost-usd"):
        value = place(f"header {header}", plain=True) + "/"
        server.hear(method, plain, {"model": "goal:g", "messages": [{"content": "?"}]}, {header: value}, note=header)
    for header in ("x-kalibr-session", "x-kalibr-user", "x-kalibr-max-latency-ms"):
        value = (place(f"header {header}", plain=True) + "/") * 12
        server.hear(method, plain, {"model": "goal:g", "messages": [{"content": "?"}]}, {header: value}, note=header)
    if "{id}" in address or "{name}" in address:
        for note, id in (
            ("unknown id", quote(place("unknown id"))),
            ("slash", quote(place("id with a slash", plain=True)) + "%2F"),
            ("no UTF-8", quote(place("id that is no UTF-8", plain=True)) + "%FF"),
            ("long", quote(place("long id", plain=True)) * 9),
            ("control", quote(place("id with a control character", plain=True)) + "%00"),
        ):
            if "{name}" in address and note == "unknown id":
                # Goals are named by operators, and errors repeat their names to whoever asked for them.
                server.call(method, address.replace("{name}", id), {"paths": []})
            elif address == "/v1/signals/{id}" and note == "unknown id":
                continue
            else:
                server.hear(method, address.replace("{id}", id).replace("{name}", id), note=note)


ROUTE_NEEDS: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", SIGNALS): {"type": "user_accepted", "session_id": "fine"},
    ("POST", "/v1/sessions/{id}/turns"): {"user_message": "That's wrong, try again."},
    ("POST", "/v1/sessions/{id}/actions"): {"action_type": "output_copied"},
    ("POST", "/v1/sessions/{id}/end"): {"satisfied": True},
    ("POST", "/v1/sessions/{id}/runs"): {"goal": "g", "model": "fake/echo"},
    ("PUT", "/v1/goals/{name}"): {"paths": ["fake/echo"]},
}


def test_no_route_lets_a_canary_out(server: Server) -> None:
    canaries = Canaries()
    assert len(routes()) > 20
    server.call("PUT", "/v1/goals/echo2", {"paths": ["fake/tools", "fake/echo"]})
    # What is asked first is looked up later.
    order = sorted(routes(), key=lambda key: (key[1] != CHAT, "{id}/runs" not in key[1], key[0] != "POST", key))
    for key in order:
        well_formed(server, canaries, key)
    for key in sorted(routes()):
        misused(server, canaries, key)
    for address in ("/{}", "/v1/{}", "/v1/sessions/{}", "/v1/sessions/{}/nothing", "/v1/{}/turns", "/v2?{}"):
        for method in ("GET", "POST", "PATCH"):
            word = canaries.make(f"unknown route {method} {address}", plain=True)
            server.hear(method, address.format(word), {word: word})
    session = canaries.made["session header goal:g False"]
    for command in (
        ["goals", "--json"],
        ["explain", session, "--json"],
        ["explain", canaries.make("explained id")],
        ["replay", "g", "--policy", "uniform"],
        ["replay", "g", "--export"],
        ["export", "--session", session],
        ["export", "--user", canaries.make("exported user")],
        ["export", "--tenant", "default"],
        ["erase", "--session", canaries.make("erased session", plain=True), "--dry-run"],
        ["erase", "--session", canaries.make("erased session with a slash", plain=True) + "/", "--yes"],
        ["erase", "--user", canaries.make("erased user"), "--yes", "--json"],
        ["erase", "--before", "9000d", "--yes"],
        ["doctor", "--json"],
    ):
        server.program(*command)
    server.stop()

    logged = files_of(server.logs)
    assert len(logged["stderr"]) > 10_000, "the log is not at its loudest"
    kept = files_of(server.home)
    assert b"fake/echo" in kept["ledger.db"]
    assert canaries.found_in(kept, binary=True) == []
    assert canaries.found_in({**logged, **server.heard}) == []


SCRIPT = """
import asyncio, contextlib, json, logging, pickle, sys, traceback
from pathlib import Path
logging.basicConfig(level=0, stream=sys.stderr)
sys.path.insert(0, TESTS)
from canaries import Canaries
import kalibr
from kalibr import errors, feedback
from kalibr.middleware import *

canaries = Canaries()
word = canaries.make

@contextlib.contextmanager
def failing(what):
    try:
        yield
    except Exception as error:
        print(what, error, repr(error), error.args, error.__cause__, repr(error.__context__))
        traceback.print_exc()
        logging.exception(what)

def check(text):
    raise ValueError(word("raised by success_when") + text)

def score(text):
    raise ValueError(word("raised by score_when") + text)

def said(note):
    return [{"role": "system", "content": word("system " + note)}, {"role": "user", "content": word("prompt " + note)}]

def tools(note):
    described = {"name": word("tool " + note, plain=True), "description": word("tool description " + note)}
    return [{"type": "function", "function": described}]

session, user = word("session", plain=True), word("user")
about = {"session_id": session, "user": user}
router = kalibr.Router("g", ["fake/echo"], success_when=check, score_when=score)
more = {"tools": tools("of a call"), "metadata": {word("metadata key"): word("metadata")}}
result = router.completion(said("of a call"), **about, **more)
print(result, repr(result), kalibr.track_run(result))
pickle.loads(pickle.dumps(result.trace_id))
stream = router.completion(said("of a stream"), stream=True, **about)
print(stream, list(stream) and "")
asyncio.run(router.acompletion(said("of an awaited call"), **about))

async def streamed():
    stream = await router.acompletion(said("of an awaited stream"), stream=True, **about)
    print(stream)
    async for _ in stream:
        pass

asyncio.run(streamed())
for model in ("refuse", "unauthorized", "limited", "down", "cut", "garbage"):
    other = kalibr.Router(f"g-{model}", [f"fake/{model}"])
    for streams in (False, True):
        with failing(model):
            list(other.completion(said(f"to {model} {streams}"), stream=streams))
print(router.decide(**about), repr(router))
router.report(False, reason=word("reported reason"))

with failing("surrogate"):
    router.completion([{"role": "user", "content": word("half a surrogate") + chr(0xD800)}])
with failing("no JSON"):
    router.completion([{"role": "user", "content": {word("in a set")}}])
with failing("no list"):
    router.completion(word("no list"))
with failing("context"):
    router.completion(said("with a context"), context={word("context key"): word("context value")})
with failing("bad context"):
    router.completion(said("with a bad context"), context={"risk": word("risk"), "max_cost_usd": word("cost")})
for name in ("session_id", "user", "pipeline_id", "force_model"):
    with failing(name):
        router.decide(**{name: word(f"long {name}", plain=True) * 20 + "/"})
    with failing(name):
        router.decide(**{name: [word(f"list as {name}")]})
    with failing(name):
        router.decide(**{name: word(f"surrogate in {name}") + chr(0xD800)})
with failing("paths"):
    kalibr.Router("g", [{"model": "fake/echo", "params": word("params of a path")}])
with failing("number"):
    kalibr.Router("g", word("paths"), success_when=word("success_when"))
with failing("explain"):
    kalibr.explain(word("explained"))
for call in (kalibr.explain, lambda id: kalibr.erase(user=id), lambda id: kalibr.export(session_id=id)):
    with failing("surrogate"):
        call(word(f"surrogate for {call}") + chr(0xD800))
with failing("moment"):
    kalibr.erase(before=word("moment"))
with failing("explain"):
    kalibr.explain({"trace_id": word("explained in a dict")})
with failing("export"):
    kalibr.export(user=word("exported user"), session_id=word("exported session"))
with failing("erase"):
    kalibr.erase(session_id=word("erased session", plain=True) + "/")
print(kalibr.export(user=user), kalibr.export(session_id=session))
print(kalibr.erase(user=word("erased user")), kalibr.erase(session_id=word("erased", plain=True), dry_run=True))

def every(function, **right):
    # Each argument wrong, alone and in every way; loudly and quietly.
    def wrong(name):
        place = f"{function.__name__} {name}"
        # Names that programs choose are kept as they are, and are no place for anything of a user's.
        if name not in ("goal", "model", "signal_id"):
            yield word(place)
        yield word(place + " long", plain=True) * 50
        yield [word(place + " in a list")]
        yield {word(place + " as a key"): word(place + " in a dict")}
        yield type("Anything", (), {"__repr__": lambda self: word(place + " repr")})()
        yield word(place + " surrogate") + chr(0xD800)
        yield word(place + " bytes").encode()
    for name in __import__("inspect").signature(function).parameters:
        if name == "strict":
            continue
        for value in wrong(name):
            print(function.__name__, name, function(**{**right, name: value}))
            with failing(function.__name__):
                function(**{**right, name: value}, strict=True)

every(feedback.user_accepted)
every(feedback.user_rejected)
every(feedback.emit_signal, signal_type="output_copied")
every(feedback.report_pipeline, session_id="fine", goal="g", model="m")
every(feedback.report_user_turn, session_id="fine", user_message="no")
every(feedback.report_action, session_id="fine", action_type="output_copied")
every(feedback.report_session_end, session_id="fine", satisfied=True)
every(feedback.withdraw_signal, signal_id="fine")
every(feedback.track_run, result=result)
every(router.report, success=True)

feedback.report_user_turn(session, "That's wrong, try again. " + word("message"))
other = word("other session", plain=True)
feedback.report_pipeline(other, "new", prompt=word("prompt"), output=word("output"), model="m")
before = {"prior_output": word("prior output"), "prior_user_prompt": word("prior prompt")}
print(kalibr.classify_satisfaction(word("message to classify"), **before), kalibr.classifier())
for wrong in ([word("message in a list")], {word("message as a key"): 1}, word("message in bytes").encode()):
    with failing("classify"):
        kalibr.classify_satisfaction(wrong)
print(kalibr.health(), kalibr.goals(), kalibr.explain(result.trace_id), kalibr.explain(session))
assert feedback.flush(30)
Path(MADE).write_text(json.dumps(canaries.made))
print("finished")
assert kalibr.close(30)
"""

CALLED = {
    *("classifier", "classify_satisfaction"),
    *("Router", "close", "erase", "explain", "export", "flush", "goals", "health", "track_run"),
    *("emit_signal", "report_action", "report_pipeline", "report_session_end", "report_user_turn"),
    *("user_accepted", "user_rejected", "withdraw_signal"),
    *("acompletion", "completion", "decide", "report"),
}


def test_every_public_call_is_given_canaries() -> None:
    functions = {name for name in (*kalibr.__all__, *feedback.__all__) if inspect.isfunction(_public(name))}
    methods = {name for name, _ in inspect.getmembers(kalibr.Router, inspect.isfunction) if not name.startswith("_")}
    assert functions | methods | {"Router"} == CALLED, "give what is new its canaries in SCRIPT, and name it in CALLED"
    assert all(re.search(rf"\b{name}\(|\.{name}\b", SCRIPT) for name in CALLED)


def _public(name: str) -> Any:
    return getattr(kalibr, name, None) or getattr(feedback, name)


def test_no_call_lets_a_canary_out(home: Home, tmp_path: Path) -> None:
    made = tmp_path / "made.json"
    with fake_provider() as provider:
        home.add_config(f'[providers.fake]\nbase_url = "{provider.base_url}"\n')
        tests = str(Path(__file__).parent)
        done = home.run(f"TESTS, MADE = {tests!r}, {str(made)!r}\n{SCRIPT}", check=False, timeout=240)
        sent = json.dumps(provider.requests)
    assert "finished" in done.stdout, done.stderr[-3000:]
    canaries = Canaries()
    canaries.made = json.loads(made.read_text())
    assert len(canaries.made) > 400
    # What is meant for the model reaches it, and who asks does not.
    assert canaries.made["prompt of a call"] in sent and canaries.made["tool of a call"] in sent
    assert canaries.made["session"] not in sent and canaries.made["user"] not in sent
    assert b"fake/echo" in files_of(home.path)["ledger.db"]
    shown = {"stdout": done.stdout.encode(), "stderr": done.stderr.encode()}
    assert canaries.found_in(files_of(home.path), binary=True) == []
    assert canaries.found_in(shown) == []
