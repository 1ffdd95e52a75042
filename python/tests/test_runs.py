"""Whose feedback is whose: tasks, threads, pools and requests keep their runs apart."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from typing import Any

import kalibr
import pytest
from conftest import HELLO, Home
from kalibr import feedback, runs
from kalibr.middleware import ASGIMiddleware, WSGIMiddleware

A, B = "a" * 32, "b" * 32


def tracked() -> str | None:
    run = runs.current_run()
    return None if run is None else run.trace_id


def test_with_bounds_a_run_and_restores_the_one_before(home: Home) -> None:
    kalibr.track_run(A)
    with kalibr.track_run(B) as handle:
        assert tracked() == handle.trace_id == B
    assert tracked() == A


def test_two_users_in_tasks_do_not_meet(home: Home) -> None:
    router = kalibr.Router("g", ["lab/good"])

    async def user(accepts: bool) -> tuple[str, bool]:
        for _ in range(5):
            result = await router.acompletion(HELLO)
            kalibr.track_run(result)
            await asyncio.sleep(0)
            assert (feedback.user_accepted if accepts else feedback.user_rejected)()
            await asyncio.sleep(0)
            assert router.report(accepts)
        return result.trace_id, accepts

    async def both() -> list[tuple[str, bool]]:
        return await asyncio.gather(*(user(i % 2 == 0) for i in range(10)))

    for trace_id, accepts in asyncio.run(both()):
        assert [e["strength"] for e in kalibr.explain(trace_id)["evidence"]] == [float(accepts)] * 2
    assert tracked() is None


def test_two_threads_do_not_meet(home: Home) -> None:
    seen: dict[str, str | None] = {}
    barrier = threading.Barrier(2)

    def user(trace: str) -> None:
        barrier.wait()
        kalibr.track_run(trace)
        barrier.wait()
        seen[trace] = tracked()

    threads = [threading.Thread(target=user, args=(trace,)) for trace in (A, B)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {A: A, B: B} and tracked() is None


def test_a_pooled_thread_does_not_hand_a_run_to_the_next_job(home: Home) -> None:
    def first() -> str | None:
        kalibr.track_run(A)
        return tracked()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(first).result() == A
        assert pool.submit(tracked).result() is None
        assert pool.submit(feedback.user_accepted).result() is False
        assert pool.submit(first).result() == A
        assert list(pool.map(lambda _: tracked(), range(3))) == [None] * 3


def test_a_job_that_failed_hands_nothing_on_either(home: Home) -> None:
    def first() -> None:
        kalibr.track_run(A)
        raise RuntimeError

    with ThreadPoolExecutor(1) as pool:
        failed = pool.submit(first)
        assert isinstance(failed.exception(), RuntimeError)
        assert pool.submit(tracked).result() is None


def test_the_last_routed_run_is_not_handed_on_either(home: Home) -> None:
    router = kalibr.Router("g", ["lab/good"])
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: router.completion(HELLO) and router.report(True)).result() is True
        assert pool.submit(router.report, True).result() is False


def test_a_job_may_run_a_loop_whose_threads_see_its_run(home: Home) -> None:
    async def inside() -> list[str | None]:
        return [tracked(), await asyncio.to_thread(tracked)]

    def job() -> list[str | None]:
        kalibr.track_run(A)
        return [*asyncio.run(inside()), tracked()]

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(job).result() == [A, A, A]
        assert pool.submit(tracked).result() is None


def test_a_task_sees_its_run_in_the_threads_that_work_for_it(home: Home) -> None:
    async def user(trace: str) -> None:
        kalibr.track_run(trace)
        for _ in range(5):
            assert await asyncio.to_thread(tracked) == trace

    async def nobody() -> None:
        for _ in range(5):
            assert await asyncio.to_thread(tracked) is None
            assert await asyncio.get_running_loop().run_in_executor(None, tracked) is None

    async def all_of_them() -> None:
        await asyncio.gather(user(A), nobody(), user(B), nobody())

    asyncio.run(all_of_them())


def test_what_a_thread_of_a_task_tracks_ends_with_it(home: Home) -> None:
    async def user() -> list[str | None]:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, kalibr.track_run, A)
        return [await loop.run_in_executor(None, tracked) for _ in range(3)] + [tracked()]

    assert asyncio.run(user()) == [None] * 4


def test_pools_of_multiprocessing_hand_nothing_on(home: Home) -> None:
    def first(_: int) -> str | None:
        kalibr.track_run(A)
        return tracked()

    with ThreadPool(1) as pool:
        assert pool.map(first, [0], chunksize=1) == [A]
        assert pool.apply(tracked) is None
        assert pool.map(lambda _: tracked(), range(3), chunksize=1) == [None] * 3


def test_processes_of_a_pool_hand_nothing_on(home: Home) -> None:
    done = home.run(
        """
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        import kalibr
        from kalibr import runs

        def first(_):
            kalibr.track_run("a" * 32)
            return runs.current_run().trace_id

        def second(_):
            return runs.current_run()

        fork = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(1, mp_context=fork) as pool:
            print(pool.submit(first, 0).result() == "a" * 32, pool.submit(second, 0).result())
        with fork.Pool(1) as pool:
            print(pool.apply(first, (0,)) == "a" * 32, pool.apply(second, (0,)))
        """
    )
    assert done.stdout.split() == ["True", "None", "True", "None"]


def test_a_python_that_pools_differently_falls_back_to_the_plain_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_LOOPS", {})
    with ThreadPoolExecutor(1) as pool:
        pool.submit(kalibr.track_run, A).result()
        assert pool.submit(tracked).result() == A
        pool.submit(lambda: runs._tracked.set(None)).result()


def test_asgi_requests_of_one_task_are_kept_apart() -> None:
    seen: list[str | None] = []

    async def app(scope: dict[str, str], receive: object, send: object) -> None:
        seen.append(tracked())
        kalibr.track_run(scope["trace"])
        seen.append(tracked())
        if scope["trace"] == B:
            raise RuntimeError

    async def server() -> None:
        wrapped = ASGIMiddleware(app)  # type: ignore[arg-type]
        await wrapped({"trace": A}, None, None)  # type: ignore[arg-type]
        with pytest.raises(RuntimeError):
            await wrapped({"trace": B}, None, None)  # type: ignore[arg-type]
        seen.append(tracked())

    asyncio.run(server())
    assert seen == [None, A, None, B, None]


class _Body:
    def __init__(self) -> None:
        self.closed = False

    def __iter__(self) -> Iterable[bytes]:
        yield (tracked() or "").encode()
        kalibr.track_run(B)
        yield (tracked() or "").encode()

    def close(self) -> None:
        self.closed = True


def test_a_wsgi_request_lasts_until_its_response_is_closed() -> None:
    body = _Body()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        assert tracked() is None
        kalibr.track_run(A)
        return body

    wrapped = WSGIMiddleware(app)
    for _ in range(2):
        response = wrapped({}, lambda *_: None)
        assert b" ".join(response) == f"{A} {B}".encode()
        response.close()  # type: ignore[attr-defined]
        assert body.closed and tracked() is None


def test_a_wsgi_app_that_raises_leaves_nothing_tracked() -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        kalibr.track_run(A)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        WSGIMiddleware(app)({}, lambda *_: None)
    assert tracked() is None


def test_what_is_no_run_is_not_tracked_and_unties_the_run_before(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    kalibr.track_run(A)
    for nothing in (None, 3, {}, {"trace_id": 7}, object()):
        assert not kalibr.track_run(nothing)
        assert tracked() is None
        kalibr.track_run(nothing)
    assert len(caplog.records) == 4, "one line for each kind of mistake, not for each call"
    with pytest.raises(kalibr.InvalidSignalError):
        kalibr.track_run(None, strict=True)
    kalibr.track_run(A)
    with kalibr.track_run(None):
        assert tracked() is None
    assert tracked() == A


def test_a_handle_may_be_entered_later_and_ended_runs_do_not_come_back(home: Home) -> None:
    handle = kalibr.track_run(A)
    kalibr.track_run(B)
    with handle:
        assert tracked() == A
    assert tracked() == B

    def bounded(trace: str) -> Iterator[None]:
        with kalibr.track_run(trace):
            yield

    with runs.isolated():
        first, second = bounded(A), bounded(B)
        next(first)
        next(second)
        first.close()  # type: ignore[attr-defined]
        assert tracked() == B
        second.close()  # type: ignore[attr-defined]
        assert tracked() is None


def test_a_task_that_tracks_for_ever_keeps_one_run(home: Home) -> None:
    for number in range(1, 50):
        handle = kalibr.track_run(f"{number:032x}")
    before = handle._before
    assert before is not None and before._before is None


def test_a_celery_task_does_not_see_the_run_of_the_task_before(home: Home) -> None:
    from celery import Celery

    app = Celery("tests", broker="memory://")

    @app.task
    def work(trace: str | None) -> str | None:
        if trace is not None:
            kalibr.track_run(trace)
        return tracked()

    kalibr.track_run(B)
    assert [work.apply(args=[A]).get(), work.apply(args=[None]).get()] == [A, None]
