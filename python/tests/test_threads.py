"""Free use from many threads at once."""

from __future__ import annotations

import asyncio
import threading

import kalibr
from conftest import HELLO, Home
from kalibr import feedback

THREADS, ROUNDS = 16, 40


def test_sixteen_threads_share_everything_and_lose_nothing(home: Home) -> None:
    shared = kalibr.Router("shared", ["lab/good", "lab/poor"], success_when=lambda text: text.startswith("good"))
    errors: list[BaseException] = []
    traces: list[str] = []

    def work(me: int) -> None:
        try:
            own = kalibr.Router(f"own-{me % 4}", ["lab/good"])
            for i in range(ROUNDS):
                result = shared.completion(HELLO)
                traces.append(result.trace_id)
                with kalibr.track_run(result):
                    assert feedback.user_accepted(signal_id=f"t-{me}-{i}")
                    assert kalibr.runs.current_run().trace_id == result.trace_id
                assert "".join(c.choices[0].delta.content or "" for c in own.completion(HELLO, stream=True))
                assert asyncio.run(own.acompletion(HELLO)).goal == own.goal
                assert feedback.report_pipeline(f"s-{me}-{i}", "shared", output=result)
                assert feedback.report_action(f"s-{me}-{i}", "output_copied")
                if i % 10 == 0:
                    kalibr.goals()
                    kalibr.explain(result.trace_id)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert feedback.flush(30)
    assert len(set(traces)) == THREADS * ROUNDS
    assert len(home.signals("t-%")) == THREADS * ROUNDS
    (shared_goal,) = (goal for goal in kalibr.goals() if goal["name"] == "shared")
    assert sum(path["graded"] for path in shared_goal["learned"][0]["paths"]) == THREADS * ROUNDS
    assert kalibr.explain(traces[0])["attempts"][0]["graded_by"] == "action"
    assert kalibr.health()["dropped"] == 0


def test_an_engine_is_opened_once_by_many_first_callers(home: Home) -> None:
    barrier = threading.Barrier(8)
    engines: list[object] = []

    def first() -> None:
        barrier.wait()
        kalibr.Router("g", ["lab/good"])
        engines.append(kalibr._engine.opened())

    threads = [threading.Thread(target=first) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(engines) == 8 and len(set(map(id, engines))) == 1
