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

import json
import warnings
from typing import Any

from kalibr import _engine, errors, runs
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
    "classify_satisfaction",
    "close",
    "errors",
    "explain",
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
    found = _engine.get().explain(trace_id if isinstance(trace_id, str) else runs.run_of(trace_id).trace_id)
    if found is None:
        raise NoRunError("nothing is known under this id: check it, and that KALIBR_HOME is the decision's own")
    return json.loads(found)  # type: ignore[no-any-return]


def goals() -> list[dict[str, Any]]:
    """All goals with their paths and what was learned of each: share of traffic, expected success, evidence,
    how sure one may be of each (`credible` and `guaranteed` intervals), and a `verdict` on all, with a sentence.

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
