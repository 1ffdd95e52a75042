"""How long a feedback call takes while the store stands still, and whether anything is lost by that.

Another process holds SQLite's write lock on the ledger for some seconds; meanwhile feedback calls are timed one by one.
After the lock is released, everything must be committed and each signal be in the ledger exactly once.

    python bench/feedback/feedback_latency.py [--calls 10000] [--pause 5]

Ends with a non-zero status if the 99th percentile reaches 1 ms, if the calls did not fit into the pause, or if a signal
is missing or doubled.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from kalibr import Router, feedback

LIMIT_MS = 1.0

LEVELS = (
    feedback.user_accepted,
    partial(feedback.user_rejected, reason="output too short"),
    partial(feedback.report_user_turn, user_message="That's wrong, try again."),
    partial(feedback.report_action, action_type="output_edited"),
)
"""One call of each kind on every decision."""

_HOLD = """
import sqlite3, sys, time
ledger = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
ledger.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
ledger.execute("ROLLBACK")
"""

_COUNT = """
import sqlite3, sys
ids = "SELECT count(*), count(DISTINCT id) FROM signals WHERE id LIKE 'bench-%'"
print(*sqlite3.connect(sys.argv[1], timeout=30).execute(ids).fetchone())
"""


def main() -> int:
    """Runs the benchmark and prints its figures."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--calls", type=int, default=10_000)
    options.add_argument(
        "--pause",
        type=float,
        default=5.0,
        help="seconds for which the store stands still",
    )
    args = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="kalibr-bench-") as home:
        os.environ["KALIBR_HOME"] = home
        os.environ.pop("KALIBR_CONFIG", None)
        return measure(Path(home) / "ledger.db", args.calls, args.pause)


def measure(ledger: Path, calls: int, pause: float) -> int:
    """Times `calls` feedback calls while `ledger` is locked for `pause` seconds."""
    router = Router("bench", ["a/one", "a/two"])
    traces = [router.decide()["trace_id"] for _ in range(-(-calls // len(LEVELS)))]
    assert feedback.flush(30)

    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(ledger), str(pause)], stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    paused_at = time.perf_counter()

    taken = 0
    times = []
    for i in range(calls):
        call, about = (
            LEVELS[i % len(LEVELS)],
            {"trace_id": traces[i // len(LEVELS)], "signal_id": f"bench-{i}"},
        )
        before = time.perf_counter()
        taken += call(**about)
        times.append(time.perf_counter() - before)
    spent = time.perf_counter() - paused_at
    flushed_early = feedback.flush(0.05)
    holder.wait()
    flushed = feedback.flush(60)

    # Not here: a second SQLite within a process takes away the first one's locks.
    counted = subprocess.run(
        [sys.executable, "-c", _COUNT, str(ledger)],
        check=True,
        capture_output=True,
        text=True,
    )
    rows, distinct = map(int, counted.stdout.split())

    times.sort()
    p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
    print(
        f"calls {calls}, taken {taken}, all within {spent:.2f} s of a pause of {pause:g} s"
    )
    print(
        f"p50 {p50 * 1e3:.4f} ms, p99 {p99 * 1e3:.4f} ms, max {times[-1] * 1e3:.4f} ms"
    )
    print(
        f"flush during the pause {flushed_early}, after it {flushed}; in the ledger {rows}, distinct {distinct}"
    )

    problems = []
    if p99 * 1e3 >= LIMIT_MS:
        problems.append(f"p99 is not under {LIMIT_MS:g} ms")
    if spent >= pause:
        problems.append(
            "the calls did not fit into the pause: raise --pause or lower --calls"
        )
    if flushed_early:
        problems.append("flush said that all is committed while nothing can have been")
    if not (taken == calls and flushed and rows == calls and distinct == calls):
        problems.append("signals are missing or doubled")
    for problem in problems:
        print(f"FAILED: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
