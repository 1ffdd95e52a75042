"""The process that hosts other libraries' policies, over its real pipe where that matters."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tune
from adapters import ALGORITHMS
from peers import TUNED, Host
from policy import Choice, Context, Lesson, Policy, Setup, Shuffled

INSTALLED = [entry["name"] for entry in Host({}).serve({"op": "list"})["algorithms"]]  # type: ignore[index]
PEERS = Path(__file__).with_name("peers.py")


def new(host: Host, algorithm: str = "uniform", number: int = 1, **fields: Any) -> Any:
    request = {"op": "new", "id": number, "algorithm": algorithm, "paths": 3, "features": 2, "seed": 7}
    return host.serve(request | fields)


def talk(*requests: str) -> list[Any]:
    """What a fresh process answers to some lines."""
    done = subprocess.run(
        [sys.executable, PEERS], input="\n".join(requests), capture_output=True, text=True, check=True, timeout=120
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_bad_line_gets_an_error_and_the_next_one_is_served() -> None:
    first = '{"op": "new", "id": 1, "algorithm": "uniform", "paths": 2, "seed": 1}'
    answers = talk("{", "[]", '{"op": "fly"}', '{"op": "choose", "id": 9}', '{"op": "new"}', first)
    assert [list(answer) for answer in answers] == [["error"]] * 5 + [["ok", "options"]]


def test_learning_and_dropping_owe_no_answer() -> None:
    first = '{"op": "new", "id": 1, "algorithm": "uniform", "paths": 2, "seed": 1}'
    answers = talk(first, '{"op": "learn", "id": 1, "path": 0, "reward": 1}', '{"op": "drop", "id": 1}')
    assert len(answers) == 1


def test_a_batch_has_one_entry_per_step_also_where_one_fails() -> None:
    host = Host({})
    steps = [
        {"op": "new", "id": 1, "algorithm": "uniform", "paths": 2, "seed": 1},
        {"op": "learn", "id": 1, "path": 0, "reward": 1},
        {"op": "learn", "id": 1, "path": 5, "reward": 1},
        {"op": "choose", "id": 1},
    ]
    answer = host.serve({"op": "batch", "steps": steps})
    assert answer is not None
    made, learned, failed, chosen = answer["answers"]
    assert made["ok"] and learned is None and "paths count from 0" in failed["error"]
    assert chosen["propensity"] == 0.5


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"reward": 1.5}, "reward"),
        ({"reward": math.nan}, "reward"),
        ({"weight": -1}, "weight"),
        ({"weight": math.inf}, "weight"),
        ({"propensity": 0}, "propensity"),
        ({"path": -1}, "path"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(fields: dict[str, Any], word: str) -> None:
    host = Host({})
    new(host)
    answer = host.serve({"op": "learn", "id": 1, "path": 0, "reward": 1.0} | fields)
    assert answer is not None and answer["error"].startswith(word)


@pytest.mark.skipif("vw_squarecb" not in INSTALLED, reason="Vowpal Wabbit is not installed")
def test_a_wrong_number_of_features_is_refused() -> None:
    host = Host({})
    new(host, "vw_squarecb")
    assert "2 features" in host.serve({"op": "choose", "id": 1, "features": [1.0]})["error"]  # type: ignore[index]
    assert "finite" in host.serve({"op": "choose", "id": 1, "features": [1.0, math.nan]})["error"]  # type: ignore[index]


def test_what_cannot_be_made_here_is_listed_with_the_reason() -> None:
    answer = Host({}).serve({"op": "list"})
    assert answer is not None
    names = [entry["name"] for entry in answer["algorithms"] + answer["missing"]]
    assert sorted(names) == sorted(ALGORITHMS)
    assert all(entry["why"] for entry in answer["missing"])


def test_tuned_options_hold_unless_the_request_overrides_or_declines_them() -> None:
    host = Host({"uniform": {"a": 1, "b": 2}})
    assert new(host, number=1)["options"] == {"a": 1, "b": 2}
    assert new(host, number=2, options={"b": 3})["options"] == {"a": 1, "b": 3}
    assert new(host, number=3, options={"tuned": False, "b": 3})["options"] == {"b": 3}


def test_a_fractional_weight_is_that_many_observations_in_the_mean() -> None:
    policy = ALGORITHMS["uniform"].make(Setup(2, 0, 3))
    counts = [policy.copies(2.3) for _ in range(20000)]
    assert set(counts) == {2, 3}
    assert abs(sum(counts) / len(counts) - 2.3) < 0.02


def play(name: str, seed: int, decisions: int = 300) -> tuple[list[Choice], Policy]:
    """A run on a world where path 1 always succeeds and the others never do."""
    algorithm = ALGORITHMS[name]
    policy = algorithm.make(Setup(3, 2 if algorithm.contextual else 0, seed, (0.01, 0.001, 0.0001)))
    choices = []
    for step in range(decisions):
        context = Context((step % 2 / 2, step % 5 / 5)) if algorithm.contextual else Context()
        choice = policy.choose(context)
        policy.learn(Lesson(context, choice.path, float(choice.path == 1), propensity=choice.propensity))
        choices.append(choice)
    return choices, policy


@pytest.mark.parametrize("name", [name for name in INSTALLED if name != "uniform"])
def test_every_policy_finds_the_only_path_that_works(name: str) -> None:
    choices, _ = play(name, seed=4)
    assert sum(choice.path == 1 for choice in choices[200:]) > 70


def play_fair(name: str) -> list[Choice]:
    """A run on the tuning scenario, where no path wins early and any leak of chance changes later choices."""
    algorithm = ALGORITHMS[name]
    policy = algorithm.make(Setup(3, tune.FEATURES if algorithm.contextual else 0, 5, tune.COSTS))
    choices = []
    for seen, _, rewards in itertools.islice(tune.requests(5), 250):
        context = seen if algorithm.contextual else Context()
        choices.append(policy.choose(context))
        path = choices[-1].path
        policy.learn(Lesson(context, path, 0.5 * rewards[path], 1.5, choices[-1].propensity))
    return choices


@pytest.mark.parametrize("name", INSTALLED)
def test_the_same_seed_gives_the_same_choices(name: str) -> None:
    assert play_fair(name) == play_fair(name)


@pytest.mark.parametrize("name", [name for name in INSTALLED if name.startswith("vw")])
def test_the_stated_propensity_is_how_often_a_path_is_chosen(name: str) -> None:
    _, policy = play(name, seed=6)
    counts, stated = [0, 0, 0], {}
    for _ in range(4000):
        choice = policy.choose(Context((0.5, 0.2)))
        counts[choice.path] += 1
        stated[choice.path] = choice.propensity
    for path, propensity in stated.items():
        assert propensity is not None
        assert abs(counts[path] / 4000 - propensity) < 4 * math.sqrt(propensity * (1 - propensity) / 4000) + 1e-9


@pytest.mark.skipif("mabwiser_ts" not in INSTALLED, reason="MABWiser is not installed")
def test_fractional_rewards_reach_a_binary_policy_as_draws_with_that_mean() -> None:
    policy: Any = ALGORITHMS["mabwiser_ts"].build(Setup(2, 0, 8))
    for _ in range(1000):
        policy.learn(Lesson(Context(), 0, 0.3))
    won = policy.mab._imp.arm_to_success_count[0]
    assert abs(won / 1000 - 0.3) < 0.05


@pytest.mark.parametrize("name", INSTALLED)
def test_no_path_is_preferred_for_its_place_in_the_list(name: str) -> None:
    algorithm = ALGORITHMS[name]
    context = Context((0.5, 0.5)) if algorithm.contextual else Context()
    first = [
        algorithm.make(Setup(3, 2 if algorithm.contextual else 0, seed, tune.COSTS)).choose(context).path
        for seed in range(60)
    ]
    assert all(first.count(path) >= 8 for path in range(3))


def test_costs_follow_their_paths_whatever_the_order() -> None:
    seen: list[Setup] = []

    def build(setup: Setup) -> Policy:
        seen.append(setup)
        return ALGORITHMS["uniform"].build(setup)

    for seed in range(10):
        policy = Shuffled(Setup(3, 0, seed, (0.0, 1.0, 2.0)), build)
        assert seen[-1].costs == tuple(map(float, policy.outer))
        assert all(policy.outer[policy.inner[path]] == path for path in range(3))


def test_no_grid_has_more_than_twelve_points() -> None:
    assert set(tune.GRIDS) == set(ALGORITHMS) - {"uniform"}
    assert all(1 <= len(points) <= 12 for points in tune.GRIDS.values())


def test_the_tuning_scenario_is_the_same_for_every_algorithm_and_has_the_stated_means() -> None:
    one, two = list(tune.requests(3)), list(tune.requests(3))
    assert one == two
    kinds = len(tune.SHIFTS[0])
    assert all(abs(sum(shift)) < 1e-12 for shift in tune.SHIFTS)
    best = sum(max(tune.BASE[p] + tune.SHIFTS[p][k] for p in range(3)) for k in range(kinds)) / kinds
    assert abs(best - tune.BASE[0] - 0.008) < 0.0005


def test_a_tuning_report_reads_back_as_it_was() -> None:
    points = [{"options": {"a": 1}, "regret": 2.5, "standard_error": 0.1}] * 2
    found = {"x": {"version": "1", "options": {"a": 1}, "grid": points}, "y": {"options": {}, "grid": points[:1]}}
    report = json.loads(tune.written(found))
    assert report["algorithms"] == found and report["seeds"] == [0, 9]


def test_the_checked_in_choices_are_the_best_of_their_grids() -> None:
    report = json.loads(TUNED.read_text("utf-8"))["algorithms"]
    assert list(report) == list(tune.GRIDS)
    for name, found in report.items():
        assert [point["options"] for point in found["grid"]] == tune.GRIDS[name]
        assert found["options"] == min(found["grid"], key=lambda point: point["regret"])["options"]
