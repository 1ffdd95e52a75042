"""Keeps each request's tracked run to itself, on servers whose tasks or threads serve one request after another.

`ASGIMiddleware` is for FastAPI, Starlette and Quart, `WSGIMiddleware` for Flask and Bottle; Django has both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from kalibr.runs import isolated

__all__ = ["ASGIMiddleware", "WSGIMiddleware"]

_Receive = Callable[[], Awaitable[Any]]
_Send = Callable[[Any], Awaitable[None]]


class ASGIMiddleware:
    """Starts every request, and every websocket, with no run tracked, and forgets what it tracked when it ends.

    Example:
        app = ASGIMiddleware(FastAPI())
    """

    def __init__(self, app: Callable[[Any, _Receive, _Send], Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: _Receive, send: _Send) -> None:
        """Serves one request."""
        with isolated():
            await self.app(scope, receive, send)


class WSGIMiddleware:
    """Starts every request with no run tracked, and forgets what it tracked when the response is closed.

    Example:
        application = WSGIMiddleware(application)
    """

    def __init__(self, app: Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serves one request."""
        bounds = isolated()
        bounds.__enter__()
        try:
            return _Body(self.app(environ, start_response), bounds)
        except BaseException:
            bounds.__exit__(None, None, None)
            raise


class _Body:
    """A response whose request ends when it is closed."""

    def __init__(self, body: Iterable[bytes], bounds: AbstractContextManager[None]) -> None:
        self._body = body
        self._chunks: Iterator[bytes] | None = None
        self._bounds: AbstractContextManager[None] | None = bounds

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._chunks is None:
            self._chunks = iter(self._body)
        return next(self._chunks)

    def close(self) -> None:
        """Ends the request. Servers call this once the response is sent, or given up."""
        bounds, self._bounds = self._bounds, None
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            if bounds is not None:
                bounds.__exit__(None, None, None)
