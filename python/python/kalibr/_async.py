"""From the native half's threads to an event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from kalibr import _kalibr

Done = Callable[[Any, BaseException | None], None]


async def call(start: Callable[[Done], _kalibr.Call]) -> Any:
    """Starts a call and waits for what it calls back with. Cancelling the wait cancels the call."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def done(result: Any, error: BaseException | None) -> None:
        # A loop that was closed meanwhile has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, error)

    running = start(done)
    try:
        return await future
    except asyncio.CancelledError:
        running.cancel()
        raise
