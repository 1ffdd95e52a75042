"""What users did with the answers: three levels of signals, from a thumb to what became of the output.

    from kalibr.feedback import track_run, user_accepted, user_rejected

    result = router.completion(messages=messages)
    track_run(result)
    user_accepted()

Every call returns at once, True if the signal was queued; `flush()` tells when all is committed and learned from. A
call that is wrong (an unknown action, no run) logs once per kind on the logger `kalibr`, returns False and changes
nothing; with `strict=True` it raises instead. None raises otherwise.

Which run a signal is about, the first that is given:
`run=` (a response, a stream, what `decide` returned, a trace id, or what `track_run` returned), `trace_id=`,
`session_id=` (its latest run at the signal's time), and else the run tracked in this task or thread.

All calls take `signal_id=` (sending a signal again under its id changes nothing; it is also what `withdraw_signal`
takes), `at=` (when it happened: a datetime, or seconds since 1970; now, if not given) and `strict=`.

Text is not kept: `reason` is not looked at, a user's message is classified, a diff is measured, all inside the call
and forgotten. Of a prompt and an answer a keyed fingerprint is kept, of some 500 bytes at most, so that an edited
answer can be compared with what it was; an edited answer itself waits for that in memory, for a moment, and is gone
then. Only where `kalibr.toml` names a classifier model, a message that the local classifier cannot tell is put to that
model, redacted, from a thread in the background. Only where the operator says so (`[privacy] keep_text` in
`kalibr.toml`) are texts kept with their run, in the data folder, until their days are over.
"""

from __future__ import annotations

import datetime
import json
import time
from typing import Any

from kalibr import _engine, _kalibr, _log, _send, _worker, runs
from kalibr._kalibr import Signal
from kalibr.errors import InvalidSignalError, NoRunError, UnknownGoalError
from kalibr.response import Response
from kalibr.runs import Run, track_run
from kalibr.stream import AsyncStream, Stream

__all__ = [
    "emit_signal",
    "flush",
    "report_action",
    "report_pipeline",
    "report_session_end",
    "report_user_turn",
    "track_run",
    "user_accepted",
    "user_rejected",
    "withdraw_signal",
]

Moment = datetime.datetime | float | None


def _about(run: Any, trace_id: str | None, session_id: str | None) -> dict[str, Any]:
    if run is not None:
        return {"trace_id": runs.run_of(run).trace_id}
    if trace_id is not None:
        return {"trace_id": trace_id}
    if session_id is not None:
        return {"session_id": session_id}
    tracked = runs.current_run()
    if tracked is None:
        raise NoRunError("no run is tracked in this task or thread: call track_run(result), or give run= or trace_id=")
    return {"trace_id": tracked.trace_id}


def emit_signal(
    signal_type: str,
    *,
    strength: float | None = None,
    confidence: float | None = None,
    run: Any = None,
    trace_id: str | None = None,
    session_id: str | None = None,
    signal_id: str | None = None,
    at: Moment = None,
    strict: bool = False,
) -> bool:
    """Sends a signal of any type.

    Args:
        signal_type: `user_accepted`, `user_rejected`, `output_used_verbatim`, `output_copied`, `output_edited`,
            `output_discarded`, `downstream_use`, `edit_small`, `edit_large`, `abandonment`, `retry` ...; an unknown
            one is an error that lists them all.
        strength: how well the answer served, 0..1; the type's own if not given.
        confidence: how sure you are of that, 0..1; 1 if not given.
        run, trace_id, session_id, signal_id, at, strict: see the module.

    Example:
        emit_signal("output_copied", trace_id=trace_id, confidence=0.8)
    """

    def make() -> Signal:
        return Signal.typed(
            signal_type,
            _send.moment(at),
            strength=strength,
            confidence=confidence,
            signal_id=signal_id,
            **_about(run, trace_id, session_id),
        )

    return _send.quietly("emit_signal", make, strict)


def user_accepted(
    run: Any = None,
    *,
    strength: float | None = None,
    trace_id: str | None = None,
    session_id: str | None = None,
    signal_id: str | None = None,
    at: Moment = None,
    strict: bool = False,
) -> bool:
    """The user said that the answer is good (level 1).

    Args:
        strength: how good, 0..1; 1 if not given.
        run, trace_id, session_id, signal_id, at, strict: see the module.

    Example:
        user_accepted(trace_id=request.args["trace_id"])
    """

    def make() -> Signal:
        about = _about(run, trace_id, session_id)
        return Signal.typed("user_accepted", _send.moment(at), strength=strength, signal_id=signal_id, **about)

    return _send.quietly("user_accepted", make, strict)


def user_rejected(
    reason: Any = None,
    *,
    strength: float | None = None,
    run: Any = None,
    trace_id: str | None = None,
    session_id: str | None = None,
    signal_id: str | None = None,
    at: Moment = None,
    strict: bool = False,
) -> bool:
    """The user said that the answer is not good (level 1).

    Args:
        reason: for your own reading of the code: text is not looked at and not sent, and kept only where the operator
            keeps texts. A response in its place is taken as `run`.
        strength: how well the answer served all the same, 0..1; 0 if not given.
        run, trace_id, session_id, signal_id, at, strict: see the module.

    Example:
        user_rejected(reason="output too short")
    """

    def make() -> Signal:
        # `user_rejected(result)` means that run, and not the tracked one.
        about = _about(run if reason is None or isinstance(reason, str) else reason, trace_id, session_id)
        moment = _send.moment(at)
        _send.keep("reason", reason, about, signal_id, moment)
        return Signal.typed("user_rejected", moment, strength=strength, signal_id=signal_id, **about)

    return _send.quietly("user_rejected", make, strict)


def report_pipeline(
    session_id: str,
    goal: str | None = None,
    prompt: Any = None,
    output: Any = None,
    model: str | None = None,
    *,
    run: Any = None,
    trace_id: str | None = None,
    at: Moment = None,
    strict: bool = False,
) -> bool:
    """Anchors a session: its turns and actions from now on speak of this run (level 2).

    The run is the one of `run=`, of `trace_id=`, of `output=` where that is a router's response or stream, or the
    tracked one, where it was made for `goal` by `model`. (A tracked run that anchors one session already anchors
    another only if `output` is its answer.) Is it none of these, it is a call that no router made: it is recorded as a
    run of `goal` by `model`, and graded like any other. A goal that does not exist is made, with this model as its
    path; of a goal that has no path with this model, the run is kept and teaches nothing (logged once).

    Args:
        session_id: your name of the conversation. Only a keyed hash of it is kept.
        goal: what the run was for.
        prompt: what the user asked. Of a text a keyed fingerprint is kept, of anything else nothing.
        output: the answer. A text is compared with the tracked run's answer; a keyed fingerprint of it is kept, where
            Kalibr has not seen the answer itself, so that `report_action(edited_output=...)` has what to compare with.
        model: who answered.
        run, trace_id, at, strict: see the module.

    Example:
        report_pipeline(session_id="user-session-123", goal="research_summary", prompt=prompt, output=text,
                        model="gpt-4o")
        report_user_turn(session_id="user-session-123", user_message=next_message)
    """

    def make() -> Signal | None:
        if not isinstance(session_id, str):
            raise InvalidSignalError("session_id is your name of the conversation, a string")
        moment = _send.moment(at)
        linked = _linked(session_id, goal, model, output, run, trace_id)
        about = {"session_id": session_id} if linked is None else {"trace_id": linked.trace_id}
        texts = {"prompt": _text(prompt), "output": _text(output)}
        if linked is not None:
            _keep_call(prompt, output, about)
            return Signal.run(moment, session_id=session_id, trace_id=linked.trace_id, **texts)
        made = Signal.run(moment, session_id=session_id, trace_id=trace_id, goal=goal, model=model, **texts)
        _keep_call(prompt, output, about)
        if goal is None or model is None:
            if trace_id is None:
                raise NoRunError("no run is known here: give run=, trace_id=, or goal= and model=")
            return made
        engine = _engine.opened()
        if engine is not None:
            try:
                _note_unless(engine.send(made))
                return None
            except UnknownGoalError:
                pass
        _send.behind(lambda engine: _send_observed(engine, made, goal, model))
        return None

    return _send.quietly("report_pipeline", make, strict)


def _text(thing: Any) -> str | None:
    return _send.readable(thing) if isinstance(thing, str) else None


def _keep_call(prompt: Any, output: Any, about: dict[str, Any]) -> None:
    _send.keep("prompt", prompt, about)
    _send.keep("answer", output, about)


def _linked(
    session_id: str, goal: str | None, model: str | None, output: Any, run: Any, trace_id: str | None
) -> Run | None:
    if run is not None:
        return runs.run_of(run)
    if trace_id is not None:
        return None
    if isinstance(output, (Response, Stream, AsyncStream)):
        return runs.run_of(output)
    tracked = runs.current_run()
    if tracked is None or tracked.goal is None or tracked.goal != goal:
        return None
    if model is not None and not tracked.is_by(model):
        return None
    return tracked if runs.belongs_to(session_id, output) else None


def _send_observed(engine: _kalibr.Engine, made: Signal, goal: str, model: str) -> None:
    try:
        _note_unless(engine.send(made))
    except UnknownGoalError:
        engine.register(goal, json.dumps([model]))
        engine.send(made)


def _note_unless(teaches: bool) -> None:
    if not teaches:
        _log.note("report_pipeline", "the model is on none of the goal's paths: the run is kept and teaches nothing")


def report_user_turn(
    session_id: str | None = None,
    user_message: str | None = None,
    *,
    prompt: str | None = None,
    output: str | None = None,
    run: Any = None,
    trace_id: str | None = None,
    signal_id: str | None = None,
    at: Moment = None,
    strict: bool = False,
) -> bool:
    """The user's next message: it is classified as acceptance, rejection or continuation (level 2).

    Most messages say nothing of the answer before them: those are continuations, and assert nothing. The message is
    read in this call, in this process, in well under a millisecond, and is neither kept nor sent. Kept of a session's
    messages are their probabilities, two bytes each: they may say together what none of them says (see
    `report_session_end`).

    Where `kalibr.toml` has a `[classifier]` and the message cannot be told, that model is asked about it, redacted and
    cut, by a thread in the background; its verdict becomes a signal under the same id. `flush()` does not wait for it.

    Args:
        session_id: the session that `report_pipeline` anchored.
        user_message: what the user wrote.
        prompt, output: what the answer was asked for, and the answer: for the classifier model, if one is asked.
        run, trace_id, signal_id, at, strict: see the module.

    Returns:
        Whether the message was taken; also True where it asserts nothing.

    Example:
        report_user_turn(session_id="user-session-123", user_message="That's wrong, try again.")
    """

    def make() -> Signal | None:
        if not isinstance(user_message, str):
            raise InvalidSignalError("user_message is what the user wrote, a string")
        about = _about(run, trace_id, session_id)
        engine = _engine.opened()
        moment = _send.moment(at)
        _, _, signal = Signal.turn(
            _send.readable(user_message),
            moment,
            prompt=_text(prompt),
            output=_text(output),
            keep=engine is None or engine.has_classifier(),
            signal_id=signal_id,
            engine=engine,
            **about,
        )
        _send.keep("user_message", user_message, about, signal_id, moment)
        return signal

    return _send.quietly("report_user_turn", make, strict)


def report_action(
    session_id: str | None = None,
    action_type: str | None = None,
    edit_ratio: float | None = None,
    *,
    edit_diff: str | None = None,
    edited_output: str | None = None,
    withdraw: bool = False,
    run: Any = None,
    trace_id: str | None = None,
    signal_id: str | None = None,
    at: Moment = None,
    strict: bool = False,
) -> bool:
    """What the user did with the output (level 3): the strongest evidence, it overrides what users said.

    An edit is graded by how much of the answer it changed, told in one of three ways (more than one is an error); for
    other actions that is checked and counts nothing. A later action replaces an earlier one of the same run, by the
    time at which they happened; both come any time later, as long as the run is kept.

    Args:
        session_id: the session that `report_pipeline` anchored.
        action_type: `output_used_verbatim`, `output_copied`, `output_edited`, `output_discarded`, or a Kalibr client's
            `downstream_use`, `edit_small`, `edit_large`, `abandonment`, `retry`, `action_copy`; an unknown one is an
            error that lists them.
        edit_ratio: how much of the answer was changed, 0..1. It and the next two are for edits alone; with another
            action they are an error.
        edit_diff: a unified diff of the answer and what was made of it. It is measured in this call and forgotten.
        edited_output: what was made of the answer, whole. It is compared with the answer's fingerprint behind your back
            and forgotten; where no answer of that run is known, this is logged and nothing is recorded.
        withdraw: takes back the action that was sent under `signal_id`, exactly as `withdraw_signal` does.
        run, trace_id, signal_id, at, strict: see the module.

    Example:
        report_action(session_id="user-session-123", action_type="output_edited", edited_output=text,
                      signal_id="edit-9")
        report_action(signal_id="edit-9", withdraw=True)
    """

    def make() -> Signal:
        if withdraw:
            if signal_id is None:
                raise InvalidSignalError("withdraw=True takes signal_id=, the one that the action was sent with")
            return Signal.withdrawal(signal_id, _send.now())
        if not isinstance(action_type, str):
            raise InvalidSignalError("action_type is a string such as output_used_verbatim")
        about = _about(run, trace_id, session_id)
        # A wrong type must not pass for an edit that nobody told of.
        for text in (edit_diff, edited_output):
            if text is not None and not isinstance(text, str):
                raise InvalidSignalError("edit_diff and edited_output are strings")
        return Signal.action(
            action_type,
            _send.moment(at),
            edit_ratio=edit_ratio,
            edit_diff=_text(edit_diff),
            edited_output=_text(edited_output),
            signal_id=signal_id,
            **about,
        )

    return _send.quietly("report_action", make, strict)


def report_session_end(
    session_id: str,
    satisfied: bool | None = None,
    *,
    signal_id: str | None = None,
    at: Moment = None,
    strict: bool = False,
) -> bool:
    """The session ended.

    A session that nobody ends has ended half an hour after the last that happened in it (`[sessions] idle_seconds` in
    `kalibr.toml`).

    Args:
        session_id: the session.
        satisfied: whether its user got what they wanted, where you know. `None`: what its messages leaned to, if to
            anything, is taken in as weak evidence. A session without such a sign says nothing: silence is neither
            acceptance nor rejection.
        signal_id, at, strict: see the module.

    Example:
        report_session_end("user-session-123", satisfied=survey.score >= 4)
    """

    def make() -> Signal:
        return Signal.session_end(session_id, satisfied, _send.moment(at), signal_id=signal_id)

    return _send.quietly("report_session_end", make, strict)


def withdraw_signal(signal_id: str, *, strict: bool = False) -> bool:
    """Takes a signal back, exactly: afterwards everything is as if it had never come. Also before it has arrived.

    Args:
        signal_id: the id that it was sent with.

    Example:
        user_rejected(signal_id="vote-17")
        withdraw_signal("vote-17")
    """
    return _send.quietly("withdraw_signal", lambda: Signal.withdrawal(signal_id, _send.now()), strict)


def flush(timeout: float = 5.0) -> bool:
    """Waits until everything that was sent so far is committed, synced, and in the policy table.

    It blocks: in asyncio, `await asyncio.to_thread(flush)`.

    Args:
        timeout: seconds to wait.

    Returns:
        Whether it is, in time. False loses nothing: what was queued still waits.
    """
    deadline = time.monotonic() + timeout
    if not _worker.drain(timeout):
        return False
    engine = _engine.opened()
    return engine is None or engine.flush(max(0.0, deadline - time.monotonic()))
