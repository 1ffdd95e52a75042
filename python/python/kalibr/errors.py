"""What can go wrong, by what the caller would do about it. No message repeats what a user or a model wrote."""

from __future__ import annotations

import json
from typing import Any

__all__ = [
    "ConfigError",
    "GoalError",
    "InvalidRequestError",
    "InvalidSignalError",
    "KalibrError",
    "NoPathError",
    "NoRunError",
    "ProviderError",
    "QueueFullError",
    "StoreError",
    "UnknownGoalError",
]


class KalibrError(Exception):
    """The base of all exceptions of this package."""


class GoalError(KalibrError, ValueError):
    """A goal cannot be as asked: no paths, too many, a path that is none, a name that cannot be one."""


class UnknownGoalError(GoalError, LookupError):
    """There is no goal of this name. `Router(goal, paths)` creates one."""


class NoPathError(KalibrError, LookupError):
    """No path of the goal may be chosen: all were excluded, or none has the model that was forced."""


class InvalidRequestError(KalibrError, ValueError):
    """A request cannot be passed on: no messages, a value that JSON does not know, a malformed id."""


class InvalidSignalError(KalibrError, ValueError):
    """A signal is malformed: an unknown type, a number outside 0..1, an id that cannot be one. Nothing was changed."""


class NoRunError(KalibrError, LookupError):
    """It is not said which run is meant, and no run is tracked here; or nothing is known of the one that is named."""


class QueueFullError(KalibrError):
    """More waits for the store than may wait; it is slower than the traffic, or stands still. Send again later."""


class StoreError(KalibrError):
    """The data folder or its ledger cannot be used just now."""


class ConfigError(KalibrError, ValueError):
    """The configuration cannot be used: `kalibr.toml`, an environment variable, or a model that no provider has."""


class ProviderError(KalibrError):
    """No path brought an answer.

    `str(error)` is a sentence of ours and safe to log. What the provider said is in `body`, because providers often
    repeat what the user wrote.

    Example:
        try:
            result = router.completion(messages=messages)
        except kalibr.ProviderError as error:
            if error.category == "rate_limited":
                retry_in(error.retry_after or 10)
    """

    category: str
    """What happened, as one of the protocol's names: `timeout`, `rate_limited`, `auth_error`, `provider_error` ..."""
    status: int | None
    """The provider's HTTP status, if it answered."""
    trace_id: str | None
    """The decision whose last attempt failed; `kalibr.explain` tells of all of them."""
    attempts: int | None
    """How many paths were tried."""
    retry_after: float | None
    """Seconds for which the provider asks to be left alone."""

    def __init__(
        self,
        message: str,
        *,
        category: str = "unknown",
        status: int | None = None,
        trace_id: str | None = None,
        body: bytes | None = None,
        attempts: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.category = category
        self.status = status
        self.trace_id = trace_id
        self.attempts = attempts
        self.retry_after = retry_after
        self._body = body

    @property
    def body(self) -> Any:
        """The provider's own error: decoded JSON, or text where it is none; `None` if it sent nothing."""
        if self._body is None:
            return None
        try:
            return json.loads(self._body)
        except ValueError:
            return self._body.decode("utf-8", "replace")

    def __reduce__(self) -> tuple[Any, ...]:
        return _provider_error, (
            str(self),
            {
                "category": self.category,
                "status": self.status,
                "trace_id": self.trace_id,
                "body": self._body,
                "attempts": self.attempts,
                "retry_after": self.retry_after,
            },
        )


def _provider_error(message: str, more: dict[str, Any]) -> ProviderError:
    """Exceptions are pickled by positional arguments alone; this one has names."""
    return ProviderError(message, **more)
