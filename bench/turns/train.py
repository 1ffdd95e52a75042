"""Trains the turn classifier, calibrates it on held-out folds, and writes its weights.

    python bench/turns/train.py DATA_FOLDER [--program target/release/kalibr-bench-turns]

writes `crates/kalibr-signals/src/turn/weights.bin`, and the folds' probabilities for `evaluate.py` to the cache folder.

Three linear models over the same features: one of collected messages, one of authored phrases, and one of the
conversations about taste (iard) alone. Trained together they spoil each other: phrases that were written to a label are
short and plain where real messages are not, and who talks of films praises and complains of films. A fourth, the gate,
tells messages of such conversations from others. How far each model is believed, which depends on the gate and on how
much of a message the first one knows, is learned on held-out folds, and calibrates them all.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from sklearn.model_selection import GroupKFold

from calibration import FAMILIAR, Blend, Seen, blend, thresholds
from model import Linear, Quantised, fit
from sets import HERE, LABELS, LANGUAGES, SLOTS, Set, composed, featurise, phrases, read, varied

ROOT = HERE.parent.parent
WEIGHTS = ROOT / "crates/kalibr-signals/src/turn/weights.bin"
PROGRAM = ROOT / "target/release/kalibr-bench-turns"
CACHE = ROOT / "target/bench-turns"
FOLDS = 5
REAL = ("codechat_weak", "iard", "hwu64", "clinc")
AUTHORED = ("english", "everyday", "developer", "pasted", "foreign")
POOLS = ({"codechat_weak": 1.0, "iard": 1.0}, {"codechat_weak": 1.0, "iard": 1.0, "hwu64": 0.5, "clinc": 0.5})
"""By which folds the thresholds of acceptances and of rejections are chosen, and what a row of each set counts. The
templated sets are easier than real life, most of all in praise."""
UNFAMILIAR_POOL = "foreign"
UNFAMILIAR_CONTINUATIONS = 2.0
"""Thresholds for unfamiliar messages are chosen by this set's folds, where a continuation counts so much: of phrases
that were written for the purpose too few say nothing of an answer."""
FEW_WORDS = 27
"""The number that says that there are at most five words, as in `features.rs`."""
PRECISIONS = (0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99)


@dataclass(frozen=True)
class Recipe:
    """How a model is trained: what a row of each set counts, whose intercept each set has (0 is the one
    that is used), and the penalties."""

    weights: dict[str, float]
    domains: dict[str, int]
    penalty: float
    number_penalty: float
    domain_penalty: float = 0.02


# Production's follow-ups are like real developers', so theirs is the intercept that is used.
COLLECTED = Recipe(
    weights={"codechat_weak": 1.0, "iard": 0.2, "hwu64": 0.3, "clinc": 0.3},
    domains={"codechat_weak": 0, "iard": 1, "hwu64": 2, "clinc": 2},
    penalty=0.3,
    number_penalty=0.1,
)
WRITTEN = Recipe(
    weights={"english": 1.0, "everyday": 0.5, "developer": 0.3, "pasted": 0.2, "foreign": 1.0},
    domains=dict.fromkeys(AUTHORED, 0),
    penalty=0.1,
    number_penalty=0.3,
)
TALK = Recipe(
    weights={"iard": 1.0},
    domains={"iard": 0},
    penalty=0.03,
    number_penalty=0.03,
)
GATE = Recipe(
    weights={"iard": 1.0, "codechat_weak": 1.0, "hwu64": 0.5, "clinc": 0.5},
    domains=dict.fromkeys(REAL, 0),
    penalty=0.3,
    number_penalty=0.3,
)
RECIPES = (COLLECTED, WRITTEN, TALK, GATE)
Models = tuple[Quantised, ...]
"""One of each recipe, in their order."""
BLEND_WEIGHTS = {
    **{"codechat_weak": 1.0, "iard": 1.0, "hwu64": 0.3, "clinc": 0.3},
    **{"english": 0.15, "everyday": 0.15, "developer": 0.0, "pasted": 0.0, "foreign": 0.5},
}


def load(data: Path, program: Path) -> dict[str, Set]:
    sets = {name: featurise(program, name, read(data / f"turns/{name}.jsonl")) for name in REAL}
    sets["english"] = featurise(program, "english", varied(phrases("en"), seed=1))
    foreign = varied([row for language in LANGUAGES[1:] for row in phrases(language)], seed=2)
    sets["foreign"] = featurise(program, "foreign", foreign)
    sets["developer"] = featurise(program, "developer", composed("developer", 1500, seed=3))
    sets["pasted"] = featurise(program, "pasted", composed("pasted", 1200, seed=5))
    sets["everyday"] = featurise(program, "everyday", composed("everyday", 2500, seed=4))
    return sets


def train(sets: dict[str, Set], recipe: Recipe, kept: dict[str, np.ndarray]) -> Quantised:
    """Fits a model to the rows that `kept` says, as it will be shipped: with its intercept 0 and quantised."""
    names = list(recipe.weights)
    if recipe == GATE:
        targets = {name: np.full((len(sets[name].rows), 1), float(name == "iard")) for name in names}
    else:
        targets = {name: np.eye(3)[sets[name].labels] for name in names}
    model: Linear = fit(
        sp.vstack([sets[name].pieces[kept[name]] for name in names]).tocsr(),
        np.vstack([sets[name].numbers[kept[name]] for name in names]).astype(float),
        np.concatenate([np.full(kept[name].sum(), recipe.domains[name]) for name in names]),
        np.concatenate([targets[name][kept[name]] for name in names]),
        np.concatenate([np.full(kept[name].sum(), recipe.weights[name]) for name in names]),
        penalty=recipe.penalty,
        number_penalty=recipe.number_penalty,
        domain_penalty=recipe.domain_penalty,
    )
    return Quantised.of(model, domain=0)


def folds_of(sets: dict[str, Set]) -> dict[str, np.ndarray]:
    """The fold of each row; rows of one group share theirs."""
    folds = {}
    for name, s in sets.items():
        folds[name] = np.zeros(len(s.rows), int)
        split = GroupKFold(FOLDS, shuffle=True, random_state=0).split(s.rows, s.labels, s.groups)
        for number, (_, tested) in enumerate(split):
            folds[name][tested] = number
    return folds


def _one(task: tuple[dict[str, Set], Recipe, dict[str, np.ndarray]]) -> Quantised:
    return train(*task)


def models(sets: dict[str, Set], folds: dict[str, np.ndarray], jobs: int) -> list[Models]:
    """The models for each fold, without its rows; and last those of all rows."""
    kept = [{name: fold != number for name, fold in folds.items()} for number in range(FOLDS)]
    kept.append({name: np.ones(len(fold), bool) for name, fold in folds.items()})
    tasks = []
    for rows in kept:
        for recipe in RECIPES:
            tasks.append(({name: sets[name] for name in recipe.weights}, recipe, rows))
    with ProcessPoolExecutor(jobs) as pool:
        made = _watched(pool.map(_one, tasks), len(tasks))
    return [tuple(made[at : at + len(RECIPES)]) for at in range(0, len(made), len(RECIPES))]


def _watched(made: Iterable[Quantised], count: int) -> list[Quantised]:
    done = []
    for model in made:
        done.append(model)
        print(f"model {len(done)} of {count}", flush=True)
    return done


def evidence(trained: Models, s: Set, rows: np.ndarray) -> Seen:
    """What the blend sees of rows."""
    pieces, numbers = s.pieces[rows], s.numbers[rows]
    collected, authored, talk, gate = (model.scores(pieces, numbers) for model in trained)
    return Seen(collected, authored, talk, trained[0].coverage(pieces), gate[:, 0], numbers[:, FEW_WORDS] > 0)


def held_out(trained: list[Models], s: Set, fold: np.ndarray) -> Seen:
    """The same of all rows of a set, each by the models that did not see its fold."""
    order = np.argsort(fold, kind="stable")
    parts = [evidence(of, s, np.flatnonzero(fold == number)) for number, of in enumerate(trained)]
    back = np.argsort(order, kind="stable")
    return Seen(*(np.concatenate([getattr(part, f.name) for part in parts])[back] for f in fields(Seen)))


def write(path: Path, trained: Models, blended: Blend, table: np.ndarray) -> None:
    """The layout is told in `crates/kalibr-signals/src/turn/model.rs`."""
    little = "<f4"
    head = np.array([SLOTS, trained[0].numbers.shape[0], len(table)], "<u4").tobytes()
    floats = [
        *(model.scale for model in trained),
        *(model.intercept for model in trained),
        blended.weights.T,
        table,
        np.hstack([model.numbers for model in trained]),
    ]
    slots = np.hstack([model.pieces for model in trained])
    path.write_bytes(
        b"KTURN2\0\0" + head + b"".join(part.astype(little).tobytes() for part in floats) + slots.tobytes()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder that holds turns/codechat_weak.jsonl and its like")
    parser.add_argument("--program", type=Path, default=PROGRAM)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    sets = load(asked.data, asked.program)
    folds = folds_of(sets)
    *apart, final = models(sets, folds, asked.jobs)
    seen = {name: held_out(apart, s, folds[name]) for name, s in sets.items()}
    names = list(sets)
    blended = blend(
        np.vstack([seen[name].inputs() for name in names]),
        np.concatenate([sets[name].labels for name in names]),
        np.concatenate([np.full(len(sets[name].rows), BLEND_WEIGHTS[name]) for name in names]),
    )
    probabilities = {name: blended.apply(seen[name]) for name in names}
    acceptance, rejection = (
        thresholds(
            np.concatenate([probabilities[name] for name in pool]),
            np.concatenate([sets[name].labels for name in pool]),
            np.concatenate([np.full(len(sets[name].rows), weight) for name, weight in pool.items()]),
            label,
            PRECISIONS,
        )
        for label, pool in enumerate(POOLS)
    )
    strange = seen[UNFAMILIAR_POOL].coverage < FAMILIAR
    labels = sets[UNFAMILIAR_POOL].labels[strange]
    counts = np.where(labels == LABELS.index("continuation"), UNFAMILIAR_CONTINUATIONS, 1.0)
    unfamiliar = [
        thresholds(probabilities[UNFAMILIAR_POOL][strange], labels, counts, label, PRECISIONS) for label in (0, 1)
    ]
    table = np.column_stack([PRECISIONS, acceptance, rejection, *unfamiliar])
    CACHE.mkdir(parents=True, exist_ok=True)
    saved = {f"{n}_p": probabilities[n] for n in names} | {f"{n}_y": sets[n].labels for n in names}
    # Where phrases, read by rule, say the opposite, nothing is asserted: praise, complaint, and whether words are few.
    saved |= {f"{n}_phrases": sets[n].numbers[:, [0, 1, FEW_WORDS]] for n in names}
    saved |= {f"{n}_unfamiliar": seen[n].coverage < FAMILIAR for n in names}
    np.savez(CACHE / "folds.npz", table=table, **saved)
    write(asked.weights, final, blended, table)
    print(f"wrote {asked.weights} ({asked.weights.stat().st_size} bytes)")
    for precision, *lines in table:
        acceptance, rejection, *others = (f"{line:.3f}" for line in lines)
        print(
            f"precision {precision:.3f}: acceptance from {acceptance}, rejection from {rejection}; unfamiliar {others}"
        )


if __name__ == "__main__":
    main()
