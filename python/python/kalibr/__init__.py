"""Kalibr: routes each LLM call to the path that works best, and learns that from what users did with the answers.

    import kalibr
    from kalibr.feedback import track_run, user_accepted, user_rejected

    router = kalibr.Router("research_summary", ["gpt-4o", "gpt-4o-mini"])
    result = router.completion(messages=[{"role": "user", "content": "Summarise ..."}])
    track_run(result)
    user_accepted()

Everything is kept in the folder `KALIBR_HOME` (or the platform's data folder), in one SQLite file. `kalibr.toml` in it,
or the file that `KALIBR_CONFIG` names, says where models live. The environment is read at the first use, not at import.
"""

from __future__ import annotations

import datetime
import json
import warnings
from typing import Any

from kalibr import _engine, _send, errors, runs
from kalibr._kalibr import __version__
from kalibr.errors import (
    ConfigError,
    GoalError,
    InvalidRequestError,
    InvalidSignalError,
    KalibrError,
    NoPathError,
    NoRunError,
    ProviderError,
    QueueFullError,
    StoreError,
    UnknownGoalError,
)
from kalibr.feedback import flush
from kalibr.response import JsonObject, Response
from kalibr.router import Router
from kalibr.runs import TrackedRun, track_run
from kalibr.satisfaction import Satisfaction, classify_satisfaction
from kalibr.stream import AsyncStream, Stream

__all__ = [
    "AsyncStream",
    "ConfigError",
    "GoalError",
    "InvalidRequestError",
    "InvalidSignalError",
    "JsonObject",
    "KalibrError",
    "NoPathError",
    "NoRunError",
    "ProviderError",
    "QueueFullError",
    "Response",
    "Router",
    "Satisfaction",
    "StoreError",
    "Stream",
    "TrackedRun",
    "UnknownGoalError",
    "__version__",
    "classifier",
    "classify_satisfaction",
    "close",
    "erase",
    "errors",
    "explain",
    "export",
    "flush",
    "goals",
    "health",
    "track_run",
]

_SETTLE = 2.0


def explain(trace_id: Any) -> dict[str, Any]:
    """What was known when a decision was made, what was chosen with which probability, what came of it, what each
    signal said, and what that changed.

    It first waits (2 seconds at the most) for what this process has sent, and then reads the ledger: it blocks.

    Args:
        trace_id: a decision, or what `Router.completion` or `Router.decide` returned; also a session's id, for its
            latest run.

    Returns:
        What `GET /v1/decisions/{trace_id}` returns: `goal`, `chosen`, `propensity`, `considered`, `attempts`,
        `evidence`, `effect` and more.

    Raises:
        NoRunError: nothing is known under this id.
        InvalidSignalError: it is no id and stands for no run.
        StoreError: the ledger cannot be read.

    Example:
        for signal in kalibr.explain(result.trace_id)["evidence"]:
            print(signal["source"], signal["value"], signal["strength"])
    """
    flush(_SETTLE)
    found = _engine.get().explain(_readable(trace_id) if isinstance(trace_id, str) else runs.run_of(trace_id).trace_id)
    if found is None:
        raise NoRunError("nothing is known under this id: check it, and that KALIBR_HOME is the decision's own")
    return json.loads(found)  # type: ignore[no-any-return]


def erase(
    *,
    session_id: str | None = None,
    user: str | None = None,
    before: datetime.datetime | float | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Erases what is somebody's, for good: gone from the ledger, and from what was learned, in all processes. What this
    process has sent before is erased with the rest; what comes later is new. It blocks.

    Args:
        session_id: a session: its runs, and all that was said of them.
        user: a user: the runs made for this user.
        before: everyone: all runs from before this moment, a datetime or seconds since 1970.
        dry_run: only count what would be erased.

    Returns:
        How many `decisions`, `attempts`, `signals`, `texts`, `fingerprints` of texts and `steps` of sessions; and
        whether they are `scrubbed`, so that no file of the data folder holds a copy any more. Of a ledger above 32 MB
        that is done in the background, within the hour. All are 0 where nothing was stored of this session or user, as
        when the id was mistyped: look at them.

    Raises:
        InvalidSignalError: not one of session, user and moment is given, or it cannot be one.
        StoreError: the ledger is behind what was sent, and nothing was erased; or it cannot be written; a part may be
            gone, and erasing again finishes it.

    Example:
        print(kalibr.erase(user="anna", dry_run=True))
        kalibr.erase(user="anna")
    """
    _one_of(session_id, user, before=before)
    flush(_SETTLE)
    moment = None if before is None else _send.moment(before)
    held, scrubbed = _engine.get().erase(session_id=session_id, user=user, before=moment, dry_run=dry_run)
    counted: dict[str, Any] = json.loads(held)
    return counted if dry_run else {**counted, "scrubbed": scrubbed}


def export(*, session_id: str | None = None, user: str | None = None) -> list[dict[str, Any]]:
    """All that is held of somebody: exactly what `erase` would erase. It blocks.

    Args:
        session_id: a session.
        user: a user.

    Returns:
        One dict each for a decision, an attempt, a signal or a text: its `record` says which.

    Raises:
        InvalidSignalError: not one of session and user is given, or it cannot be one.
        StoreError: the ledger cannot be read.

    Example:
        for record in kalibr.export(user="anna"):
            print(record["record"], record.get("trace_id"))
    """
    _one_of(session_id, user)
    flush(_SETTLE)
    lines = _engine.get().export(session_id=session_id, user=user).splitlines()
    return [json.loads(line) for line in lines]


def _one_of(*given: Any, before: Any = None) -> None:
    if sum(one is not None for one in (*given, before)) != 1:
        raise InvalidSignalError("say whose: give one of session_id=, user= and, to erase, before=")
    for id in given:
        if id is not None:
            _readable(id)


def _readable(id: Any) -> str:
    if isinstance(id, str) and id and not any(0xD800 <= ord(letter) < 0xE000 for letter in id):
        return id
    raise InvalidSignalError("an id is a string of at least one character, without halves of surrogate pairs")


def goals() -> list[dict[str, Any]]:
    """All goals with their paths and what was learned of each: share of traffic, expected success, evidence,
    how sure one may be of each (`credible` and `guaranteed` intervals), a `verdict` on all, with a sentence, and the
    `changes` of one path (`kind` is `path`) or of all together (`level`), each with a sentence.

    Raises:
        StoreError, ConfigError: the data folder or the configuration cannot be used.

    Example:
        for goal in kalibr.goals():
            print(goal["name"], [path["share"] for path in goal["learned"][0]["paths"]])
    """
    return json.loads(_engine.get().goals())  # type: ignore[no-any-return]


def health() -> dict[str, int]:
    """How the engine of this process is doing: `waiting`, facts that wait for the store; `dropped`, rows of the log
    that were lost because too many waited (anything but 0 deserves an alarm). Feedback is never among those.

    Example:
        assert kalibr.health()["dropped"] == 0
    """
    engine = _engine.opened()
    waiting, dropped = (0, 0) if engine is None else engine.health()
    return {"waiting": waiting, "dropped": dropped}


def classifier() -> dict[str, Any] | None:
    """How the model stands that is asked about messages which the local classifier cannot tell; `None` where
    `kalibr.toml` has no `[classifier]`.

    Returns:
        `model`, `state` (`on`, or `off` where it agrees too little with what users do), how often it `praises_good` and
        `praises_bad` answers by `graded` verdicts, `spent_usd` today, and what became of the messages put to it by this
        process: `queued`, `acceptances`, `rejections`, `continuations`, `not_sure`, `malformed`, `failed`,
        `over_budget`, `dropped`, `while_off`.

    Raises:
        StoreError, ConfigError: the data folder or the configuration cannot be used.

    Example:
        asked = kalibr.classifier()
        assert asked is None or asked["state"] == "on"
    """
    found = _engine.get().classifier()
    return None if found is None else json.loads(found)


def close(timeout: float = _engine.EXIT_PATIENCE) -> bool:
    """Writes what is queued and closes the engine of this process. The end of the process does this by itself; the next
    use opens an engine anew, and reads the environment again.

    Args:
        timeout: seconds to wait for the store.

    Returns:
        Whether everything was written in time. What was not is lost.

    Example:
        assert kalibr.close()
    """
    return _engine.close(timeout)


def _warn_of_namesake() -> None:
    """The hosted service's SDK has the same import name: with both installed, their files are mixed in one folder."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        namesake = distribution("kalibr")
    except PackageNotFoundError:
        return
    warnings.warn(
        f"the distributions kalibr-rs (this one) and kalibr {namesake.version} (the hosted service's SDK) are both "
        "installed, and both are imported as kalibr: their files overwrite each other. Keep one: run pip uninstall "
        "kalibr kalibr-rs, then install the one you want",
        RuntimeWarning,
        stacklevel=3,
    )


_warn_of_namesake()
