"""The classifier model: asked in the background about messages that the local classifier cannot tell."""

from __future__ import annotations

import time
from collections.abc import Iterator

import kalibr
import pytest
from conftest import HELLO, Home
from fake_provider import FakeProvider, fake_provider
from kalibr import feedback

VAGUE = "hm, the second part reads a bit odd to me"


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with fake_provider() as running:
        yield running


def configure(home: Home, provider: FakeProvider, model: str, more: str = "") -> None:
    home.add_config(
        f'[providers.fake]\nbase_url = "{provider.base_url}"\n'
        f'[classifier]\nmodel = "fake/{model}"\nask_below = 1.0\n{more}\n'
    )


def verdicts(run: str, wanted: int = 1) -> list[tuple[str, str]]:
    """The signals of a run, once there are as many as wanted."""
    deadline = time.monotonic() + 20
    while True:
        evidence = kalibr.explain(run)["evidence"]
        if len(evidence) >= wanted or time.monotonic() > deadline:
            return [(signal["signal_id"], signal["value"]) for signal in evidence]
        time.sleep(0.02)


def test_a_message_that_cannot_be_told_becomes_a_signal_under_its_own_id(home: Home, provider: FakeProvider) -> None:
    configure(home, provider, "judge")
    result = kalibr.Router("g", ["lab/good"]).completion(HELLO, session_id="s")
    assert feedback.report_user_turn("s", VAGUE, prompt="what came", output="before it", signal_id="t1")
    assert verdicts(result.trace_id) == [("t1", "rejection_by_model")]
    sent = str(provider.requests[0]["messages"])
    assert "what came" in sent and "before it" in sent and VAGUE in sent
    asked = kalibr.classifier()
    assert asked is not None
    assert (asked["model"], asked["state"], asked["queued"], asked["rejections"]) == ("fake/judge", "on", 1, 1)


def test_a_message_that_is_reported_before_the_engine_is_open_is_asked_about_too(
    home: Home, provider: FakeProvider
) -> None:
    configure(home, provider, "judge")
    trace = "0123456789abcdef0123456789abcdef"
    assert feedback.report_user_turn(user_message=VAGUE, trace_id=trace, signal_id="early")
    deadline = time.monotonic() + 20
    while home.signals() != ["early"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_slow_model_delays_neither_the_caller_nor_flush_nor_the_end(home: Home, provider: FakeProvider) -> None:
    configure(home, provider, "judge-slow", "queue = 8")
    router = kalibr.Router("g", ["lab/good"])
    router.completion(HELLO, session_id="s")
    begun = time.monotonic()
    assert all(feedback.report_user_turn("s", VAGUE) for _ in range(100))
    assert kalibr.flush()
    assert time.monotonic() - begun < 2
    asked = kalibr.classifier()
    assert asked is not None and asked["queued"] + asked["dropped"] == 100 and asked["dropped"] >= 84
    begun = time.monotonic()
    assert kalibr.close()
    assert time.monotonic() - begun < 4


def test_without_a_classifier_model_no_text_is_held_and_nobody_is_asked(home: Home) -> None:
    kalibr.Router("g", ["lab/good"]).completion(HELLO, session_id="s")
    assert feedback.report_user_turn("s", VAGUE)
    assert kalibr.classifier() is None


def test_what_is_put_to_the_model_is_redacted_and_left_nowhere_else(home: Home, provider: FakeProvider) -> None:
    configure(home, provider, "judge")
    done = home.run(
        """
        import logging, sys, time
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
        import kalibr
        from kalibr import feedback

        result = kalibr.Router("g", ["lab/good"]).completion([{"role": "user", "content": "x"}], session_id="s")
        feedback.report_user_turn("s", "hm CANARY, write to canary@example.org", prompt="CANARY", output="CANARY")
        while not kalibr.explain(result.trace_id)["evidence"]:
            time.sleep(0.02)
        print(kalibr.classifier(), kalibr.explain(result.trace_id))
        """
    )
    sent = str(provider.requests)
    assert "CANARY" in sent and "canary@" not in sent
    assert "rejection_by_model" in done.stdout and "CANARY" not in done.stdout and "CANARY" not in done.stderr
    for file in home.path.rglob("*"):
        assert b"CANARY" not in file.read_bytes(), file


def test_a_classifier_that_cannot_be_is_a_configuration_error(home: Home) -> None:
    home.add_config('[classifier]\nmodel = "m"\nbudget_usd_per_day = -1.0\n')
    with pytest.raises(kalibr.ConfigError, match="budget_usd_per_day"):
        kalibr.goals()
