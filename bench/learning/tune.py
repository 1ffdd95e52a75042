"""Tunes the peers: the same budget for each, on seeds that no reported run uses.

    python tune.py [--jobs 2] [--only NAME ...]     writes tuned.json beside this file
    python tune.py --try NAME OPTIONS [OPTIONS ...] scores options (JSON objects) on seeds 10 to 19, writes nothing

Every grid has at most 12 points. A point's score is the mean over seeds 0 to 9 of the regret after 2,000 decisions, in
expected successes against always taking the best single path (below 0 is possible for those that use the context). The
lowest mean wins, ties by the order of the grid. The scenario stands still, and every decision is rewarded at once and
rightly with 0 or 1. Three paths succeed on .80, .73 and .55 of all requests; six kinds of requests shift this by up to
.12, so that always knowing the kind is worth .8 points, as much as on real prompts. Of the 24 features the first six
tell the kind and the others say nothing.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import peers
from adapters import ALGORITHMS
from policy import Context, Lesson, Options, Setup

DECISIONS = 2000
TUNING_SEEDS = range(10)
TRIAL_SEEDS = range(10, 20)

BASE = (0.80, 0.73, 0.55)
SHIFTS = (
    (0.08, 0.04, 0.0, 0.0, -0.04, -0.08),
    (-0.04, -0.02, 0.0, 0.0, 0.02, 0.04),
    (-0.12, 0.0, 0.0, 0.06, 0.0, 0.06),
)
"""Per path and kind of request; each row sums to 0, so BASE is the mean over equally frequent kinds."""
COSTS = (0.015, 0.0005, 0.00003)
FEATURES = 24


def grid(**axes: list[Any]) -> list[Options]:
    """All combinations of the values of some options, the last one varying fastest."""
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


GRIDS: dict[str, list[Options]] = {
    "mabwiser_ts": [{}],
    "mabwiser_epsilon": grid(epsilon=[0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2]),
    "mabwiser_ucb1": grid(alpha=[0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0]),
    "mabwiser_lints": grid(alpha=[0.05, 0.1, 0.2, 0.3, 0.5, 1.0], l2_lambda=[1.0, 5.0]),
    "mabwiser_linucb": grid(alpha=[0.05, 0.1, 0.2, 0.3, 0.5, 1.0], l2_lambda=[1.0, 5.0]),
    "vw_squarecb": grid(gamma_scale=[30.0, 100.0, 300.0, 1000.0], learning_rate=[0.2, 0.5, 1.0]),
    "vw_epsilon": grid(epsilon=[0.003, 0.01, 0.03, 0.1], learning_rate=[0.2, 0.5, 1.0]),
    "contextualbandits_bootstrapped_ucb": grid(percentile=[60, 80, 90], l2=[0.0001, 0.001]),
    "contextualbandits_logistic_ts": [
        *grid(sample_from=["ci"], l2=[1.0, 3.0, 10.0, 30.0, 100.0, 300.0]),
        *grid(sample_from=["coef"], multiplier=[0.25, 1.0], l2=[3.0, 10.0, 30.0]),
    ],
    "paretobandit": grid(alpha=[0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0]),
    "paretobandit_no_forgetting": grid(alpha=[0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0]),
}
"""At most 12 points each. Those of Vowpal Wabbit and LogisticTS were moved once, towards the end where the best
point of the first grid lay."""


def requests(seed: int) -> Iterator[tuple[Context, tuple[float, ...], tuple[int, ...]]]:
    """A seed's stream: context, chance of success by path, and what each path would have earned."""
    draw = random.Random(f"requests {seed}")
    for _ in range(DECISIONS):
        kind = draw.randrange(6)
        flags = [float(draw.random() < 0.2) for _ in range(FEATURES - 7)]
        features = (*(float(kind == k) for k in range(6)), draw.random(), *flags)
        chances = tuple(base + shift[kind] for base, shift in zip(BASE, SHIFTS, strict=True))
        luck = draw.random()
        yield Context(features), chances, tuple(int(luck < chance) for chance in chances)


def regret(name: str, options: Options, seed: int) -> float:
    """The regret of one run against the best single path, in expected successes."""
    algorithm = ALGORITHMS[name]
    policy = algorithm.make(Setup(len(BASE), FEATURES if algorithm.contextual else 0, seed, COSTS, options))
    total = 0.0
    for seen, chances, rewards in requests(seed):
        context = seen if algorithm.contextual else Context()
        choice = policy.choose(context)
        policy.learn(Lesson(context, choice.path, rewards[choice.path], propensity=choice.propensity))
        total += chances[0] - chances[choice.path]
    policy.close()
    return total


@dataclass(frozen=True, slots=True)
class Score:
    """The regret of one point of a grid: mean and standard error over seeds."""

    options: Options
    mean: float
    error: float

    def json(self) -> dict[str, Any]:
        return {"options": self.options, "regret": round(self.mean, 2), "standard_error": round(self.error, 2)}


def score(name: str, options: Options, seeds: range, pool: ProcessPoolExecutor) -> Score:
    """Scores one point on some seeds."""
    runs = list(pool.map(regret, [name] * len(seeds), [options] * len(seeds), seeds))
    return Score(options, statistics.fmean(runs), statistics.stdev(runs) / math.sqrt(len(runs)))


def tune(name: str, pool: ProcessPoolExecutor) -> dict[str, Any]:
    """Scores the whole grid of an algorithm and chooses."""
    start = time.perf_counter()
    scores = [score(name, options, TUNING_SEEDS, pool) for options in GRIDS[name]]
    best = min(scores, key=lambda point: point.mean)
    seconds = time.perf_counter() - start
    print(f"{name:36}{best.mean:8.1f} ± {best.error:4.1f}  {json.dumps(best.options):50}{seconds:5.0f} s", flush=True)
    version = ALGORITHMS[name].version()
    return {"version": version, "options": best.options, "grid": [point.json() for point in scores]}


def written(algorithms: dict[str, Any]) -> str:
    """The report as JSON with one point of a grid a line, so that a changed score is a changed line."""
    parts = []
    for name, found in algorithms.items():
        points = ",\n".join(f"    {json.dumps(point)}" for point in found["grid"])
        chosen = {key: value for key, value in found.items() if key != "grid"}
        parts.append(f'  {json.dumps(name)}: {json.dumps(chosen)[:-1]}, "grid": [\n{points}\n  ]}}')
    head = {
        "measure": "regret in expected successes against the best single path",
        "decisions": DECISIONS,
        "seeds": [TUNING_SEEDS.start, TUNING_SEEDS.stop - 1],
    }
    return f'{json.dumps(head)[:-1]}, "algorithms": {{\n' + ",\n".join(parts) + "\n}}\n"


def keep(name: str, found: dict[str, Any]) -> None:
    """Writes one algorithm's result at once, beside those of the others: a run that is broken off loses little."""
    old = json.loads(peers.TUNED.read_text("utf-8"))["algorithms"] if peers.TUNED.exists() else {}
    new = old | {name: found}
    peers.TUNED.write_text(written({known: new[known] for known in GRIDS if known in new}), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--only", nargs="+", choices=list(GRIDS), metavar="NAME", help="tune these, keep the others")
    parser.add_argument("--try", nargs="+", dest="trial", metavar="X", help="a name, then options as JSON objects")
    asked = parser.parse_args()
    with ProcessPoolExecutor(asked.jobs) as pool:
        if asked.trial:
            name, *points = asked.trial
            if name not in GRIDS:
                sys.exit(f"no algorithm {name!r}: there are {', '.join(GRIDS)}")
            for point in map(json.loads, points):
                found = score(name, point, TRIAL_SEEDS, pool)
                print(f"{name:36}{found.mean:8.1f} ± {found.error:4.1f}  {json.dumps(point)}", flush=True)
            return
        for name in asked.only or GRIDS:
            keep(name, tune(name, pool))


if __name__ == "__main__":
    main()
