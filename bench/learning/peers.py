"""Hosts bandit policies of other libraries for the benchmark of the learner: JSON lines in, JSON lines out.

    python peers.py               speaks the protocol below over stdin and stdout until stdin ends
    python peers.py --list        what is installed, as a table
    python peers.py --timing      microseconds per choose and learn of every algorithm

One request a line. Ids are integers of the caller's choosing, paths count from 0, rewards are in 0..1, costs are
dollars per request, and any number of policies live at once.

    {"op": "list"}
        -> {"algorithms": [{"name", "library", "version", "contextual"}], "missing": [{"name", "why"}]}
    {"op": "new", "id": 1, "algorithm": "mabwiser_ts", "paths": 3, "features": 0, "seed": 7,
     "costs": [0.015, 0.0005, 0.00003], "options": {}}
        -> {"ok": true, "options": {...}}   the options in force: those of tuned.json, overridden by the request's;
                                            "tuned": false among them starts from the library's defaults instead
    {"op": "choose", "id": 1, "features": [...], "text": "..."}
        -> {"path": 2, "propensity": 0.31}  null where the library does not make it known
    {"op": "learn", "id": 1, "path": 2, "reward": 0.85, "weight": 1.0, "features": [...], "text": "...",
     "propensity": 0.31, "cost": 0.0151}
        -> nothing. All but id, path and reward are optional. Send the features of the decision, and its propensity if
           the answer had one: Vowpal Wabbit learns with it (without, it is looked up by context and path)
    {"op": "drop", "id": 1}
        -> nothing
    {"op": "batch", "steps": [...]}
        -> {"answers": [...]}: exactly one entry per step, null where a step owes no answer

A request that fails is answered with {"error": "..."} in any case, also where success owes no answer, and the next line
is read as usual. Contexts of choices are not kept, so a reward may come at any time later.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import sys
import time
from pathlib import Path
from typing import Any, TextIO

# One thread each: runs are many and small, and threads of a linear algebra library only wait for each other.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

from adapters import ALGORITHMS  # noqa: E402 (after the number of threads)
from policy import Context, Lesson, Options, Policy, Setup, Unusable, context_of  # noqa: E402

Json = dict[str, Any]

TUNED = Path(__file__).with_name("tuned.json")
"""What tune.py wrote: the options of each algorithm, with the scores that chose them."""


def tuned_options(file: Path = TUNED) -> dict[str, Options]:
    """The chosen options by algorithm; empty when nothing was tuned yet."""
    if not file.exists():
        return {}
    report = json.loads(file.read_text("utf-8"))
    return {name: entry["options"] for name, entry in report["algorithms"].items()}


def installed() -> Json:
    """The answer to `list`: which algorithms can be made here, and why the others cannot."""
    algorithms, missing = [], []
    for name, algorithm in ALGORITHMS.items():
        try:
            version = algorithm.version()
            algorithm.make(Setup(paths=3, features=0, seed=0, costs=(0.001, 0.002, 0.003))).close()
            entry = {"name": name, "library": algorithm.library, "version": version}
            algorithms.append(entry | {"contextual": algorithm.contextual})
        except Exception as error:
            missing.append({"name": name, "why": f"{type(error).__name__}: {error}"})
    return {"algorithms": algorithms, "missing": missing}


class Host:
    """The living policies, and the requests on them."""

    def __init__(self, tuned: dict[str, Options] | None = None) -> None:
        self.policies: dict[int, tuple[Policy, bool]] = {}
        self.tuned = tuned_options() if tuned is None else tuned

    def answer(self, line: str) -> Json | None:
        """Serves one line; whatever goes wrong with it becomes an answer."""
        try:
            request = json.loads(line)
        except ValueError as error:
            return {"error": f"not a line of JSON ({error}): send one object a line"}
        return self.serve(request)

    def serve(self, request: Any) -> Json | None:
        """Serves one request, or a step of a batch."""
        if not isinstance(request, dict):
            return {"error": f"a request is an object, this is a {type(request).__name__}"}
        operation = request.get("op")
        verb = {
            "list": lambda _: installed(),
            "new": self.new,
            "choose": self.choose,
            "learn": self.learn,
            "drop": self.drop,
            "batch": self.batch,
        }.get(str(operation))
        if verb is None:
            return {"error": f"no operation {operation!r}: use list, new, choose, learn, drop or batch"}
        try:
            return verb(request)
        except KeyError as error:
            return {"error": f"{operation} needs the field {error}"}
        except Unusable as error:
            return {"error": str(error)}
        except Exception as error:
            return {"error": f"{operation} failed with {type(error).__name__}: {error}"}

    def batch(self, request: Json) -> Json:
        return {"answers": [self.serve(step) for step in request["steps"]]}

    def new(self, request: Json) -> Json:
        name = request["algorithm"]
        if name not in ALGORITHMS:
            raise Unusable(f"no algorithm {name!r}: ask with list for those there are")
        number = int(request["id"])
        if number in self.policies:
            raise Unusable(f"id {number} is in use: drop it first or take another")
        paths = int(request["paths"])
        costs = tuple(float(x) for x in request.get("costs") or ())
        if paths < 1 or len(costs) not in (0, paths):
            raise Unusable(f"{paths} paths with {len(costs)} costs: give one cost per path, or none")
        options = dict(request.get("options") or {})
        if options.pop("tuned", True):
            options = self.tuned.get(name, {}) | options
        algorithm = ALGORITHMS[name]
        features = int(request.get("features", 0)) if algorithm.contextual else 0
        setup = Setup(paths, features, int(request["seed"]), costs, options)
        self.policies[number] = algorithm.make(setup), algorithm.contextual
        return {"ok": True, "options": options}

    def policy(self, request: Json) -> tuple[Policy, Context]:
        number = int(request["id"])
        if number not in self.policies:
            raise Unusable(f"no policy {number}: make it with new")
        policy, contextual = self.policies[number]
        if not contextual:
            return policy, Context()
        return policy, context_of(request.get("features"), request.get("text"), policy.setup.features)

    def choose(self, request: Json) -> Json:
        policy, context = self.policy(request)
        choice = policy.choose(context)
        return {"path": choice.path, "propensity": choice.propensity}

    def learn(self, request: Json) -> None:
        policy, context = self.policy(request)
        path, reward, weight = int(request["path"]), float(request["reward"]), float(request.get("weight", 1.0))
        if not 0 <= path < policy.setup.paths:
            raise Unusable(f"path {path} of {policy.setup.paths}: paths count from 0")
        if not 0 <= reward <= 1:
            raise Unusable(f"reward {reward}: rewards are in 0..1")
        if not (math.isfinite(weight) and weight >= 0):
            raise Unusable(f"weight {weight}: weights are finite and not negative")
        propensity = request.get("propensity")
        if propensity is not None and not 0 < propensity <= 1:
            raise Unusable(f"propensity {propensity}: a path that was chosen had one above 0 and at most 1")
        policy.learn(Lesson(context, path, reward, weight, propensity, request.get("cost")))

    def drop(self, request: Json) -> None:
        policy, _ = self.policies.pop(int(request["id"]), (None, False))
        if policy is not None:
            policy.close()


def speak(requests: TextIO, answers: TextIO, host: Host) -> None:
    """Serves lines until there are no more; empty ones are passed over."""
    for line in requests:
        if line.strip():
            answer = host.answer(line)
            if answer is not None:
                answers.write(json.dumps(answer, separators=(",", ":")) + "\n")
                answers.flush()


def timing(steps: int, paths: int = 3, features: int = 24) -> list[tuple[str, float, float]]:
    """Microseconds per choose and per learn, with each algorithm's tuned options, protocol left out."""
    rows = []
    tuned = tuned_options()
    for entry in installed()["algorithms"]:
        name = entry["name"]
        algorithm = ALGORITHMS[name]
        draw = random.Random(1)
        setup = Setup(paths, features if algorithm.contextual else 0, 1, (0.01,) * paths, tuned.get(name, {}))
        policy = algorithm.make(setup)
        choosing = learning = 0.0
        for _ in range(steps):
            context = Context(tuple(draw.random() for _ in range(setup.features)))
            reward = float(draw.random() < 0.7)
            start = time.perf_counter()
            choice = policy.choose(context)
            middle = time.perf_counter()
            policy.learn(Lesson(context, choice.path, reward, propensity=choice.propensity))
            choosing, learning = choosing + middle - start, learning + time.perf_counter() - middle
        policy.close()
        rows.append((name, choosing / steps * 1e6, learning / steps * 1e6))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--list", action="store_true", help="print what is installed and what is missing")
    parser.add_argument("--timing", action="store_true", help="print microseconds per choose and learn")
    parser.add_argument("--steps", type=int, default=1000, help="steps per algorithm for --timing")
    asked = parser.parse_args()
    if asked.list:
        found = installed()
        for entry in found["algorithms"]:
            print(f"{entry['name']:36}{entry['library']} {entry['version']}")
        for entry in found["missing"]:
            print(f"{entry['name']:36}missing: {entry['why']}")
    elif asked.timing:
        print(f"{'µs per step, 3 paths, 24 features':36}{'choose':>9}{'learn':>9}{'both':>9}")
        for name, choosing, learning in timing(asked.steps):
            print(f"{name:36}{choosing:9.0f}{learning:9.0f}{choosing + learning:9.0f}")
    else:
        # Libraries print; nothing but answers may reach the caller.
        answers, sys.stdout = sys.stdout, sys.stderr
        speak(sys.stdin, answers, Host())


if __name__ == "__main__":
    main()
