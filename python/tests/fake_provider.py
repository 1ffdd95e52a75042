"""An OpenAI-compatible endpoint on loopback whose models each behave in one way, for tests of what providers do."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ERRORS = {"refuse": 400, "unauthorized": 401, "limited": 429, "down": 500}


class FakeProvider(ThreadingHTTPServer):
    """Keeps what it was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[dict[str, Any]] = []
        self.gave_up = threading.Event()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeProvider

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append(request)
        model, said = request["model"], request["messages"][-1]["content"]
        if model in ERRORS:
            return self._send(ERRORS[model], {"error": {"message": f"cannot: {said}", "type": "test_error"}})
        if model == "slow":
            time.sleep(float(said))
        if model.startswith("judge"):
            time.sleep(5 if model == "judge-slow" else 0)
            # What a classifier model is told to repeat, and what it makes of the message.
            key = request["messages"][0]["content"].rsplit('"key": "')[-1].split('"')[0]
            said = json.dumps({"label": "rejection", "confidence": 0.9, "key": key})
        if model == "garbage":
            return self._raw(200, b"this is no JSON")
        if request.get("stream"):
            return self._stream(model, said, bool((request.get("stream_options") or {}).get("include_usage")))
        message: dict[str, Any] = {"role": "assistant", "content": said}
        if model == "tools":
            call = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"of": 1}'}}
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        return self._send(
            200,
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1,
                "model": f"{model}-2026-01-01",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
            },
        )

    def _send(self, status: int, body: object) -> None:
        self._raw(status, json.dumps(body).encode())

    def _raw(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        if status == 429:
            self.send_header("retry-after", "7")
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, model: str, said: str, usage: bool) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        deltas: list[dict[str, Any]] = [{"content": word + " "} for word in said.split()]
        if model == "tools":
            deltas = [
                {"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "look_up", "arguments": '{"of"'}}]},
                {"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]},
            ]
        for i, delta in enumerate(deltas):
            if model == "cut" and i == 2:
                return
            self._event(model, delta, None)
            if model == "endless":
                self._until_nobody_listens(model, delta)
        self._event(model, {}, "stop")
        if usage:
            used = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
            self.wfile.write(
                b"data: " + json.dumps({"id": "chatcmpl-1", "choices": [], "usage": used}).encode() + b"\n\n"
            )
        self.wfile.write(b"data: [DONE]\n\n")

    def _until_nobody_listens(self, model: str, delta: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._event(model, delta, None)
                time.sleep(0.01)
        self.server.gave_up.set()

    def _event(self, model: str, delta: dict[str, Any], finish: str | None) -> None:
        chunk = {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": f"{model}-2026-01-01",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }
        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.flush()


@contextlib.contextmanager
def fake_provider() -> Iterator[FakeProvider]:
    """Runs it for the length of a `with` block."""
    server = FakeProvider()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
