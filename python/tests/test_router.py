"""Deciding and completing: what goes out, what comes back, and what goes wrong."""

from __future__ import annotations

import asyncio
import logging
import math
import pickle
import time
from collections.abc import Iterator
from typing import Any

import kalibr
import pytest
from conftest import HELLO, Home
from fake_provider import FakeProvider, fake_provider


@pytest.fixture
def provider(home: Home) -> Iterator[FakeProvider]:
    with fake_provider() as server:
        home.add_config(f'[providers.fake]\nbase_url = "{server.base_url}"\n')
        yield server


def say(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def metric(trace_id: str) -> list[tuple[str, float]]:
    evidence = kalibr.explain(trace_id)["evidence"]
    return [(e["value"], e["strength"]) for e in evidence if e["source"] == "metric"]


def test_decide_tells_what_was_chosen_and_how_likely(home: Home) -> None:
    router = kalibr.Router("g", ["lab/good", {"model": "lab/poor", "tools": ["search"], "params": {"temperature": 0}}])
    choices = [router.decide() for _ in range(40)]
    for choice in choices:
        assert {"trace_id", "goal", "model", "tools", "params", "path_id", "propensity", "reason"} <= set(choice)
        assert choice["propensity"] == pytest.approx(0.5)
        assert choice["path_id"] in {path["path_id"] for path in router.paths}
    poor = next(choice for choice in choices if choice["model"] == "lab/poor")
    assert (poor["tools"], poor["params"]) == (["search"], {"temperature": 0})
    forced = router.decide(force_model="lab/good")
    assert (forced["model"], forced["reason"], forced["propensity"]) == ("lab/good", "forced", 1.0)


def test_a_router_adds_paths_and_chooses_from_its_own(home: Home) -> None:
    first = kalibr.Router("g", ["lab/good"])
    second = kalibr.Router("g", "lab/poor")
    assert {first.decide()["model"] for _ in range(20)} == {"lab/good"}
    assert {second.decide()["model"] for _ in range(20)} == {"lab/poor"}
    both = kalibr.Router("g")
    assert {both.decide()["model"] for _ in range(60)} == {"lab/good", "lab/poor"}


def test_a_path_decides_model_and_params_and_the_rest_is_the_callers(provider: FakeProvider) -> None:
    router = kalibr.Router("g", [{"model": "fake/echo", "params": {"temperature": 0}}])
    result = router.completion(say("ping"), temperature=1, max_tokens=5, session_id="s", user="u", pipeline_id="p")
    assert result.choices[0].message.content == "ping"
    sent = provider.requests[0]
    assert sent == {"model": "echo", "messages": say("ping"), "temperature": 0, "max_tokens": 5}
    assert (result.model, result["model"]) == ("fake/echo", "echo-2026-01-01")
    assert result.path == {"model": "fake/echo", "tools": [], "params": {"temperature": 0}}
    explained = kalibr.explain(result.trace_id)
    assert (explained["pipeline"], explained["has_session"]) == ("p", True)


def test_context_names_the_bucket(home: Home) -> None:
    router = kalibr.Router("g", ["lab/good"])
    choice = router.decide(context={"bucket": "long"})
    assert choice["bucket"] == kalibr.explain(choice["trace_id"])["bucket"] == "long"
    assert router.completion(HELLO, context={"bucket": "long"}).bucket == "long"


@pytest.mark.parametrize(
    ("context", "says"),
    [
        ({"length": 3}, "context has the keys"),
        ("code", "context is a dict"),
        ({"bucket": 3}, "bucket is a string"),
        ({"bucket": ""}, "bucket's name is empty"),
        ({"bucket": "a/b"}, "bucket's name has a slash"),
        ({"bucket": "x" * 201}, "bucket's name is too long"),
    ],
)
def test_a_context_that_names_no_bucket_is_refused(home: Home, context: Any, says: str) -> None:
    router = kalibr.Router("g", ["lab/good"])
    with pytest.raises(kalibr.InvalidRequestError, match=says):
        router.decide(context=context)
    with pytest.raises(kalibr.InvalidRequestError, match=says):
        router.completion(HELLO, context=context)


def test_a_request_may_say_its_risk_and_what_it_may_cost_and_take(home: Home) -> None:
    home.add_config(
        """
        [prices]
        "lab/good" = { input = 10.0, output = 30.0 }
        "lab/poor" = { input = 0.1, output = 0.3 }

        [goals.g]
        paths = ["lab/good", "lab/poor"]
        risk = { "lab/poor" = "high" }
        """
    )
    router = kalibr.Router("g")
    assert {router.decide(context={"max_cost_usd": 0.001})["model"] for _ in range(20)} == {"lab/poor"}
    assert {router.decide(context={"risk": "high"})["model"] for _ in range(20)} == {"lab/good"}
    assert router.completion(HELLO, context={"risk": "medium", "max_latency_ms": 60_000}).model == "lab/good"
    with pytest.raises(kalibr.NoPathError, match="lab/good: expected to cost .* lab/poor: marked as too risky"):
        router.decide(context={"risk": "high", "max_cost_usd": 0.001})
    for wrong, says in (
        ({"risk": "huge"}, "a risk is"),
        ({"max_cost_usd": "1"}, "number of dollars above 0"),
        ({"max_cost_usd": float("nan")}, "number of dollars above 0"),
        ({"max_cost_usd": 1e9}, "max_cost_usd"),
        ({"max_latency_ms": 0.5}, "whole number of milliseconds"),
        ({"max_cost_usd": 10**400}, "up to 1e6"),
        ({"max_latency_ms": 2**64}, "below 2"),
    ):
        with pytest.raises(kalibr.InvalidRequestError, match=says):
            router.decide(context=wrong)


def test_a_goal_that_wants_it_classes_what_its_caller_does_not(home: Home) -> None:
    home.add_config('[goals.classed]\npaths = ["lab/good"]\nbuckets = "auto"\n')
    home.add_config('[goals.unclassed]\npaths = ["lab/good"]\nbuckets = "off"\n')
    code = say("Write a Python function that merges two dicts.")
    router = kalibr.Router("classed")
    result = router.completion(code)
    assert result.bucket == kalibr.explain(result.trace_id)["bucket"] == "code"
    assert router.completion(code, stream=True).bucket == "code"
    assert asyncio.run(router.acompletion(code)).bucket == "code"
    assert router.completion(say("请给我推荐一本关于历史的书。")).bucket == "chat.zh"
    assert router.completion(code, response_format={"type": "json_object"}).bucket == "extraction"
    assert router.completion(code, context={"bucket": "mine"}).bucket == "mine"
    assert router.decide()["bucket"] == "all"
    assert kalibr.Router("unclassed").completion(code).bucket == "all"


def test_acompletion_answers_and_leaves_the_loop_free(provider: FakeProvider) -> None:
    router = kalibr.Router("g", ["fake/slow"])

    async def run() -> float:
        began = time.monotonic()
        answers = await asyncio.gather(*(router.acompletion(say("0.3")) for _ in range(5)))
        assert {answer.choices[0].message.content for answer in answers} == {"0.3"}
        assert len({answer.trace_id for answer in answers}) == 5
        return time.monotonic() - began

    assert asyncio.run(run()) < 1.2


def test_a_cancelled_task_gives_its_call_up_and_nobody_is_blamed(provider: FakeProvider) -> None:
    router = kalibr.Router("g", ["fake/slow"])

    async def run() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(router.acompletion(say("30")), 0.2)

    began = time.monotonic()
    asyncio.run(run())
    assert time.monotonic() - began < 5
    assert kalibr.flush()
    assert kalibr.goals()[0]["learned"][0]["paths"][0]["availability"] > 0.5


def test_a_timeout_of_the_router_is_a_provider_error(provider: FakeProvider) -> None:
    router = kalibr.Router("g", ["fake/slow"], timeout=0.2)
    with pytest.raises(kalibr.ProviderError) as caught:
        router.completion(say("30"))
    assert caught.value.category == "timeout"
    with pytest.raises(kalibr.ProviderError):
        asyncio.run(router.acompletion(say("30")))


@pytest.mark.parametrize(
    ("model", "status", "category"),
    [
        ("refuse", 400, "validation_failed"),
        ("unauthorized", 401, "auth_error"),
        ("limited", 429, "rate_limited"),
        ("down", 500, "provider_error"),
    ],
)
def test_a_providers_error_is_told_in_full_and_not_in_the_message(
    provider: FakeProvider, model: str, status: int, category: str
) -> None:
    router = kalibr.Router("g", [f"fake/{model}"])
    for attempt in (lambda: router.completion(say("CANARY")), lambda: asyncio.run(router.acompletion(say("CANARY")))):
        with pytest.raises(kalibr.ProviderError) as caught:
            attempt()
        error = pickle.loads(pickle.dumps(caught.value))
        assert (error.status, error.category) == (status, category)
        # What may pass is tried again; what cannot is not.
        assert error.attempts == 1 or status == 500
        assert error.body["error"]["message"] == "cannot: CANARY"
        assert "CANARY" not in str(error) + repr(error)
        assert error.retry_after == (7 if status == 429 else None)
        assert kalibr.explain(error.trace_id)["attempts"][0]["failure_category"] == category


def test_a_fallback_answers_and_both_attempts_are_recorded(home: Home) -> None:
    router = kalibr.Router("g", ["lab/broken", "lab/good"])
    answers = [router.completion(HELLO) for _ in range(20)]
    fallbacks = [answer for answer in answers if answer.attempt == 1]
    assert fallbacks and {answer.model for answer in answers} == {"lab/good"}
    assert all(answer.propensity is None for answer in fallbacks)
    attempts = kalibr.explain(fallbacks[0].trace_id)["attempts"]
    assert [(a["model"], a["answered"], a["served"]) for a in attempts] == [
        ("lab/broken", False, False),
        ("lab/good", True, True),
    ]


def test_an_answer_that_is_no_json_is_a_provider_error(provider: FakeProvider) -> None:
    with pytest.raises(kalibr.ProviderError) as caught:
        kalibr.Router("g", ["fake/garbage"]).completion(HELLO)
    assert caught.value.category == "malformed_output"


def test_success_when_speaks_of_the_answers_text(provider: FakeProvider) -> None:
    router = kalibr.Router("g", ["fake/echo"], success_when=lambda text: text == "yes")
    assert metric(router.completion(say("yes")).trace_id) == [("passed", 1.0)]
    assert metric(router.completion(say("no")).trace_id) == [("failed", 0.0)]
    assert metric(asyncio.run(router.acompletion(say("yes"))).trace_id) == [("passed", 1.0)]


def test_success_when_reads_tool_calls_where_there_is_no_text(provider: FakeProvider) -> None:
    seen: list[str] = []
    router = kalibr.Router("g", ["fake/tools"], success_when=lambda text: bool(seen.append(text)) or "look_up" in text)
    assert metric(router.completion(HELLO).trace_id) == [("passed", 1.0)]
    for _ in router.completion(HELLO, stream=True):
        pass
    assert len(seen) == 2 and all('{\\"of\\": 1}' in text for text in seen)


def test_a_check_that_raises_is_no_success_and_never_the_callers_problem(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    def check(text: str) -> bool:
        raise ValueError(f"cannot parse {text}")

    router = kalibr.Router("g", ["lab/good"], success_when=check)
    with caplog.at_level(logging.DEBUG):
        results = [router.completion(HELLO) for _ in range(3)]
    assert all(metric(result.trace_id) == [("failed", 0.0)] for result in results)
    assert len(caplog.records) == 1
    assert "ValueError" in caplog.text and "good:" not in caplog.text


def test_an_async_check_does_not_pass_by_being_a_coroutine(home: Home) -> None:
    async def check(_: str) -> bool:
        return False

    with pytest.raises(TypeError, match="async"):
        kalibr.Router("g", ["lab/good"], success_when=check)
    # One that hides it passes no more for that.
    result = kalibr.Router("g", ["lab/good"], success_when=lambda text: check(text)).completion(HELLO)
    assert metric(result.trace_id) == [("failed", 0.0)]


def test_a_check_that_forgets_to_return_is_a_check_that_failed(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    result = kalibr.Router("g", ["lab/good"], success_when=lambda _: None).completion(HELLO)
    assert metric(result.trace_id) == [("failed", 0.0)]
    assert "success_when" in caplog.text


def test_where_the_score_fails_the_other_check_decides(home: Home) -> None:
    router = kalibr.Router("g", ["lab/good"], success_when=lambda _: True, score_when=lambda _: 1 / 0)
    assert metric(router.completion(HELLO).trace_id) == [("passed", 1.0)]


@pytest.mark.parametrize("how", ["wait_for", "gather", "task"])
def test_report_speaks_of_the_last_call_however_it_was_awaited(home: Home, how: str) -> None:
    async def run() -> None:
        router, other = kalibr.Router("g", ["lab/good"]), kalibr.Router("other", ["lab/good"])
        first = await router.acompletion(HELLO)
        call = router.acompletion(HELLO)
        if how == "wait_for":
            second = await asyncio.wait_for(call, 5)
        elif how == "gather":
            (second,) = await asyncio.gather(call)
        else:
            second = await asyncio.create_task(call)
        await other.acompletion(HELLO)
        assert router.report(True)
        assert (metric(first.trace_id), metric(second.trace_id)) == ([], [("passed", 1.0)])

    asyncio.run(run())


def test_a_router_that_gives_up_names_the_run_and_blames_the_path(home: Home) -> None:
    home.add_config("models.slow = { latency_ms = 60000 }\n")
    router = kalibr.Router("g", ["lab/slow"], timeout=0.05)
    with pytest.raises(kalibr.ProviderError) as late:
        router.completion(HELLO)
    assert late.value.category == "timeout"
    assert kalibr.flush()
    attempt = kalibr.explain(late.value.trace_id)["attempts"][0]
    assert (attempt["answered"], attempt["failure_category"]) == (False, "timeout")


def test_a_call_under_way_ends_when_the_engine_is_closed(home: Home) -> None:
    home.add_config("models.slow = { latency_ms = 60000 }\n")

    async def run() -> None:
        call = asyncio.create_task(kalibr.Router("g", ["lab/slow"]).acompletion(HELLO))
        await asyncio.sleep(0.1)
        assert await asyncio.to_thread(kalibr.close)
        with pytest.raises(kalibr.KalibrError, match="closed"):
            await asyncio.wait_for(call, 10)

    asyncio.run(run())


def test_a_stream_left_at_its_finish_reason_is_checked(home: Home) -> None:
    router = kalibr.Router("g", ["lab/good"], success_when=lambda text: bool(text))
    with router.completion(HELLO, stream=True) as stream:
        for chunk in stream:
            if chunk.choices and chunk.choices[0].finish_reason:
                break
    assert metric(stream.trace_id) == [("passed", 1.0)]


@pytest.mark.parametrize(
    ("score", "expected"),
    [(0.8, ("passed", 0.8)), (0.5, ("passed", 0.5)), (0.2, ("failed", 0.2)), (1.5, ("failed", 0.0))]
    + [(math.nan, ("failed", 0.0)), (math.inf, ("failed", 0.0)), (None, ("failed", 0.0))],
)
def test_score_when_is_success_from_a_half_on(home: Home, score: float, expected: tuple[str, float]) -> None:
    router = kalibr.Router("g", ["lab/good"], score_when=lambda _: score)
    ((value, strength),) = metric(router.completion(HELLO).trace_id)
    assert (value, pytest.approx(strength, abs=1e-3)) == expected


def test_report_speaks_of_the_last_run_of_this_context(home: Home) -> None:
    router = kalibr.Router("g", ["lab/good"])
    first, second = router.completion(HELLO), router.decide()
    assert router.report(success=True, score=0.75)
    assert router.report(False, trace_id=first.trace_id, reason="CANARY", failure_category="tool_error")
    assert metric(second["trace_id"]) == [("passed", pytest.approx(0.75, abs=1e-3))]
    assert metric(first.trace_id) == [("failed", 0.0)]
    assert not kalibr.Router("other", ["lab/good"]).report(True)
    with pytest.raises(kalibr.NoRunError):
        kalibr.Router("another", ["lab/good"]).report(True, strict=True)
    with pytest.raises(kalibr.InvalidSignalError, match="tool_error"):
        router.report(False, failure_category="nonsense", strict=True)
    for score in (2, -0.1, math.nan, math.inf, -math.inf):
        assert not router.report(True, score=score)
        with pytest.raises(kalibr.InvalidSignalError):
            router.report(True, score=score, strict=True)
    assert metric(first.trace_id) == [("failed", 0.0)]


def test_a_path_that_is_listed_twice_is_one_and_so_is_choosing_it_certain(home: Home) -> None:
    router = kalibr.Router("g", ["lab/good", "lab/good", {"model": "lab/good"}])
    assert router.decide()["propensity"] == 1.0
    (goal,) = kalibr.goals()
    assert [path["model"] for path in goal["paths"]] == ["lab/good"]
    assert goal["learned"][0]["verdict"]["sentence"].startswith("nothing to compare")


def test_two_hundred_paths_are_as_good_as_two(home: Home) -> None:
    paths = [{"model": "lab/good", "params": {"seed": number}} for number in range(200)]
    router = kalibr.Router("g", paths)
    for _ in range(20):
        assert router.report(True, trace_id=router.completion(HELLO).trace_id)
    assert kalibr.flush()
    learned = kalibr.goals()[0]["learned"][0]
    assert sum(path["share"] for path in learned["paths"]) == pytest.approx(1)
    assert sum(path["graded"] for path in learned["paths"]) == 20
    assert learned["verdict"]["kind"] == "not_enough_data"


def test_goals_say_how_sure_one_may_be(home: Home) -> None:
    router = kalibr.Router("g", ["lab/good", "lab/poor"])
    router.report(True, trace_id=router.completion(HELLO).trace_id)
    assert kalibr.flush()
    learned = kalibr.goals()[0]["learned"][0]
    assert learned["verdict"]["sentence"].startswith("not enough data yet: about ")
    for path in learned["paths"]:
        assert [path[of]["kind"] for of in ("credible", "guaranteed")] == ["credible", "guaranteed"]
        assert path["credible"]["low"] <= path["expected"] <= path["credible"]["high"]
        assert 0 <= path["expected_loss"] <= 1


@pytest.mark.parametrize(
    ("goal", "paths"),
    [
        ("g", []),
        ("g", [""]),
        ("g", [3]),
        ("g", [{}]),
        ("g", [{"model": "m", "colour": "red"}]),
        ("g", [{"model": "m", "params": {"x": math.nan}}]),
        ("g", [{"model": "m", "params": {"x": object()}}]),
        ("g", 7),
        ("a/b", ["m"]),
        ("", ["m"]),
        (7, ["m"]),
        ("g", ["m"] + [f"m{i}" for i in range(200)]),
    ],
)
def test_a_goal_that_cannot_be_is_a_goal_error_and_changes_nothing(home: Home, goal: str, paths: list[str]) -> None:
    with pytest.raises(kalibr.GoalError):
        kalibr.Router(goal, paths)
    assert kalibr.goals() == []


def test_what_cannot_be_decided_is_an_error_that_says_so(home: Home) -> None:
    with pytest.raises(kalibr.UnknownGoalError, match="nobody_made_this"):
        kalibr.Router("nobody_made_this")
    router = kalibr.Router("g", ["lab/good"])
    with pytest.raises(kalibr.NoPathError):
        router.decide(force_model="lab/poor")
    with pytest.raises(kalibr.InvalidRequestError, match="session id"):
        router.decide(session_id="a/b")
    with pytest.raises(kalibr.InvalidRequestError, match="session_id"):
        router.completion(HELLO, session_id=7)


@pytest.mark.parametrize(
    "messages", [[], "Hello", b"Hello", None, {"role": "user"}, [object()], [{"content": math.nan}]]
)
def test_a_request_that_cannot_be_sent_is_an_error(home: Home, messages: object) -> None:
    router = kalibr.Router("g", ["lab/good"])
    for stream in (False, True):
        with pytest.raises(kalibr.InvalidRequestError):
            router.completion(messages, stream=stream)  # type: ignore[call-overload]
    with pytest.raises(kalibr.InvalidRequestError):
        router.completion([{"role": "user", "content": "\ud800"}])


def test_a_request_of_ten_megabytes_goes_through(provider: FakeProvider) -> None:
    text = "x" * 10_000_000
    result = kalibr.Router("g", ["fake/echo"]).completion(say(text))
    assert result.choices[0].message.content == text


def test_a_configuration_that_cannot_be_used_is_a_config_error(home: Home) -> None:
    home.add_config("nonsense = 3\n")
    with pytest.raises(kalibr.ConfigError, match="nonsense"):
        kalibr.Router("g", ["lab/good"])


def test_goals_of_the_configuration_exist_from_the_start(home: Home) -> None:
    home.add_config('[goals.summary]\npaths = ["lab/good"]\nhalf_life = 50\n')
    assert kalibr.Router("summary").completion(HELLO).model == "lab/good"
    assert kalibr.goals()[0]["settings"]["half_life"] == 50


def test_explain_of_an_unknown_id_is_an_error(home: Home) -> None:
    with pytest.raises(kalibr.NoRunError):
        kalibr.explain("0" * 31 + "1")
