"""Feedback calls: which run they speak of, what they take, and that they are never in the way."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Callable
from typing import Any

import kalibr
import pytest
from conftest import HELLO, Home
from kalibr import feedback

OTHER_TRACE = "ab" * 16


def evidence(trace_id: str) -> list[tuple[str, str, float]]:
    assert kalibr.flush()
    return [(e["source"], e["value"], round(e["strength"], 2)) for e in kalibr.explain(trace_id)["evidence"]]


@pytest.fixture
def router(home: Home) -> kalibr.Router:
    return kalibr.Router("g", ["lab/good", "lab/poor"])


def test_a_run_is_addressed_by_what_is_given_first(router: kalibr.Router) -> None:
    by_run, by_trace, by_session, tracked = (router.completion(HELLO, session_id=f"s{i}") for i in range(4))
    with feedback.track_run(tracked):
        assert feedback.user_accepted(run=by_run, trace_id=by_trace.trace_id, session_id="s2")
        assert feedback.user_accepted(trace_id=by_trace.trace_id, session_id="s2")
        assert feedback.user_accepted(session_id="s2")
        assert feedback.user_accepted()
    for result in (by_run, by_trace, by_session, tracked):
        assert evidence(result.trace_id) == [("explicit", "user_accepted", 1.0)]


@pytest.mark.parametrize("kind", ["response", "dict", "trace id", "handle", "stream"])
def test_whatever_stands_for_a_run_can_be_tracked(router: kalibr.Router, kind: str) -> None:
    stream = router.completion(HELLO, stream=True)
    choice = router.decide()
    response = router.completion(HELLO)
    things: dict[str, Any] = {
        "response": response,
        "dict": choice,
        "trace id": choice["trace_id"],
        "handle": feedback.track_run(response),
        "stream": stream,
    }
    list(stream)
    handle = feedback.track_run(things[kind])
    assert feedback.user_rejected()
    assert evidence(handle.trace_id)[-1] == ("explicit", "user_rejected", 0.0)


@pytest.mark.parametrize("nothing", [None, 7, {}, {"model": "m"}, object()])
def test_what_stands_for_no_run_cannot_be_tracked(home: Home, nothing: object) -> None:
    assert not feedback.track_run(nothing)
    assert not feedback.user_accepted()
    with pytest.raises(kalibr.InvalidSignalError):
        feedback.track_run(nothing, strict=True)


def test_signals_of_every_kind_arrive_with_what_they_say(router: kalibr.Router) -> None:
    result = router.completion(HELLO)
    feedback.track_run(result)
    assert feedback.user_accepted(strength=0.7)
    assert feedback.report_action(action_type="output_edited", edit_ratio=0.0)
    assert feedback.report_action(action_type="output_discarded")
    assert feedback.emit_signal("retry", confidence=0.5)
    assert feedback.report_user_turn(user_message="Perfect, thanks!")
    assert feedback.report_user_turn(user_message="And what about Rome?")
    assert feedback.report_user_turn(user_message="\ud800 go on")
    assert evidence(result.trace_id) == [
        ("explicit", "user_accepted", 0.7),
        ("action", "output_edited", 0.9),
        ("action", "output_discarded", 0.0),
        ("turn", "rejection", 0.0),
        ("turn", "acceptance", 1.0),
    ]


ANSWER = "one two three four five six seven eight\nnine ten eleven twelve\n"
THIRD_LESS = "one two three four five six seven eight\n"
DIFF = "--- a\n+++ b\n@@ -2 +1,0 @@\n-nine ten eleven twelve\n"


def anchored(session: str = "s", **more: Any) -> None:
    assert feedback.report_pipeline(session, "g", prompt="Count!", output=ANSWER, model="lab/good", strict=True, **more)


@pytest.mark.parametrize("told", [{"edited_output": THIRD_LESS}, {"edit_diff": DIFF}, {"edit_ratio": 0.2}])
def test_an_edit_is_graded_by_how_much_of_the_answer_is_left(router: kalibr.Router, told: dict[str, Any]) -> None:
    anchored()
    assert feedback.report_action("s", "output_edited", **told, strict=True)
    # Of 12 words 8 are left, a similarity of 0.8, which counts 0.9 * 0.8 ** 2.
    assert evidence("s") == [("action", "output_edited", 0.58)]


def test_the_answer_of_a_router_is_known_when_its_edit_comes(router: kalibr.Router) -> None:
    result = router.completion(HELLO, session_id="s")
    streamed = router.completion(HELLO, session_id="streamed", stream=True)
    list(streamed)
    text = result.choices[0].message.content
    for run in (result, streamed):
        assert feedback.report_action(run=run, action_type="output_edited", edited_output=text)
        assert feedback.report_action(run=run, action_type="output_edited", edited_output="")
    assert [strength for _, _, strength in evidence(result.trace_id)] == [0.9, 0.0]
    assert len(evidence(streamed.trace_id)) == 2


def test_the_answer_is_known_to_a_process_that_comes_later(router: kalibr.Router) -> None:
    anchored()
    assert kalibr.close()
    assert feedback.report_action("s", "output_edited", edited_output=THIRD_LESS)
    assert evidence("s") == [("action", "output_edited", 0.58)]


def test_an_edit_of_an_answer_that_nobody_saw_is_logged_and_records_nothing(
    router: kalibr.Router, caplog: pytest.LogCaptureFixture
) -> None:
    choice = router.decide()
    with caplog.at_level(logging.DEBUG):
        assert feedback.report_action(trace_id=choice["trace_id"], action_type="output_edited", edited_output="mine")
        assert evidence(choice["trace_id"]) == []
    assert "edit_ratio" in caplog.text and "mine" not in caplog.text


def test_actions_override_turns_are_revised_by_later_ones_and_can_be_withdrawn(router: kalibr.Router) -> None:
    month = 30 * 86_400
    began = time.time() - 4 * month
    anchored(at=began)
    assert feedback.report_user_turn("s", "That's wrong, try again.", at=began + 1)

    def graded() -> tuple[str, float]:
        assert kalibr.flush()
        attempt = kalibr.explain("s")["attempts"][0]
        return attempt["graded_by"], round(attempt["strength"], 2)

    def learned() -> Any:
        assert kalibr.flush()
        return kalibr.goals()[0]["learned"][0]["paths"]

    before = learned()
    assert graded() == ("turn", 0.0)
    for signal_id, after, text, expected in [
        ("second", 2 * month, THIRD_LESS, 0.58),
        ("first", month, "", 0.58),
        ("third", 3 * month, ANSWER, 0.9),
    ]:
        assert feedback.report_action("s", "output_edited", edited_output=text, signal_id=signal_id, at=began + after)
        assert graded() == ("action", expected)
    for signal_id, left in [("third", ("action", 0.58)), ("second", ("action", 0.0)), ("first", ("turn", 0.0))]:
        assert feedback.report_action("s", "output_edited", signal_id=signal_id, withdraw=True, strict=True)
        assert graded() == left
    assert learned() == before


def test_an_action_can_be_withdrawn_before_it_arrives(router: kalibr.Router) -> None:
    anchored()
    assert feedback.report_action(signal_id="early", withdraw=True)
    assert feedback.report_action("s", "output_discarded", signal_id="early")
    assert kalibr.flush()
    assert kalibr.explain("s")["attempts"][0]["graded_by"] is None


def test_a_sessions_end_counts_where_somebody_knows_it(router: kalibr.Router) -> None:
    result = router.completion(HELLO, session_id="s")
    assert feedback.report_session_end("s")
    assert evidence(result.trace_id) == []
    assert feedback.report_session_end("s", satisfied=True)
    assert evidence(result.trace_id) == [("session_end", "satisfied", 1.0)]


def test_a_signal_id_counts_once_and_can_be_withdrawn(home: Home, router: kalibr.Router) -> None:
    result = router.completion(HELLO)
    for _ in range(3):
        assert feedback.user_rejected(trace_id=result.trace_id, signal_id="vote-1")
    assert feedback.withdraw_signal("vote-2")
    assert feedback.user_accepted(trace_id=result.trace_id, signal_id="vote-2")
    assert kalibr.flush()
    assert home.signals("vote-1") == ["vote-1"]
    assert feedback.withdraw_signal("vote-1")
    assert kalibr.flush()
    assert all(e["withdrawn"] for e in kalibr.explain(result.trace_id)["evidence"])
    assert kalibr.explain(result.trace_id)["attempts"][0]["graded_by"] is None


def test_the_event_time_decides_and_not_the_arrival(router: kalibr.Router) -> None:
    result = router.completion(HELLO)
    now = datetime.datetime.now(datetime.timezone.utc)
    assert feedback.user_accepted(trace_id=result.trace_id, at=now)
    assert feedback.user_rejected(trace_id=result.trace_id, at=now.timestamp() - 60)
    assert kalibr.flush()
    assert kalibr.explain(result.trace_id)["attempts"][0]["strength"] == 1.0


def test_a_clock_that_is_set_back_does_not_set_the_users_last_word_back(
    router: kalibr.Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = router.completion(HELLO).trace_id
    assert feedback.user_accepted(trace_id=trace)
    before = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: before - 3_600_000_000_000)
    assert feedback.user_rejected(trace_id=trace)
    assert kalibr.flush()
    assert kalibr.explain(trace)["attempts"][0]["strength"] == 0.0


def test_of_two_words_at_once_the_later_counts(router: kalibr.Router) -> None:
    for _ in range(20):
        feedback.track_run(router.completion(HELLO))
        feedback.user_accepted()
        feedback.user_rejected()
        assert kalibr.flush()
        trace_id = kalibr.runs.current_run().trace_id
        assert kalibr.explain(trace_id)["attempts"][0]["strength"] == 0.0


def test_a_session_links_to_the_routed_run(router: kalibr.Router) -> None:
    linked = {}
    for how in ("output", "run", "trace_id", "tracked", "tracked by the provider's model"):
        result = router.completion(HELLO)
        linked[how] = result.trace_id
        about: dict[str, Any] = {"session_id": how, "goal": "g", "prompt": "p", "output": "text"}
        if how == "output":
            about["output"] = result
        elif how == "run":
            about["run"] = result
        elif how == "trace_id":
            about.update(trace_id=result.trace_id, model="m")
        else:
            feedback.track_run(result)
            about["model"] = result.model if how == "tracked" else result["model"]
        assert feedback.report_pipeline(**about, strict=True)
        assert feedback.report_action(session_id=how, action_type="output_copied")
    for how, trace_id in linked.items():
        assert evidence(trace_id) == [("action", "output_copied", 0.9)], how
        assert kalibr.explain(how)["trace_id"] == trace_id


def test_trace_id_wins_over_the_tracked_run(router: kalibr.Router) -> None:
    named, tracked = router.completion(HELLO), router.completion(HELLO)
    feedback.track_run(tracked)
    assert feedback.report_pipeline("s", "g", model=named.model, trace_id=named.trace_id, strict=True)
    assert feedback.report_action("s", "output_discarded")
    assert evidence(named.trace_id) == [("action", "output_discarded", 0.0)]
    assert evidence(tracked.trace_id) == []


def test_a_tracked_run_does_not_take_over_the_session_of_a_later_call(home: Home) -> None:
    result = kalibr.Router("g", ["lab/good"]).completion(HELLO)
    feedback.track_run(result)
    text = result.choices[0].message.content
    assert feedback.report_pipeline("one", "g", output=text, model="lab/good")
    assert feedback.report_pipeline("two", "g", output="another call, not the router's", model="lab/good")
    assert feedback.report_pipeline("three", "g", output=f" {text}\n", model="lab/good")
    assert kalibr.flush()
    runs = {session: kalibr.explain(session) for session in ("one", "two", "three")}
    assert runs["one"]["trace_id"] == runs["three"]["trace_id"] == result.trace_id
    assert runs["two"]["kind"] == "observed"


def test_a_response_in_the_first_place_is_the_run_that_is_meant(router: kalibr.Router) -> None:
    tracked, accepted, rejected = (router.completion(HELLO) for _ in range(3))
    feedback.track_run(tracked)
    assert feedback.user_accepted(accepted) and feedback.user_rejected(rejected)
    assert not feedback.user_rejected(7)
    assert evidence(tracked.trace_id) == []
    assert evidence(accepted.trace_id) == [("explicit", "user_accepted", 1.0)]
    assert evidence(rejected.trace_id) == [("explicit", "user_rejected", 0.0)]


def test_a_turn_reported_just_before_the_next_request_grades_the_answer_before_it(router: kalibr.Router) -> None:
    for session in (f"s{i}" for i in range(20)):
        before = router.completion(HELLO, session_id=session)
        assert feedback.report_user_turn(session, "That's wrong, try again.")
        after = router.completion(HELLO, session_id=session)
        assert len(evidence(before.trace_id)) == 1 and evidence(after.trace_id) == []


@pytest.mark.parametrize("goal_exists", [True, False])
def test_a_call_that_no_router_made_is_a_run_of_its_own(home: Home, goal_exists: bool) -> None:
    if goal_exists:
        kalibr.Router("elsewhere", ["gpt-4o"])
    tracked = kalibr.Router("g", ["lab/good"]).completion(HELLO)
    feedback.track_run(tracked)
    assert feedback.report_pipeline("s", "elsewhere", "a prompt", "an answer", "gpt-4o", strict=True)
    assert feedback.report_user_turn("s", "That's wrong, try again.")
    assert kalibr.flush()
    run = kalibr.explain("s")
    assert (run["goal"], run["kind"], run["chosen"]["model"]) == ("elsewhere", "observed", "gpt-4o")
    assert run["attempts"][0]["strength"] == 0.0
    assert evidence(tracked.trace_id) == []


def test_a_model_that_no_path_calls_teaches_nothing_and_that_is_said_once(
    router: kalibr.Router, caplog: pytest.LogCaptureFixture
) -> None:
    for i in range(3):
        assert feedback.report_pipeline(f"s{i}", "g", model="somebody-elses")
        assert feedback.report_action(f"s{i}", "output_copied")
    assert kalibr.flush()
    assert [record.name for record in caplog.records] == ["kalibr"] and "teaches nothing" in caplog.text
    assert all(path["graded"] == 0 for path in kalibr.goals()[0]["learned"][0]["paths"])


def test_a_trace_that_nobody_knows_yet_is_taken(router: kalibr.Router, home: Home) -> None:
    assert feedback.user_accepted(trace_id=OTHER_TRACE, signal_id="early", strict=True)
    assert kalibr.flush()
    assert home.signals("early") == ["early"]
    assert all(path["graded"] == 0 for path in kalibr.goals()[0]["learned"][0]["paths"])


WRONG: dict[str, tuple[Callable[..., bool], dict[str, Any]]] = {
    "no run": (feedback.user_accepted, {}),
    "malformed trace": (feedback.user_accepted, {"trace_id": "zz"}),
    "upper-case trace": (feedback.user_accepted, {"trace_id": "AB" * 16}),
    "slash in a session": (feedback.report_action, {"session_id": "a/b", "action_type": "output_copied"}),
    "empty session": (feedback.report_action, {"session_id": "", "action_type": "output_copied"}),
    "number as session": (feedback.report_user_turn, {"session_id": 7, "user_message": "no"}),
    "slash at the end": (feedback.report_session_end, {"session_id": "../../x"}),
    "slash in a pipeline": (feedback.report_pipeline, {"session_id": "a/b", "goal": "g", "model": "m"}),
    "no session": (feedback.report_pipeline, {"session_id": None, "goal": "g", "model": "m"}),
    "nothing known of a run": (feedback.report_pipeline, {"session_id": "s"}),
    "goal with a slash": (feedback.report_pipeline, {"session_id": "s", "goal": "a/b", "model": "m"}),
    "unknown action": (feedback.report_action, {"trace_id": OTHER_TRACE, "action_type": "output_used_verbatm"}),
    "no action": (feedback.report_action, {"trace_id": OTHER_TRACE}),
    "an accept is no action": (feedback.report_action, {"trace_id": OTHER_TRACE, "action_type": "user_accepted"}),
    "edit ratio": (
        feedback.report_action,
        {"trace_id": OTHER_TRACE, "action_type": "output_edited", "edit_ratio": 1.01},
    ),
    "edit ratio not a number": (
        feedback.report_action,
        {"trace_id": OTHER_TRACE, "action_type": "output_edited", "edit_ratio": float("nan")},
    ),
    "what is no diff": (
        feedback.report_action,
        {"trace_id": OTHER_TRACE, "action_type": "output_edited", "edit_diff": "shorter"},
    ),
    "bytes as edited output": (
        feedback.report_action,
        {"trace_id": OTHER_TRACE, "action_type": "output_edited", "edited_output": b"shorter"},
    ),
    "two edits": (
        feedback.report_action,
        {"trace_id": OTHER_TRACE, "action_type": "output_edited", "edit_ratio": 0.5, "edited_output": "shorter"},
    ),
    "an edit of what was used verbatim": (
        feedback.report_action,
        {"trace_id": OTHER_TRACE, "action_type": "output_used_verbatim", "edit_ratio": 0.2},
    ),
    "withdrawn without an id": (
        feedback.report_action,
        {"trace_id": OTHER_TRACE, "action_type": "output_edited", "withdraw": True},
    ),
    "strength endless": (feedback.user_accepted, {"trace_id": OTHER_TRACE, "strength": float("inf")}),
    "unknown type": (feedback.emit_signal, {"signal_type": "thumbs_down", "trace_id": OTHER_TRACE}),
    "strength": (feedback.emit_signal, {"signal_type": "retry", "trace_id": OTHER_TRACE, "strength": -0.1}),
    "strength not a number": (feedback.user_accepted, {"trace_id": OTHER_TRACE, "strength": float("nan")}),
    "strength a text": (feedback.user_accepted, {"trace_id": OTHER_TRACE, "strength": "high"}),
    "confidence": (feedback.emit_signal, {"signal_type": "retry", "trace_id": OTHER_TRACE, "confidence": 2}),
    "no message": (feedback.report_user_turn, {"trace_id": OTHER_TRACE}),
    "bytes as message": (feedback.report_user_turn, {"trace_id": OTHER_TRACE, "user_message": b"no"}),
    "signal id": (feedback.user_accepted, {"trace_id": OTHER_TRACE, "signal_id": "a/b"}),
    "withdraw": (feedback.withdraw_signal, {"signal_id": ""}),
    "time": (feedback.user_accepted, {"trace_id": OTHER_TRACE, "at": "yesterday"}),
    "endless time": (feedback.user_accepted, {"trace_id": OTHER_TRACE, "at": float("inf")}),
    "run": (feedback.user_accepted, {"run": object()}),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_logged_once_changes_nothing_and_raises_only_when_asked(
    home: Home, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    kalibr.Router("g", ["lab/good"])
    before = home.query("SELECT (SELECT count(*) FROM signals), (SELECT count(*) FROM decisions)")
    call, arguments = WRONG[case]
    with caplog.at_level(logging.DEBUG):
        assert [call(**arguments) for _ in range(3)] == [False, False, False]
    assert len(caplog.records) == 1 and caplog.records[0].name == "kalibr"
    with pytest.raises((kalibr.InvalidSignalError, kalibr.NoRunError)):
        call(**arguments, strict=True)
    assert kalibr.flush()
    assert home.query("SELECT (SELECT count(*) FROM signals), (SELECT count(*) FROM decisions)") == before


def test_an_unknown_action_says_which_are_known(home: Home) -> None:
    with pytest.raises(kalibr.InvalidSignalError, match="output_used_verbatim"):
        feedback.report_action("s", "output_used_verbatm", strict=True)


def test_the_first_call_of_a_process_does_not_wait_for_a_locked_store(home: Home) -> None:
    kalibr.Router("g", ["lab/good"])
    assert kalibr.close()
    with home.locked():
        began = time.perf_counter()
        assert feedback.user_accepted(trace_id=OTHER_TRACE, signal_id="waits")
        assert feedback.report_pipeline("s", "new_goal", "p", "o", "some-model")
        assert feedback.report_user_turn("s", "This is wrong.", signal_id="waits-too")
        assert time.perf_counter() - began < 0.1
        assert not feedback.flush(0.2)
    assert feedback.flush(15)
    assert home.signals("waits%") == ["waits", "waits-too"]
    assert kalibr.explain("s")["evidence"][0]["source"] == "turn"


def test_without_any_use_there_is_nothing_to_flush_and_no_folder_is_made(home: Home) -> None:
    assert feedback.flush(1)
    assert [path.name for path in home.path.iterdir()] == ["kalibr.toml"]
    assert kalibr.health() == {"waiting": 0, "dropped": 0}
