"""The reader of real data, on rows made up here; the real files are fetched only by hand and by the benchmark."""

from __future__ import annotations

import json
from pathlib import Path

from data import FEATURES, chosen_models, features, pareto_rows, zeroeval_rows


def pareto_line(prompt: str, scores: tuple[float, float]) -> str:
    dear, cheap = scores
    arms = {"cheap": {"reward": cheap, "cost": 0.001}, "dear": {"reward": dear, "cost": 0.1}}
    return json.dumps({"prompt": prompt, "source": "s", "arms": arms}, ensure_ascii=False)


def test_models_are_ordered_from_the_dearest_and_means_are_of_success() -> None:
    found = pareto_rows([pareto_line("a", (1.0, 0.89)), pareto_line("b", (0.9, 0.95))])
    assert found.models == ("dear", "cheap")
    assert found.success() == [1.0, 0.5]


def test_a_written_set_can_be_read_line_by_line_whatever_the_prompts_hold(tmp_path: Path) -> None:
    text = "one\u2028two\nthree\u0085"
    folder = pareto_rows([pareto_line(text, (1.0, 0.0))]).write(tmp_path)
    lines = (folder / "rows.jsonl").read_text("utf-8").split("\n")
    row = json.loads(lines[0])
    assert lines[1:] == [""] and row["text"] == text and row["scores"] == [1.0, 0.0]
    meta = json.loads((folder / "meta.json").read_text("utf-8"))
    assert meta["rows"] == 1 and meta["mean_costs"] == [0.1, 0.001] and meta["feature_names"] == list(FEATURES)


def test_features_are_few_bounded_and_depend_on_the_text_only() -> None:
    for text in ("", "x", "1" * 100000, "Write a python function.\n```", "Ω≈ç√∫" * 50, "A) b B) c. Answer: $3"):
        found = features(text)
        assert len(found) == len(FEATURES) <= 25
        assert all(0 <= x <= 1 for x in found)
        assert found == features(text)


def test_the_rule_keeps_the_ends_of_the_frontier_and_the_dearest_model() -> None:
    cost = {"a": 1.0, "b": 2.0, "c": 4.0, "d": 8.0, "bad": 3.0, "waste": 50.0}
    quality = {"a": 0.1, "b": 0.3, "c": 0.5, "d": 0.9, "bad": 0.2, "waste": 0.6}
    assert chosen_models(quality, cost) == ("waste", "d", "c", "b", "a")


def test_models_without_a_cost_are_left_out() -> None:
    record = {
        "id": "1",
        "prompt": "p",
        "task": "t",
        "outcomes": {"a": 1.0, "b": 0.0, "free": 1.0},
        "costs": {"a": 0.2, "b": 0.1, "free": None},
    }
    assert zeroeval_rows([json.dumps(record)]).models == ("a", "b")
