"""Several processes: forks, exits, kills, and one ledger for all."""

from __future__ import annotations

import json
import os
import signal
import time

import kalibr
import pytest
from conftest import HELLO, Home
from kalibr import feedback

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def test_a_fork_amid_traffic_leaves_parent_and_children_whole(home: Home) -> None:
    """As `gunicorn --preload` does: the parent has used Kalibr, its threads go on, and children are forked."""
    done = home.run(
        """
        import json, os, threading
        import kalibr
        from kalibr import feedback

        HELLO = [{"role": "user", "content": "Hello"}]
        router = kalibr.Router("g", ["lab/good", "lab/poor"])
        router.completion(HELLO)
        stop = threading.Event()
        sent = [0] * 3

        def traffic(i):
            while not stop.is_set():
                result = router.completion(HELLO)
                with kalibr.track_run(result):
                    if i == 2:
                        list(router.completion(HELLO, stream=True))
                    sent[i] += feedback.user_accepted(signal_id=f"parent-{i}-{sent[i]}")

        threads = [threading.Thread(target=traffic, args=(i,)) for i in range(3)]
        for thread in threads:
            thread.start()
        traces = []
        for child in range(10):
            readable, writable = os.pipe()
            pid = os.fork()
            if pid == 0:
                results = [router.completion(HELLO) for _ in range(5)]
                for i, result in enumerate(results):
                    assert feedback.user_rejected(run=result, signal_id=f"child-{child}-{i}")
                assert feedback.flush(30)
                os.write(writable, json.dumps([result.trace_id for result in results]).encode())
                os._exit(0)
            os.close(writable)
            assert os.waitpid(pid, 0)[1] == 0
            with os.fdopen(readable) as told:
                traces += json.load(told)
        stop.set()
        for thread in threads:
            thread.join()
        assert feedback.flush(30)
        print(json.dumps({"sent": sum(sent), "traces": traces}))
        """,
        timeout=120,
    )
    said = json.loads(done.stdout)
    assert len(set(said["traces"])) == 50
    assert len(home.signals("child-%")) == 50
    assert len(home.signals("parent-%")) == said["sent"] > 0
    counted = sum(path["graded"] for path in _learned(home))
    assert counted == 50 + said["sent"]


def _learned(home: Home) -> list[dict[str, float]]:
    kalibr.close()
    return kalibr.goals()[0]["learned"][0]["paths"]  # type: ignore[no-any-return]


def test_children_name_their_decisions_and_signals_differently(home: Home) -> None:
    done = home.run(
        """
        import os, sys
        import kalibr
        from kalibr import feedback

        router = kalibr.Router("g", ["lab/good"])
        router.decide()
        feedback.user_accepted(trace_id="a" * 32)
        for _ in range(8):
            if os.fork() == 0:
                made = [router.decide()["trace_id"] for _ in range(20)]
                for trace in made:
                    feedback.user_accepted(trace_id=trace)
                os.write(1, ("\\n".join(made) + "\\n").encode())
                assert feedback.flush(30)
                os._exit(0)
        for _ in range(8):
            assert os.wait()[1] == 0
        """
    )
    made = done.stdout.split()
    assert len(made) == len(set(made)) == 160
    assert len(home.signals()) == 161


def test_what_was_made_before_a_fork_is_refused_in_the_child_and_goes_on_in_the_parent(home: Home) -> None:
    from fake_provider import fake_provider

    with fake_provider() as provider:
        home.add_config(f'[providers.fake]\nbase_url = "{provider.base_url}"\n')
        stream = kalibr.Router("g", ["fake/echo"]).completion(
            [{"role": "user", "content": "one two three"}], stream=True
        )
        next(stream)
        pid = os.fork()
        if pid == 0:
            try:
                next(stream)
            except kalibr.KalibrError:
                del stream
                os._exit(0)
            os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0
        assert [chunk.choices[0].delta.content for chunk in stream] == ["two ", "three ", None]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_drain_when_they_end(home: Home, method: str, tmp_path: object) -> None:
    script = home.path.parent / "workers.py"
    script.write_text(
        """
import multiprocessing, sys
import kalibr
from kalibr import feedback

def work(i):
    result = kalibr.Router("g", ["lab/good"]).completion([{"role": "user", "content": "Hello"}])
    assert feedback.user_accepted(run=result, signal_id=f"process-{i}")
    # The folder is opened by this one in the background, if by nobody before.
    assert feedback.report_pipeline(f"session-{i}", f"goal-{i}", model="m")

if __name__ == "__main__":
    kalibr.Router("g", ["lab/good"])
    context = multiprocessing.get_context(sys.argv[1])
    children = [context.Process(target=work, args=(i,)) for i in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    sys.exit(any(child.exitcode for child in children))
"""
    )
    import subprocess
    import sys

    subprocess.run([sys.executable, str(script), method], env=home.env(), check=True, timeout=60)
    assert home.signals() == ["process-0", "process-1", "process-2"]
    assert home.query("SELECT count(*) FROM goals WHERE name LIKE 'goal-%'") == [(3,)]


@pytest.mark.parametrize(
    "ending", ["pass", "sys.exit(3)", "raise RuntimeError", "threading.Thread(target=late).start()"]
)
def test_the_end_of_a_process_drains(home: Home, ending: str) -> None:
    home.run(
        f"""
        import sys, threading, time
        import kalibr
        from kalibr import feedback

        def late():
            time.sleep(0.2)
            feedback.user_accepted(trace_id="a" * 32, signal_id="sent-1000")

        for i in range(1000):
            assert feedback.user_accepted(trace_id=f"{{i + 1:032x}}", signal_id=f"sent-{{i}}")
        {ending}
        """,
        check=False,
    )
    assert len(home.signals("sent-%")) == 1000 + ("late" in ending)


def test_a_configuration_that_cannot_be_used_is_said_and_does_not_hold_up_the_end_of_the_process(home: Home) -> None:
    home.add_config("[goals.g]\npaths = []\n")
    begun = time.monotonic()
    done = home.run(
        """
        from kalibr import feedback
        assert feedback.user_accepted(trace_id="a" * 32)
        assert not feedback.flush(20)
        """
    )
    assert time.monotonic() - begun < 8, "the end of the process waits 10 seconds for a store that stands still"
    assert "at least one path" in done.stderr


def test_a_pool_of_celery_drains_when_its_processes_end(home: Home) -> None:
    pytest.importorskip("celery")
    done = home.run(
        """
        import os
        import celery.signals
        import kalibr
        from kalibr import feedback

        kalibr.Router("g", ["lab/good"])
        pid = os.fork()
        if pid == 0:
            kalibr.Router("g", ["lab/good"])
            feedback.user_accepted(trace_id="a" * 32, signal_id="task")
            # What a process of the prefork pool does last.
            celery.signals.worker_process_shutdown.send(sender=None, pid=os.getpid(), exitcode=0)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        """
    )
    assert done.returncode == 0 and home.signals() == ["task"]


def test_one_process_sees_what_another_learned_within_a_second(home: Home) -> None:
    router = kalibr.Router("g", ["lab/good", "lab/poor"])
    other = home.start(
        """
        import sys, kalibr
        from kalibr import feedback
        router = kalibr.Router("g", ["lab/good", "lab/poor"])
        sys.stdin.readline()
        for _ in range(60):
            result = router.completion([{"role": "user", "content": "Hello"}])
            good = result.model == "lab/good"
            (feedback.user_accepted if good else feedback.user_rejected)(run=result, strict=True)
        assert feedback.flush(30)
        print("learned", flush=True)
        sys.stdin.readline()
        """
    )
    assert other.stdin is not None and other.stdout is not None
    other.stdin.write("go\n")
    other.stdin.flush()
    assert other.stdout.readline() == "learned\n"
    learned = time.monotonic()
    while sum(path["graded"] for path in kalibr.goals()[0]["learned"][0]["paths"]) < 60:
        assert time.monotonic() - learned < 1.0
        time.sleep(0.01)
    assert sum(router.decide()["model"] == "lab/good" for _ in range(100)) > 90
    other.communicate("end\n", timeout=30)
    assert other.returncode == 0


def test_kill_9_after_flush_loses_nothing(home: Home) -> None:
    for kill in range(3):
        victim = home.start(
            f"""
            import kalibr
            from kalibr import feedback
            router = kalibr.Router("g", ["lab/good", "lab/poor"])
            for i in range(300):
                assert feedback.user_accepted(run=router.decide(), signal_id=f"kill-{kill}-{{i}}")
            assert feedback.flush(30)
            print("flushed", flush=True)
            while True:
                feedback.user_rejected(run=router.decide())
            """
        )
        assert victim.stdout is not None and victim.stdout.readline() == "flushed\n"
        victim.send_signal(signal.SIGKILL)
        victim.communicate(timeout=30)
        assert len(home.signals(f"kill-{kill}-%")) == 300
    paths = _learned(home)
    graded = home.query("SELECT count(*) FROM signals JOIN decisions ON decisions.trace = signals.trace")
    assert sum(path["graded"] for path in paths) == graded[0][0]


def test_a_process_that_is_told_to_stop_by_ctrl_c_stops_at_once(home: Home) -> None:
    from fake_provider import fake_provider

    with fake_provider() as provider:
        home.add_config(f'[providers.fake]\nbase_url = "{provider.base_url}"\n')
        waiting = home.start(
            """
            import kalibr
            router = kalibr.Router("g", ["fake/slow"])
            print("waiting", flush=True)
            try:
                router.completion([{"role": "user", "content": "30"}])
            except KeyboardInterrupt:
                print("interrupted", flush=True)
            """
        )
        assert waiting.stdout is not None and waiting.stdout.readline() == "waiting\n"
        time.sleep(0.3)
        began = time.monotonic()
        waiting.send_signal(signal.SIGINT)
        assert waiting.communicate(timeout=20)[0] == "interrupted\n"
        assert time.monotonic() - began < 5


def test_close_is_no_end(home: Home) -> None:
    router = kalibr.Router("g", ["lab/good"])
    assert kalibr.close() and kalibr.close()
    assert feedback.user_accepted(run=router.completion(HELLO))
    assert feedback.flush()
