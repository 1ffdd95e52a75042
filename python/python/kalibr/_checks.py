"""The caller's own verdict on an answer: `success_when` and `score_when`, run and sent as a `metric` signal."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from kalibr import _log, _send
from kalibr._kalibr import Signal


class Checks:
    """The checks of one router."""

    def __init__(self, success_when: Callable[[str], Any] | None, score_when: Callable[[str], Any] | None) -> None:
        for name, check in (("success_when", success_when), ("score_when", score_when)):
            if check is not None and not callable(check):
                raise TypeError(f"{name} is a function of the answer's text, not a {type(check).__name__}")
            if inspect.iscoroutinefunction(check):
                raise TypeError(f"{name} is a plain function of the answer's text, not an async one")
        self._success_when = success_when
        self._score_when = score_when

    def __bool__(self) -> bool:
        return self._success_when is not None or self._score_when is not None

    def run(self, text: str, trace_id: str) -> None:
        """Runs them on an answer: the score, and where there is none, whether it is a success.

        Never raises: an answer on which a check fails is one that did not pass it.
        """
        if not self:
            return
        success, score = False, None
        try:
            if self._score_when is not None:
                score = _score(self._score_when(text))
                success = score >= 0.5
        except Exception as error:
            _log.once("score_when", error, "the check failed, which counts as no success")
        try:
            if score is None and self._success_when is not None:
                success = bool(_verdict(self._success_when(text)))
        except Exception as error:
            _log.once("success_when", error, "the check failed, which counts as no success")
        _send.quietly("success_when", lambda: Signal.metric(success, _send.now(), score=score, trace_id=trace_id))


def _score(value: Any) -> float:
    score = float(_verdict(value))
    # Not a number is outside too.
    if not 0.0 <= score <= 1.0:
        raise ValueError("score_when gave a score outside 0..1")
    return score


def _verdict(value: Any) -> Any:
    """What a check returned, if it is a verdict.

    A coroutine is true whatever it would have returned, and `None` is what a function gives that forgot to return.
    """
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()
        raise TypeError("a check is a plain function, not an async one")
    if value is None:
        raise TypeError("a check returns whether the answer is good, or how good; this one returned None")
    return value
