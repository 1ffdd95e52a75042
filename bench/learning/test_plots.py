"""The pictures, drawn from made-up results."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed")

import plots  # noqa: E402 (after the check)


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = (plots.draw(plots.made_up(policies=4), tmp_path / name) for name in ("one", "two"))
    assert [file.name for file in one] == [file.name for file in two]
    assert all(first.read_bytes() == second.read_bytes() for first, second in zip(one, two, strict=True))


def test_pictures_say_nothing_of_the_machine(tmp_path: Path) -> None:
    for file in plots.draw(plots.made_up(policies=2), tmp_path):
        content = file.read_bytes()
        assert b"tEXt" not in content and str(tmp_path).encode() not in content


def test_a_policy_looks_the_same_in_every_picture_and_ours_stands_out() -> None:
    given = plots.looks(plots.made_up(policies=14))
    assert next(iter(given)) == plots.OURS
    coloured = [look for look in given.values() if look.layer > 1]
    assert len(coloured) == 8 and len({(look.colour, look.mark) for look in coloured}) == 8


def test_highlighted_policies_get_a_colour_however_they_rank() -> None:
    results = plots.made_up(policies=14) | {"highlight": ["policy_13"]}
    assert plots.looks(results)["policy_13"].layer > 1
    assert plots.looks(plots.made_up(policies=14))["policy_13"].layer == 1


def test_what_was_not_measured_leaves_a_gap(tmp_path: Path) -> None:
    results = plots.made_up(policies=3)
    results["axes"][0]["scenarios"][0]["policies"][1]["regret"] = {"mean": None, "low": None, "high": None}
    del results["axes"][1]["scenarios"][0]["policies"][0]["best_share"]
    assert plots.draw(results, tmp_path)


def test_empty_results_draw_nothing(tmp_path: Path) -> None:
    assert plots.draw({}, tmp_path) == []


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    results = plots.made_up(policies=2)
    del results["axes"][0]["unit"]
    with pytest.raises(plots.Malformed, match="'unit'"):
        plots.draw(results, tmp_path)
