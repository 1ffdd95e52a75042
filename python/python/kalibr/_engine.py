"""The engine of this process: opened at first use, closed at exit, left behind by a fork.

One process has one engine. A child of a fork must not touch its parent's: threads do not survive a fork, and SQLite's
file locks belong to a process. So around a fork the parent closes its files for a moment, and the child forgets what it
inherited and opens an engine of its own when it needs one.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time

from kalibr import _kalibr

EXIT_PATIENCE = 10.0
"""Seconds that the end of the process waits for the store. A store that takes longer stands still."""

_lock = threading.RLock()
_engine: _kalibr.Engine | None = None
_inherited: list[_kalibr.Engine] = []
_suspended: _kalibr.Engine | None = None


def get() -> _kalibr.Engine:
    """The engine, opened if need be.

    Raises:
        ConfigError: the configuration cannot be used.
        StoreError: the data folder or its ledger cannot be used.
    """
    engine = _engine
    return engine if engine is not None else _open()


def opened() -> _kalibr.Engine | None:
    """The engine if there is one. Never waits."""
    return _engine


def _open() -> _kalibr.Engine:
    global _engine
    with _lock:
        if _engine is None:
            _engine = _kalibr.Engine.open(dict(os.environ))
            drain_at_exit()
        return _engine


def close(timeout: float = EXIT_PATIENCE) -> bool:
    """Writes what is queued and closes the engine; the next use opens one anew.

    Args:
        timeout: seconds to wait for the store.

    Returns:
        Whether everything was written in time. What was not is lost.
    """
    global _engine
    from kalibr import _worker

    deadline = time.monotonic() + timeout
    drained = _worker.drain(timeout)
    # A fork has to wait until the files are closed.
    with _lock:
        engine, _engine = _engine, None
        if engine is None:
            return drained
        return engine.close(max(0.0, deadline - time.monotonic())) and drained


def drain_at_exit() -> None:
    """Has the end of this process wait for the store. Children of multiprocessing leave by `os._exit`, which skips
    `atexit`, and those of a Celery pool skip even multiprocessing's own way out."""
    atexit.unregister(close)
    atexit.register(close)
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        # Positive, or it would run only after the children of this process were joined.
        util.Finalize(None, close, exitpriority=10)
    if "celery" in sys.modules:
        with contextlib.suppress(ImportError):
            from celery.signals import worker_process_shutdown  # type: ignore[import-untyped,import-not-found,unused-ignore]

            worker_process_shutdown.connect(_celery_shutdown, weak=False, dispatch_uid="kalibr")


def _celery_shutdown(**_: object) -> None:
    close()


def _before_fork() -> None:
    global _suspended
    # Nobody may be opening the files while the process is copied.
    _lock.acquire()
    _suspended = _engine
    if _suspended is not None:
        _suspended.suspend()


def _after_fork_in_parent() -> None:
    global _suspended
    if _suspended is not None:
        _suspended.resume()
        _suspended = None
    _lock.release()


def _after_fork_in_child() -> None:
    global _engine, _lock, _suspended
    if _engine is not None:
        _inherited.append(_engine)
    _engine = _suspended = None
    _lock = threading.RLock()
    _kalibr.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
