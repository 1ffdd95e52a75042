"""Work that may wait for the store, done behind the caller's back.

Feedback must not wait, but some of it has to: for a data folder that is opened for the first time, for a goal that has
to be made first. A thread does that, in order, and tries again while the store is out of reach.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable

from kalibr import _engine, _kalibr, _log
from kalibr.errors import ConfigError, QueueFullError, StoreError

Job = Callable[[_kalibr.Engine], object]

LIMIT = 65_536
"""Most jobs that wait; each holds a few hundred bytes."""
TEXTS = 256
"""As many may wait when one comes that holds a text."""
_RETRY = (0.05, 1.0)
_LOOK = 0.05


class _Worker:
    def __init__(self) -> None:
        # Unlike queue.Queue it may be used from a destructor that interrupts its own use.
        self._jobs: queue.SimpleQueue[Job | threading.Event] = queue.SimpleQueue()
        self._start = threading.Lock()
        self._thread: threading.Thread | None = None
        # The configuration cannot be used: no waiting mends that, and the end of a process need not wait for it.
        self._misconfigured = False

    def submit(self, job: Job, limit: int) -> bool:
        if self._jobs.qsize() >= limit:
            return False
        self._jobs.put(job)
        self._ensure_running()
        return True

    def drain(self, timeout: float) -> bool:
        if self._thread is None and self._jobs.empty():
            return True
        self._ensure_running()
        done = threading.Event()
        self._jobs.put(done)
        deadline = time.monotonic() + timeout
        while not done.wait(max(0.0, min(_LOOK, deadline - time.monotonic()))):
            if self._misconfigured or time.monotonic() >= deadline:
                return done.is_set()
        return True

    def _ensure_running(self) -> None:
        # Of several first callers one starts the thread; the others need not wait for that.
        if self._thread is None and self._start.acquire(blocking=False):
            try:
                if self._thread is None:
                    _engine.drain_at_exit()
                    thread = threading.Thread(target=self._run, name="kalibr-feedback", daemon=True)
                    thread.start()
                    self._thread = thread
            finally:
                self._start.release()

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            if isinstance(job, threading.Event):
                job.set()
            else:
                self._do(job)
            # Holding on to the last job would hold on to what it holds until the next.
            del job

    def _do(self, job: Job) -> None:
        wait = _RETRY[0]
        while True:
            try:
                engine = _engine.get()
                self._misconfigured = False
                job(engine)
                return
            except (StoreError, ConfigError, QueueFullError) as error:
                self._misconfigured = isinstance(error, ConfigError)
                _log.once("background", error, "feedback waits in memory")
            except Exception as error:
                _log.once("background", error, "feedback was not taken")
                return
            time.sleep(wait)
            wait = min(2 * wait, _RETRY[1])


_worker = _Worker()


def submit(job: Job, limit: int = LIMIT) -> bool:
    """Queues a job. Never waits; returns False when `limit` or more wait already."""
    return _worker.submit(job, limit)


def drain(timeout: float) -> bool:
    """Waits until all jobs queued so far are done. Returns whether they are, within `timeout` seconds."""
    return _worker.drain(timeout)


def _after_fork_in_child() -> None:
    global _worker
    # The parent does the jobs that it has; its thread is not here.
    _worker = _Worker()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
