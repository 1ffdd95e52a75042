"""Which run the feedback of this request is about.

The tracked run is kept in a `contextvars.ContextVar`: each asyncio task and each thread has its own, and what runs on
behalf of a task (`asyncio.to_thread`) sees the task's. Two users' feedback cannot meet.

One thing a context variable does not do: a thread of a pool keeps its context from job to job, so the run that one job
tracked would still be there for the next job, which may serve another user. So a run remembers the job that tracked it,
and counts no longer once that job is over.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import re
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Generic, Protocol, TypeVar

from kalibr import _log
from kalibr.errors import InvalidSignalError

__all__ = ["Run", "TrackedRun", "current_run", "isolated", "track_run"]


_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")


@dataclass(frozen=True)
class Run:
    """A run as feedback addresses it: its trace, and what is known of it here."""

    trace_id: str
    goal: str | None = None
    model: str | None = None
    """The model of the path that answered."""
    provider_model: str | None = None
    """The model as the provider names it in its answer."""
    answer: int | None = None
    """A fingerprint of the answer's text, by this process's own secret: see `fingerprint`."""

    def is_by(self, model: str) -> bool:
        """Whether this model made the run: the path's model, its part behind the provider's prefix, or the provider's
        own name for it."""
        known = {self.model, self.provider_model}
        if self.model is not None:
            known.add(self.model.partition("/")[2])
        return model in known


def fingerprint(text: str) -> int:
    """Tells texts apart within this process, whatever white space was trimmed; says nothing of them elsewhere."""
    return hash(" ".join(text.split()))


class _Job(Protocol):
    def is_over(self) -> bool: ...


class _Future:
    """A job of `concurrent.futures.ThreadPoolExecutor`, known by its future."""

    def __init__(self, future: concurrent.futures.Future[Any]) -> None:
        self._future = weakref.ref(future)

    def is_over(self) -> bool:
        future = self._future()
        return future is None or future.done()


class _Lap:
    """A lap of a loop that serves one job after another on its thread. Nobody else sees such a job end, so it is over
    when the loop of the same thread is at another one."""

    def __init__(self, key: object) -> None:
        self._thread = threading.get_ident()
        self._key = key

    def is_over(self) -> bool:
        if threading.get_ident() != self._thread:
            return False
        now = _job()
        return not (isinstance(now, _Lap) and now._key == self._key)


_LOOPS: dict[object, Callable[[dict[str, Any]], _Job | None]] = {}


def _know_loop(code_of: Callable[[], Any], read: Callable[[dict[str, Any]], _Job | None]) -> None:
    """A Python that does these things differently loses only the protection of pooled threads."""
    with contextlib.suppress(ImportError, AttributeError):
        _LOOPS[code_of().__code__] = read


def _thread_pool() -> Any:
    from concurrent.futures.thread import _WorkItem

    return _WorkItem.run


def _know_multiprocessing() -> None:
    """Pools of processes and `multiprocessing.pool.ThreadPool`, if they are in use at all."""
    pool = sys.modules.get("multiprocessing.pool")
    if pool is not None:
        _know_loop(lambda: pool.worker, lambda local: _Lap((local["job"], local["i"])))
    process = sys.modules.get("concurrent.futures.process")
    if process is not None:
        _know_loop(lambda: process._process_worker, lambda local: _Lap(local["call_item"].work_id))


_know_loop(_thread_pool, lambda local: _Future(local["self"].future))


def _job() -> _Job | None:
    """The innermost job of a pool that this thread works on."""
    _know_multiprocessing()
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        read = _LOOPS.get(frame.f_code)
        if read is not None:
            try:
                return read(frame.f_locals)
            except (KeyError, AttributeError, TypeError):
                return None
        frame = frame.f_back
    return None


_Value = TypeVar("_Value")


class _Slot(Generic[_Value]):
    """One context variable whose value ends with the job that set it."""

    def __init__(self, name: str) -> None:
        self._variable: ContextVar[tuple[_Value, _Job | None] | None] = ContextVar(name, default=None)

    def get(self) -> _Value | None:
        held = self._variable.get()
        if held is None:
            return None
        value, job = held
        return None if job is not None and job.is_over() else value

    def set(self, value: _Value | None) -> None:
        _know_celery()
        self._variable.set(None if value is None else (value, _job()))


_celery_is_known = False


def _know_celery() -> None:
    """A worker of a Celery pool serves one task after another in one context: each begins and ends with no run."""
    global _celery_is_known
    if _celery_is_known or "celery" not in sys.modules:
        return
    with contextlib.suppress(ImportError):
        from celery.signals import task_postrun, task_prerun  # type: ignore[import-untyped,import-not-found,unused-ignore]

        _celery_is_known = True
        for signal in (task_prerun, task_postrun):
            signal.connect(_forget, weak=False, dispatch_uid="kalibr-runs")


def _forget(**_: object) -> None:
    _tracked.set(None)
    _routed.set(None)


class TrackedRun:
    """What `track_run` returns. As a context manager it bounds the run; without `with`, the run stays tracked until
    another is, or the task, the request or the pool's job ends. False where there was nothing to track."""

    __slots__ = ("_before", "_entered", "_over", "_session", "run")

    def __init__(self, run: Run | None) -> None:
        self.run = run
        self._before = before = _tracked.get()
        self._entered = self._over = False
        self._session: int | None = None
        if before is not None and not before._entered:
            # Nobody will come back to what was before it: else a task that tracks for ever would keep every run.
            before._before = None

    @property
    def trace_id(self) -> str | None:
        """The decision that is tracked, if any."""
        return None if self.run is None else self.run.trace_id

    def __bool__(self) -> bool:
        return self.run is not None

    def __enter__(self) -> TrackedRun:
        current = _tracked.get()
        if current is not self:
            self._before = current
            _tracked.set(self)
        self._entered, self._over = True, False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._entered, self._over = False, True
        if _tracked.get() is not self:
            # Another run was tracked meanwhile, and is not this block's to end.
            return
        before = self._before
        while before is not None and before._over:
            before = before._before
        _tracked.set(before)


class Routing:
    """A call under way: filled with its run once there is one."""

    __slots__ = ("run",)

    def __init__(self) -> None:
        self.run: Run | None = None


_tracked: _Slot[TrackedRun] = _Slot("kalibr_tracked_run")
_routed: _Slot[dict[str, Routing]] = _Slot("kalibr_routed_runs")


def track_run(result: Any, *, strict: bool = False) -> TrackedRun:
    """Remembers which run the feedback that follows is about, in this asyncio task or thread.

    What is no run is logged once, and then nothing is tracked: feedback must not land on the run before it.

    Args:
        result: what `Router.completion` or `Router.decide` returned, a stream, or a trace id.
        strict: raise for what is no run.

    Returns:
        A handle with the `trace_id`; used as `with track_run(result):` it ends the tracking with the block.

    Raises:
        InvalidSignalError: it is none of these, and `strict`.

    Example:
        result = router.completion(messages=messages)
        track_run(result)
        user_accepted()
    """
    run: Run | None = None
    try:
        run = run_of(result)
    except InvalidSignalError as error:
        if strict:
            raise
        _log.once("track_run", error, "nothing is tracked")
    handle = TrackedRun(run)
    _tracked.set(handle)
    return handle


def current_run() -> Run | None:
    """The run that is tracked here, if any."""
    handle = _tracked.get()
    return None if handle is None else handle.run


def belongs_to(session_id: str, output: Any) -> bool:
    """Whether the tracked run may anchor this session. It anchors one without a question; a session after that may be
    about a later call that no router made, so for that the answer has to be the run's own."""
    handle = _tracked.get()
    if handle is None or handle.run is None:
        return False
    session = hash(session_id)
    if handle._session is None:
        handle._session = session
    if handle._session == session or not isinstance(output, str) or handle.run.answer is None:
        return True
    return fingerprint(output) == handle.run.answer


def run_of(result: Any) -> Run:
    """The run that an object stands for.

    Raises:
        InvalidSignalError: it stands for none.
    """
    if isinstance(result, Run):
        return result
    if isinstance(result, TrackedRun) and result.run is not None:
        return result.run
    known = getattr(result, "__kalibr_run__", None)
    if callable(known):
        return known()  # type: ignore[no-any-return]
    if isinstance(result, str) and _TRACE_ID.fullmatch(result):
        return Run(result)
    if isinstance(result, dict):
        # The hosted SDK's names are understood too.
        trace = result.get("trace_id") or result.get("kalibr_trace_id")
        if isinstance(trace, str) and _TRACE_ID.fullmatch(trace):
            return Run(trace, result.get("goal") or result.get("goal_id"), result.get("model"))
    raise InvalidSignalError(
        f"a {type(result).__name__} names no run; give what Router.completion or Router.decide returned, or a trace id"
    )


def routing(goal: str) -> Routing:
    """A router of this context makes a call for this goal: `Router.report` without a trace id speaks of it.

    To be called in the caller's own context, which `asyncio.wait_for` and the like do not share with the call itself.
    """
    made = Routing()
    _routed.set({**(_routed.get() or {}), goal: made})
    return made


def last_routed(goal: str) -> Run | None:
    """The last run that was made for this goal in this context."""
    made = (_routed.get() or {}).get(goal)
    return None if made is None else made.run


@contextlib.contextmanager
def isolated() -> Iterator[None]:
    """Nothing that was tracked before is seen within, and nothing that is tracked within is seen after."""
    before = _tracked.get(), _routed.get()
    _tracked.set(None)
    _routed.set(None)
    try:
        yield
    finally:
        _tracked.set(before[0])
        _routed.set(before[1])
