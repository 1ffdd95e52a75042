"""The way of a signal from a caller to the engine: checked at once, sent without waiting, and never in the way."""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Callable
from typing import Any

from kalibr import _engine, _kalibr, _log, _worker
from kalibr.errors import InvalidSignalError, KalibrError, QueueFullError

_ahead = 0
"""The most by which the wall clock was seen ahead of the one that is never set, in nanoseconds."""


def now() -> int:
    """This moment in microseconds since 1970. It never goes back, though the machine's clock may: what a user says
    of an answer must not come to lie before it."""
    global _ahead
    steady = time.monotonic_ns()
    _ahead = max(_ahead, time.time_ns() - steady)
    return (_ahead + steady) // 1_000


def moment(at: datetime.datetime | float | None) -> int:
    """An event's time in microseconds since 1970; a datetime without a zone is local time, as everywhere in Python.

    Raises:
        InvalidSignalError: it is no moment.
    """
    if at is None:
        return now()
    if isinstance(at, datetime.datetime):
        at = at.timestamp()
    if isinstance(at, bool) or not isinstance(at, (int, float)) or not math.isfinite(at) or abs(at) > 1e11:
        raise InvalidSignalError("at is a datetime, or seconds since 1970")
    return round(at * 1_000_000)


def send(signal: _kalibr.Signal) -> None:
    """Queues a signal.

    Raises:
        QueueFullError: too much waits already.
    """
    waits = signal.waits()
    engine = _engine.opened()
    if engine is not None and not waits:
        engine.send(signal)
    else:
        behind(lambda engine: engine.send(signal), _worker.TEXTS if waits else _worker.LIMIT)


def behind(job: _worker.Job, limit: int = _worker.LIMIT) -> None:
    """Queues work that may wait for the store.

    Raises:
        QueueFullError: too much waits already.
    """
    if not _worker.submit(job, limit):
        raise QueueFullError("too much feedback waits for the store, which stands still; try again later")


def readable(text: str) -> str:
    """A text as the native half takes it: one from a browser may hold halves of surrogate pairs, which no encoding
    has."""
    return text.encode("utf-8", "replace").decode()


def keep(kind: str, text: Any, about: dict[str, Any], signal_id: str | None = None, at: int | None = None) -> None:
    """Keeps a text with the run that it is about, where the operator keeps texts (`[privacy] keep_text`); else, and
    before the engine of this process is opened, it goes nowhere. `signal_id` names the signal that it came with, and
    goes with when that is withdrawn; `at` is when it was said, in microseconds since 1970."""
    engine = _engine.opened()
    if engine is not None and isinstance(text, str) and text and engine.keeps_text():
        engine.keep_text(kind, readable(text), signal_id=signal_id, at=at, **about)


def quietly(where: str, make: Callable[[], _kalibr.Signal | None], strict: bool = False) -> bool:
    """Makes a signal and queues it. What is wrong is logged once per kind, or raised if `strict`.

    Returns:
        Whether it was taken.
    """
    problem: Exception
    try:
        signal = make()
        if signal is not None:
            send(signal)
        return True
    except KalibrError as error:
        problem, what = error, "nothing was recorded"
    except (TypeError, ValueError, OverflowError) as error:
        # The native half says these of arguments of a wrong type; its text names the argument, not its value.
        problem, what = error, "nothing was recorded: an argument has a wrong type"
        if strict:
            problem = InvalidSignalError(f"{where}: an argument has a wrong type: {error}")
    except Exception as error:
        problem, what = error, "nothing was recorded"
    # Out here, or the error would carry the one before it along, and with that, of a text that is no UTF-8, the text.
    if strict:
        raise problem
    _log.once(where, problem, what)
    return False
