"""Draws the benchmark's results: one picture per axis, per curve and for the frontier, and an overview of all.

    python plots.py results.json FOLDER
    python plots.py --self-test        draws made-up results twice and compares the files byte by byte

results.json, written by the benchmark; each list may be empty or missing, and a mean may be null where nothing was
measured:

    {"axes":     [{"name", "title", "unit", "scenarios": [{"x", "label", "policies": [
                     {"name", "regret": {"mean", "low", "high"}, "best_share": {"mean", "low", "high"}}]}]}],
     "curves":   [{"name", "title", "x": [decisions], "series": [{"name", "mean": [], "low": [], "high": []}],
                   "unit": "share of decisions"}],
     "frontier": [{"name", "points": [{"label", "cost", "quality", "low", "high"}]}],
     "highlight": [names]}

A policy has the same colour and mark in every picture. Colours (Okabe and Ito's, which the colour-blind can tell apart)
go to Kalibr and to the seven others named by `highlight` or, without it, ranking best over all scenarios; the rest are
grey, since twenty colours tell nothing. Regret is drawn on a logarithmic scale where it spans more than a factor of
30. The same results give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402 (after the choice of the backend)
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

Json = dict[str, Any]

OURS = "kalibr"
OTHERS = "others"
PALETTE = ("#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6D1F", "#000000")
MARKS = ("s", "^", "D", "v", "P", "X", "*")
STYLE: Json = {
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "svg.hashsalt": "kalibr",
}


class Malformed(Exception):
    """The results lack something; the message names it."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a policy is drawn everywhere."""

    colour: str = "#B5B5B5"
    mark: str = "."
    width: float = 0.9
    layer: int = 1

    def line(self) -> Json:
        return {
            "color": self.colour,
            "marker": self.mark,
            "linewidth": self.width,
            "markersize": 5 if self.layer > 1 else 3,
            "zorder": self.layer + 1,
        }


def looks(results: Json) -> dict[str, Look]:
    """Gives each policy its look: ours, then the highlighted, then by rank, ties by name."""
    ranks: dict[str, list[float]] = defaultdict(list)
    for axis in results.get("axes", []):
        for scenario in axis["scenarios"]:
            measured = [p for p in scenario["policies"] if p["regret"]["mean"] is not None]
            measured.sort(key=lambda p: (p["regret"]["mean"], p["name"]))
            for place, policy in enumerate(measured):
                ranks[policy["name"]].append(place / len(measured))
    names = set(ranks)
    names |= {series["name"] for curve in results.get("curves", []) for series in curve["series"]}
    names |= {policy["name"] for policy in results.get("frontier", [])}
    wanted = {name: place for place, name in enumerate(results.get("highlight") or [])}

    def precedence(name: str) -> tuple[float, float, str]:
        rank = statistics.fmean(ranks[name]) if name in ranks else 1.0
        return wanted.get(name, math.inf), rank, name

    order = sorted(names - {OURS}, key=precedence)
    given = {name: Look() for name in order}
    for name, colour, mark in zip(order, PALETTE, MARKS, strict=False):
        given[name] = Look(colour, mark, 1.3, 2)
    if OURS in names:
        given = {OURS: Look("#0072B2", "o", 2.4, 4)} | given
    return given


def number(value: float | None) -> float:
    """A value for drawing: what was not measured leaves a gap."""
    return math.nan if value is None else float(value)


def spread(estimates: list[Json | None]) -> tuple[list[float], list[float], list[float]]:
    """Means, and the distances to the lower and upper ends of their intervals."""
    means = [number(e["mean"]) if e else math.nan for e in estimates]
    low = [number((e or {}).get("low")) for e in estimates]
    high = [number((e or {}).get("high")) for e in estimates]
    below = [0.0 if math.isnan(m - x) else max(0.0, m - x) for m, x in zip(means, low, strict=True)]
    above = [0.0 if math.isnan(x - m) else max(0.0, x - m) for m, x in zip(means, high, strict=True)]
    return means, below, above


def draw_axis(axes: Axes, axis: Json, measure: str, given: dict[str, Look]) -> None:
    """One measure over the scenarios of an axis, evenly spaced, each policy a little aside of the others."""
    scenarios = sorted(axis["scenarios"], key=lambda scenario: scenario["x"])
    present = [n for n in given if any(p["name"] == n and p.get(measure) for s in scenarios for p in s["policies"])]
    drawn: list[float] = []
    for place, name in enumerate(present):
        found = [next((p.get(measure) for p in s["policies"] if p["name"] == name), None) for s in scenarios]
        means, below, above = spread(found)
        aside = 0.0 if len(present) < 2 else 0.36 * (place / (len(present) - 1) - 0.5)
        places = [i + aside for i in range(len(scenarios))]
        axes.errorbar(places, means, yerr=[below, above], capsize=0, elinewidth=0.9, **given[name].line())
        drawn += [m for m in means if not math.isnan(m)]
    axes.set_xticks(range(len(scenarios)), [s["label"] for s in scenarios])
    axes.set_xlabel(axis["unit"])
    axes.set_xlim(-0.5, len(scenarios) - 0.5)
    if measure == "regret":
        axes.set_ylabel("regret (successes lost)")
        if drawn and min(drawn) > 0 and max(drawn) / min(drawn) > 30:
            axes.set_yscale("log")
        elif drawn and min(drawn) >= 0:
            axes.set_ylim(bottom=0)
    else:
        axes.set_ylabel("share of decisions on the best path")
        axes.set_ylim(0, 1)


def draw_curve(axes: Axes, curve: Json, given: dict[str, Look]) -> None:
    """A quantity over decisions, with its interval as a band."""
    series = {s["name"]: s for s in curve["series"]}
    for name in (n for n in given if n in series):
        look, found = given[name], series[name]
        means = [number(x) for x in found["mean"]]
        axes.plot(curve["x"], means, color=look.colour, linewidth=look.width, zorder=look.layer + 1)
        if found.get("low") and found.get("high"):
            low, high = ([number(x) for x in found[end]] for end in ("low", "high"))
            axes.fill_between(curve["x"], low, high, color=look.colour, alpha=0.15, linewidth=0, zorder=look.layer)
    axes.set_xlabel("decisions")
    axes.set_ylabel(curve.get("unit", "share of decisions"))
    axes.set_xlim(min(curve["x"]), max(curve["x"]))


def draw_frontier(axes: Axes, frontier: list[Json], given: dict[str, Look], labels: bool) -> None:
    """Quality against cost, each policy's settings joined."""
    for policy in sorted(frontier, key=lambda p: list(given).index(p["name"])):
        points = sorted(policy["points"], key=lambda point: point["cost"])
        look = given[policy["name"]]
        quality = [number(p["quality"]) for p in points]
        low = [max(0.0, q - number(p.get("low", q))) for p, q in zip(points, quality, strict=True)]
        high = [max(0.0, number(p.get("high", q)) - q) for p, q in zip(points, quality, strict=True)]
        costs = [p["cost"] for p in points]
        axes.errorbar(costs, quality, yerr=[low, high], capsize=0, elinewidth=0.9, **look.line())
        if labels and look.layer > 2:
            for point in points:
                spot = (point["cost"], point["quality"])
                axes.annotate(point["label"], spot, (-5, 5), textcoords="offset points", ha="right", fontsize=7)
    axes.set_xscale("log")
    axes.set_xlabel("cost (dollars per request, logarithmic)")
    axes.set_ylabel("quality (share of successes)")


def legend(figure: Figure, given: dict[str, Look], shown: set[str]) -> None:
    """One legend beside the pictures; the grey ones share a line in it."""
    handles: list[Any] = []
    labels: list[str] = []
    grey = [name for name in given if name in shown and given[name].layer == 1]
    for name in (n for n in given if n in shown and given[n].layer > 1):
        handles.append(plt.Line2D([], [], **given[name].line()))
        labels.append(name)
    if grey:
        handles.append(plt.Line2D([], [], **Look().line()))
        labels.append(grey[0] if len(grey) == 1 else f"{len(grey)} {OTHERS}")
    figure.legend(handles, labels, loc="outside right upper")


def shown_in(part: Json) -> set[str]:
    """The names of the policies in an axis or a curve."""
    if "series" in part:
        return {series["name"] for series in part["series"]}
    return {policy["name"] for scenario in part["scenarios"] for policy in scenario["policies"]}


def save(figure: Figure, file: Path) -> Path:
    """Writes a picture that says nothing of the machine that made it."""
    figure.savefig(file, metadata={"Software": None})
    plt.close(figure)
    return file


def draw(results: Json, folder: Path) -> list[Path]:
    """Draws all pictures of some results into a folder, and names them."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with plt.rc_context(STYLE):
            return _draw(results, folder)
    except KeyError as error:
        raise Malformed(f"the results lack the field {error}: see the schema at the head of plots.py") from error


def _draw(results: Json, folder: Path) -> list[Path]:
    given = looks(results)
    axes, curves, frontier = (results.get(part) or [] for part in ("axes", "curves", "frontier"))
    files: list[Path] = []
    panels: list[tuple[str, Callable[[Axes], None]]] = []
    for axis in axes:
        shares = any(p.get("best_share") for s in axis["scenarios"] for p in s["policies"])
        measures = ["regret", "best_share"] if shares else ["regret"]
        figure, parts = plt.subplots(1, len(measures), figsize=(4.2 * len(measures) + 2.2, 4), layout="constrained")
        for part, measure in zip(parts if shares else [parts], measures, strict=True):
            draw_axis(part, axis, measure, given)
        figure.suptitle(axis["title"])
        legend(figure, given, shown_in(axis))
        files.append(save(figure, folder / f"axis_{axis['name']}.png"))
        panels.append((axis["title"], lambda part, axis=axis: draw_axis(part, axis, "regret", given)))  # type: ignore[misc]
    for curve in curves:
        figure, part = plt.subplots(figsize=(8.2, 4), layout="constrained")
        draw_curve(part, curve, given)
        part.set_title(curve["title"])
        legend(figure, given, shown_in(curve))
        files.append(save(figure, folder / f"curve_{curve['name']}.png"))
        panels.append((curve["title"], lambda part, curve=curve: draw_curve(part, curve, given)))  # type: ignore[misc]
    if frontier:
        figure, part = plt.subplots(figsize=(8.2, 4.6), layout="constrained")
        draw_frontier(part, frontier, given, labels=True)
        part.set_title("Quality against cost")
        legend(figure, given, {policy["name"] for policy in frontier})
        files.append(save(figure, folder / "frontier.png"))
        panels.append(("Quality against cost", lambda part: draw_frontier(part, frontier, given, labels=False)))
    if panels:
        rows = math.ceil(len(panels) / 3)
        figure, parts = plt.subplots(rows, 3, figsize=(14, 3.1 * rows), layout="constrained", squeeze=False)
        for part in list(parts.flat)[len(panels) :]:
            part.set_visible(False)
        for part, (title, panel) in zip(parts.flat, panels, strict=False):
            panel(part)
            part.set_title(title)
        legend(figure, given, set(given))
        files.append(save(figure, folder / "overview.png"))
    return files


def made_up(seed: int = 1, policies: int = 14) -> Json:
    """Results of the right form and of no meaning."""
    draw_one = random.Random(seed)
    names = [OURS, *(f"policy_{i:02}" for i in range(1, policies))]

    def estimate(mean: float, width: float) -> Json:
        return {"mean": mean, "low": mean - width, "high": mean + width}

    def scenario(x: float, label: str, hardness: float) -> Json:
        rows = []
        for place, name in enumerate(names):
            regret = hardness * (20 + 12 * place) * draw_one.uniform(0.8, 1.2)
            share = max(0.0, 0.95 - 0.05 * place - 0.1 * hardness)
            rows.append({"name": name, "regret": estimate(regret, 0.1 * regret), "best_share": estimate(share, 0.04)})
        return {"x": x, "label": label, "policies": rows}

    def axis(name: str, title: str, unit: str, values: list[tuple[float, str]]) -> Json:
        scenarios = [scenario(x, label, 1 + i / 2) for i, (x, label) in enumerate(values)]
        return {"name": name, "title": title, "unit": unit, "scenarios": scenarios}

    decisions = list(range(0, 6001, 100))
    series = []
    for place, name in enumerate(names[:6]):
        mean = [0.9 / (1 + math.exp(-(x - 800 - 500 * place) / 200)) for x in decisions]
        low, high = [m - 0.03 for m in mean], [m + 0.03 for m in mean]
        series.append({"name": name, "mean": [None, *mean[1:]], "low": low, "high": high})
    frontier = []
    for place, name in enumerate(names[:4]):
        points = []
        for i in range(5):
            quality = 0.70 + 0.018 * i - 0.008 * place
            cost = 0.0005 * 2**i * (1 + 0.2 * place)
            delta = f"delta .{10 - 2 * i:02}"
            points.append(
                {"label": delta, "cost": cost, "quality": quality, "low": quality - 0.004, "high": quality + 0.004}
            )
        frontier.append({"name": name, "points": points})
    return {
        "axes": [
            axis(
                "coverage",
                "Signals on a share of decisions",
                "share of decisions",
                [(0.05, "5 %"), (0.2, "20 %"), (1, "100 %")],
            ),
            axis("delay", "Late signals", "decisions until a signal comes", [(0, "0"), (200, "200"), (2000, "2,000")]),
            axis("paths", "Number of paths", "paths", [(2, "2"), (3, "3"), (8, "8"), (32, "32")]),
        ],
        "curves": [{"name": "drift", "title": "A path fails and recovers", "x": decisions, "series": series}],
        "frontier": frontier,
    }


def self_test() -> None:
    """Draws made-up results twice; ends with a status if a picture is missing or differs."""
    with tempfile.TemporaryDirectory() as folder:
        one, two = (draw(made_up(), Path(folder) / name) for name in ("one", "two"))
        names = [file.name for file in one]
        expected = ["axis_coverage.png", "axis_delay.png", "axis_paths.png", "curve_drift.png", "frontier.png"]
        if names != [*expected, "overview.png"]:
            sys.exit(f"drawn were {names}")
        for first, second in zip(one, two, strict=True):
            if first.read_bytes() != second.read_bytes():
                sys.exit(f"{first.name} is not the same twice")
    print(f"{len(names)} pictures, the same twice")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", type=Path, nargs="?", help="results.json")
    parser.add_argument("folder", type=Path, nargs="?", help="where the pictures go")
    parser.add_argument("--self-test", action="store_true", help="check that drawing works here")
    asked = parser.parse_args()
    if asked.self_test:
        self_test()
    elif asked.results and asked.folder:
        for file in draw(json.loads(asked.results.read_text("utf-8")), asked.folder):
            print(file)
    else:
        parser.error("give results.json and a folder, or --self-test")


if __name__ == "__main__":
    main()
