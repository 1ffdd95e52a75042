"""Measures the turn classifier that is checked in against its bars, and prints Markdown.

    python bench/turns/evaluate.py DATA_FOLDER

What is measured on held-out folds (of the sets that were trained on) comes from the last run of train.py; all the rest
is asked of the Rust program, which is the shipped classifier itself.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.metrics import confusion_matrix, f1_score

from calibration import expected_error
from sets import HERE, LABELS, LANGUAGES, Row, as_input, phrases, read
from train import CACHE, PROGRAM

RESAMPLES = 2000
DEFAULT_PRECISION = 0.9
SIDES = ("acceptance", "rejection")


def classify(program: Path, rows: list[Row]) -> list[Row]:
    out = subprocess.run([program, "classify"], input=as_input(rows), stdout=subprocess.PIPE, check=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def arrays(rows: list[Row], verdicts: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    labels = np.array([LABELS.index(row["label"]) for row in rows])
    return labels, np.array([[verdict[label] for label in LABELS] for verdict in verdicts])


def interval(measure: Callable[[np.ndarray], float], count: int, seed: int = 0) -> str:
    """The measure of all rows with its 95 % bootstrap interval."""
    draw = np.random.default_rng(seed)
    values = [measure(draw.integers(0, count, count)) for _ in range(RESAMPLES)]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return f"{measure(np.arange(count)):.3f} ({low:.3f} to {high:.3f})"


def asserted(folds: dict[str, np.ndarray], name: str) -> np.ndarray:
    """What is asserted of held-out rows at the default precision: an index into LABELS, or -1."""
    table, probabilities, phrases_say = folds["table"], folds[f"{name}_p"], folds[f"{name}_phrases"]
    _, *lines = table[np.flatnonzero(table[:, 0] >= DEFAULT_PRECISION - 1e-6)[0]]
    familiar = ~folds[f"{name}_unfamiliar"]
    most = probabilities.argmax(axis=1)
    said = np.full(len(most), -1)
    for label in (0, 1):
        contradicted = (phrases_say[:, 1 - label] > phrases_say[:, label]) & ((label == 0) | (phrases_say[:, 2] > 0))
        line = np.where(familiar, lines[label], lines[label + 2])
        said[(most == label) & (probabilities[:, label] >= line) & ~contradicted] = label
    return said


def precision_of(said: np.ndarray, labels: np.ndarray, label: int) -> Callable[[np.ndarray], float]:
    def measure(rows: np.ndarray) -> float:
        of = said[rows] == label
        return float((labels[rows][of] == label).mean()) if of.any() else float("nan")

    return measure


def recall_of(said: np.ndarray, labels: np.ndarray, label: int) -> Callable[[np.ndarray], float]:
    def measure(rows: np.ndarray) -> float:
        of = labels[rows] == label
        return float((said[rows][of] == label).mean()) if of.any() else float("nan")

    return measure


def verdict_of(row: Row, verdict: Row) -> str:
    """right, abstained, wrong (asserts what is not so) or flatly wrong (the opposite)."""
    said = verdict["asserted"]
    if said is None:
        return "right" if row["label"] == "continuation" else "abstained"
    if said == row["label"]:
        return "right"
    return "flatly wrong" if row["label"] in SIDES else "wrong"


class Table:
    """The bars, and which are missed."""

    def __init__(self) -> None:
        self.rows: list[str] = []

    def add(
        self, what: str, shown: str, value: float, bar: float, moonshot: float | None, at_most: bool = False
    ) -> None:
        def keeps(line: float) -> bool:
            return value <= line if at_most else value >= line

        sign = "<=" if at_most else ">="
        outcome = "moonshot" if moonshot is not None and keeps(moonshot) else "hit" if keeps(bar) else "**MISSED**"
        aim = "" if moonshot is None else f"{sign} {moonshot:g}"
        self.rows.append(f"| {what} | {shown} | {sign} {bar:g} | {aim} | {outcome} |")

    def show(self) -> None:
        print("| what | measured | bar | moonshot | |\n|---|---|---|---|---|")
        print("\n".join(self.rows))


def confusion(title: str, labels: np.ndarray, said: np.ndarray) -> None:
    print(f"\n{title} (rows: what it is; columns: the most probable label)\n")
    print("| | " + " | ".join(LABELS) + " |\n|---|---|---|---|")
    for name, counts in zip(LABELS, confusion_matrix(labels, said, labels=[0, 1, 2]), strict=True):
        print(f"| {name} | " + " | ".join(map(str, counts)) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--program", type=Path, default=PROGRAM)
    parser.add_argument("--show", action="store_true", help="list the held-out sentences that were read wrongly")
    parser.add_argument("--quick", action="store_true", help="leave out the timing")
    asked = parser.parse_args()
    table = Table()

    folds = dict(np.load(CACHE / "folds.npz"))
    weak, iard = ((folds[f"{name}_p"], folds[f"{name}_y"]) for name in ("codechat_weak", "iard"))
    dev_rows = read(asked.data / "turns/codechat_dev.jsonl")
    dev_verdicts = classify(asked.program, dev_rows)
    dev_y, dev_p = arrays(dev_rows, dev_verdicts)
    dev_claims = np.array([SIDES.index(v["asserted"]) if v["asserted"] in SIDES else -1 for v in dev_verdicts])
    weak_claims, iard_claims = asserted(folds, "codechat_weak"), asserted(folds, "iard")

    said = dev_p.argmax(axis=1)
    f1 = interval(lambda rows: f1_score(dev_y[rows] == 1, said[rows] == 1, zero_division=0), len(dev_y))
    table.add("rejection F1, codechat_dev (29 rejections)", f1, float(f1[:5]), 0.60, 0.75)

    macro = f1_score(iard[1], iard[0].argmax(axis=1), average="macro")
    table.add("macro-F1, iard, 5 folds by dialogue", f"{macro:.3f}", macro, 0.80, 0.86)

    labels = np.concatenate([dev_y, weak[1], iard[1]])
    claims = np.concatenate([dev_claims, weak_claims, iard_claims])
    for what, measure, bar, moonshot in (
        ("precision of asserted rejections, codechat_dev + weak and iard folds", precision_of, 0.85, 0.92),
        ("recall of rejections among the asserted, same sets", recall_of, 0.35, 0.55),
    ):
        shown = interval(measure(claims, labels, 1), len(labels))
        table.add(what, shown, float(shown[:5]), bar, moonshot)
    alone = {
        "codechat_dev": (dev_claims, dev_y),
        "weak folds": (weak_claims, weak[1]),
        "iard folds": (iard_claims, iard[1]),
    }
    for name, (claim, y) in alone.items():
        every = np.arange(len(y))
        precision, recall = precision_of(claim, y, 1)(every), recall_of(claim, y, 1)(every)
        table.rows.append(f"| ... {name} alone | precision {precision:.3f}, recall {recall:.3f} | | | |")

    shown = interval(precision_of(iard_claims, iard[1], 0), len(iard[1]))
    table.add("precision of asserted acceptances, iard folds", shown, float(shown[:5]), 0.90, 0.95)

    real = ["codechat_weak", "iard", "hwu64", "clinc"]
    pooled = (
        np.concatenate([folds[f"{name}_p"] for name in real]),
        np.concatenate([folds[f"{name}_y"] for name in real]),
    )
    ece = expected_error(*pooled)
    table.add("expected calibration error, pooled folds", f"{ece:.4f}", ece, 0.05, 0.02, at_most=True)

    taught = {row["user_message"].casefold() for language in LANGUAGES for row in phrases(language)}
    misread: list[str] = []

    def held_out(path: Path) -> tuple[list[Row], list[str]]:
        rows = read(path)
        known = [row["user_message"] for row in rows if row["user_message"].casefold() in taught]
        if known:
            raise SystemExit(f"{path.name} holds sentences that were trained on: {known}")
        outcomes = []
        for row, verdict in zip(rows, classify(asked.program, rows), strict=True):
            outcomes.append(verdict_of(row, verdict))
            if outcomes[-1] != "right":
                mark = " / ".join(f"{verdict[label]:.2f}" for label in LABELS)
                misread.append(f"{path.stem} [{row['label']}] {outcomes[-1]} ({mark}): {row['user_message']!r}")
        return rows, outcomes

    for path in sorted((HERE / "held_out").glob("tricky_*.jsonl")):
        rows, outcomes = held_out(path)
        share = np.mean([outcome in ("right", "abstained") for outcome in outcomes])
        flat = np.mean([outcome == "flatly wrong" for outcome in outcomes])
        right = outcomes.count("right")
        table.add(f"{path.stem} ({len(rows)}): right or abstained", f"{share:.3f} (right {right})", share, 0.90, None)
        table.add(f"{path.stem}: flatly wrong", f"{flat:.3f}", flat, 0.02, None, at_most=True)

    rows, outcomes = held_out(HERE / "held_out/languages.jsonl")
    right = np.mean([outcome == "right" for outcome in outcomes])
    inverted = outcomes.count("flatly wrong")
    labelled = classify(asked.program, rows)
    most = np.mean([verdict["label"] == row["label"] for row, verdict in zip(rows, labelled, strict=True)])
    table.add("14 languages, clear praise and complaint: most probable label right", f"{most:.3f}", most, 0.90, None)
    table.add("14 languages: asserted and right", f"{right:.3f}", right, 0.90, None)
    opposite = sum(v["label"] in SIDES and v["label"] != r["label"] for r, v in zip(rows, labelled, strict=True))
    table.add("14 languages: inverted (label; asserted)", f"{opposite}; {inverted}", opposite, 0, None, at_most=True)

    if not asked.quick:
        shell = f"'{asked.program}' time < '{asked.data}/turns/codechat_dev.jsonl'"
        timing = json.loads(subprocess.run(shell, shell=True, stdout=subprocess.PIPE, check=True).stdout)
        shown = f"{timing['p99_us']:.1f} (p50 {timing['p50_us']:.1f})"
        table.add(
            "time per message of 200 characters with a prior prompt, p99, µs", shown, timing["p99_us"], 100, 20, True
        )

    table.show()
    print("\nRight by language (asserted): " + ", ".join(_by_language(rows, outcomes)))
    confusion("codechat_dev", dev_y, dev_p.argmax(axis=1))
    confusion("codechat_weak, folds", weak[1], weak[0].argmax(axis=1))
    confusion("iard, folds", iard[1], iard[0].argmax(axis=1))
    _curve(*pooled)
    if asked.show:
        print("\n" + "\n".join(misread))


def _by_language(rows: list[Row], outcomes: list[str]) -> list[str]:
    said = []
    for language in LANGUAGES[1:]:
        mine = [outcome for row, outcome in zip(rows, outcomes, strict=True) if row["language"] == language]
        said.append(f"{language} {mine.count('right')}/{len(mine)}")
    return said


def _curve(probabilities: np.ndarray, labels: np.ndarray) -> None:
    print("\nCalibration, pooled folds: of the verdicts with a probability in the bin, the share that was right\n")
    print("| bin | messages | mean probability | right |\n|---|---|---|---|")
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    for low in np.arange(0.3, 1.0, 0.1):
        inside = (sure >= low) & (sure < low + 0.1 + 1e-9 * (low > 0.85))
        if inside.any():
            print(
                f"| {low:.1f} to {low + 0.1:.1f} | {inside.sum()} | "
                f"{sure[inside].mean():.3f} | {right[inside].mean():.3f} |"
            )


if __name__ == "__main__":
    main()
