"""What goes wrong behind the caller's back is said once per kind: a line for each of a million signals helps nobody."""

from __future__ import annotations

import logging

logger = logging.getLogger("kalibr")

_said: set[tuple[str, str]] = set()
_MOST_KINDS = 1_000
"""A bound in case that some text of ours varies without end."""


def once(where: str, error: BaseException, what: str) -> None:
    """Logs what went wrong at this place, each mistake the first time.

    Of another's exception only the type is said: its text may hold what a user wrote.
    """
    from kalibr.errors import KalibrError

    name = type(error).__name__
    reason = str(error) if isinstance(error, KalibrError) else name
    _say((where, reason), f"{where}: {what}: {reason}")


def note(where: str, what: str) -> None:
    """Logs, the first time, what is no error and yet not what the caller will have meant."""
    _say((where, what), f"{where}: {what}")


def _say(kind: tuple[str, str], text: str) -> None:
    if kind not in _said and len(_said) < _MOST_KINDS:
        _said.add(kind)
        logger.warning("%s (said once)", text)
