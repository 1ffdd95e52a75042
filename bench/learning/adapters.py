"""Bandit policies of other libraries behind one interface, for the benchmark.

A library is imported when one of its policies is made, so that a machine with only some of them still runs those. What
differs between libraries is settled here in one way for all:

- Rewards are in 0..1. A policy that wants {0, 1} gets a Bernoulli draw with the reward as its mean, from the instance's
  own seed; the others get the number itself.
- A weight w means w observations. Where the library has no weights, floor(w) copies are learned, and one more with
  probability w - floor(w).
- A context is the caller's features plus a constant 1 at the end, so a policy that is made with no features still has
  an intercept.
- Paths are shown to the library in an order drawn from the instance's seed. Several break ties by the first path, and
  lists of models tend to begin with the best.
- A propensity is reported where the library states it or its definition implies it, and is None elsewhere. It is never
  estimated.
"""

from __future__ import annotations

import functools
import importlib.metadata
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from policy import Choice, Context, Lesson, Policy, Setup, Shuffled


class Uniform(Policy):
    """Any path with the same probability. Needs no library: for tests of the protocol."""

    def choose(self, context: Context) -> Choice:
        return Choice(self.random.randrange(self.setup.paths), 1 / self.setup.paths)

    def learn(self, lesson: Lesson) -> None:
        pass


class MabWiser(Policy):
    """MABWiser: `partial_fit` after every reward.

    `fit` is called once with no rows, which leaves every path at its library's prior. Epsilon-greedy and UCB1 have no
    prior, so they play each path once first, as both are defined; MABWiser leaves that to the data of its first `fit`.
    """

    def __init__(self, setup: Setup, kind: str) -> None:
        super().__init__(setup)
        import numpy
        from mabwiser.mab import MAB, LearningPolicy

        options = setup.options
        policies: dict[str, Callable[[], Any]] = {
            "ts": lambda: LearningPolicy.ThompsonSampling(),
            "epsilon": lambda: LearningPolicy.EpsilonGreedy(epsilon=options.get("epsilon", 0.1)),
            "ucb1": lambda: LearningPolicy.UCB1(alpha=options.get("alpha", 1.0)),
            "lints": lambda: LearningPolicy.LinTS(
                alpha=options.get("alpha", 1.0), l2_lambda=options.get("l2_lambda", 1.0)
            ),
            "linucb": lambda: LearningPolicy.LinUCB(
                alpha=options.get("alpha", 1.0), l2_lambda=options.get("l2_lambda", 1.0)
            ),
        }
        self.numpy = numpy
        self.kind = kind
        self.contextual = kind.startswith("lin")
        self.opening = list(range(setup.paths)) if kind in ("epsilon", "ucb1") else []
        self.mab = MAB(list(range(setup.paths)), policies[kind](), seed=setup.seed)
        rows = numpy.empty((0, setup.features + 1)) if self.contextual else None
        self.mab.fit(numpy.empty(0, int), numpy.empty(0), rows)

    def rows(self, context: Context, copies: int = 1) -> Any:
        return self.numpy.array([self.row(context)] * copies) if self.contextual else None

    def choose(self, context: Context) -> Choice:
        if self.opening:
            return Choice(self.opening.pop(0), None)
        path = int(self.mab.predict(self.rows(context)))
        return Choice(path, self.greedy_propensity(path) if self.kind == "epsilon" else None)

    def greedy_propensity(self, path: int) -> float:
        epsilon = float(self.mab.learning_policy.epsilon)
        expectations = self.mab._imp.arm_to_expectation
        best = max(expectations, key=expectations.__getitem__)
        return epsilon / self.setup.paths + (1 - epsilon if path == best else 0.0)

    def learn(self, lesson: Lesson) -> None:
        copies = self.copies(lesson.weight)
        if not copies:
            return
        binary = self.kind == "ts"
        rewards = [float(self.flip(lesson.reward)) if binary else lesson.reward for _ in range(copies)]
        numpy = self.numpy
        self.mab.partial_fit(numpy.full(copies, lesson.path), numpy.array(rewards), self.rows(lesson.context, copies))


class VowpalWabbit(Policy):
    """Vowpal Wabbit's `cb_explore_adf`: exact propensities, doubly weighted learning (`mtr`, its default).

    Learning needs the probability of the choice. It is taken from the lesson; a caller that does not send it gets that
    of the last choice of this path in the same context, which is right as long as the same context does not recur while
    the first reward is outstanding. Text, when given and `text` is on, is a bag of its first 200 words.
    """

    WORD = re.compile(r"[a-z0-9]+")

    def __init__(self, setup: Setup, kind: str) -> None:
        super().__init__(setup)
        from vowpalwabbit import Workspace

        options = setup.options
        explore = (
            f"--squarecb --gamma_scale {options.get('gamma_scale', 10.0)}"
            if kind == "squarecb"
            else f"--epsilon {options.get('epsilon', 0.05)}"
        )
        self.with_text = bool(options.get("text", False))
        interactions = "-q fa" + (" -q ta" if self.with_text else "")
        self.workspace = Workspace(
            f"--cb_explore_adf {explore} {interactions} -b {18 if self.with_text else 14} "
            f"-l {options.get('learning_rate', 0.5)} --random_seed {setup.seed % 2**31} --quiet"
        )
        self.propensities: dict[tuple[Context, int], float] = {}

    def lines(self, context: Context) -> list[str]:
        shared = "shared |f " + " ".join(f"{i}:{x:.6g}" for i, x in enumerate(context.features) if x)
        if self.with_text and context.text:
            shared += " |t " + " ".join(self.WORD.findall(context.text.lower())[:200])
        return [shared, *(f"|a p{path}" for path in range(self.setup.paths))]

    def choose(self, context: Context) -> Choice:
        weights = self.workspace.predict("\n".join(self.lines(context)))
        path = self.random.choices(range(self.setup.paths), weights)[0]
        propensity = weights[path] / sum(weights)
        self.propensities[context, path] = propensity
        return Choice(path, propensity)

    def learn(self, lesson: Lesson) -> None:
        propensity = lesson.propensity
        if propensity is None:
            propensity = self.propensities.get((lesson.context, lesson.path), 1 / self.setup.paths)
        lines = self.lines(lesson.context)
        lines[lesson.path + 1] = f"0:{1 - lesson.reward:.6g}:{propensity:.6g} {lines[lesson.path + 1]}"
        for _ in range(self.copies(lesson.weight)):
            self.workspace.learn("\n".join(lines))

    def close(self) -> None:
        self.workspace.finish()


@functools.cache
def _quick_logistic() -> Any:
    """scikit-learn's SGDClassifier whose prediction skips the checks of its input, nine tenths of a step's time."""
    import numpy
    from sklearn.linear_model import SGDClassifier

    class QuickLogistic(SGDClassifier):  # type: ignore[misc]
        def predict_proba(self, rows: Any) -> Any:
            success = 1 / (1 + numpy.exp(-(rows @ self.coef_.T + self.intercept_).ravel()))
            return numpy.column_stack([1 - success, success])

    return QuickLogistic


class ContextualBandits(Policy):
    """contextualbandits: BootstrappedUCB streaming in batches, LogisticTS refitted on all rows.

    A step of either costs milliseconds, so rewards are learned in groups: BootstrappedUCB (over scikit-learn's
    SGDClassifier, the one with `partial_fit`) every `batch` rewards (5); LogisticTS, which can only fit anew, when the
    rows have grown by `batch` and by the share `growth` (.05). Successes lost on seeds 10 to 19 of tune.py:
    BootstrappedUCB 30.7 ± 3.9 with a batch of 1, 30.2 ± 3.8 with 5, 44.6 ± 5.4 with 25; LogisticTS 20.6 ± 13.5 with
    a growth of .01, 23.7 ± 15.1 with .05.
    """

    def __init__(self, setup: Setup, kind: str) -> None:
        super().__init__(setup)
        import numpy
        from contextualbandits.online import BootstrappedUCB, LogisticTS

        # Its use of scikit-learn's `penalty` is announced to go, on every fit.
        warnings.filterwarnings("ignore", category=FutureWarning, module="sklearn")
        options = setup.options
        generator = numpy.random.default_rng(setup.seed)
        self.numpy = numpy
        self.kind = kind
        self.batch = int(options.get("batch", 5))
        self.growth = float(options.get("growth", 0.05))
        self.rows: list[list[float]] = []
        self.paths: list[int] = []
        self.rewards: list[int] = []
        self.learned = 0
        if kind == "bootstrapped_ucb":
            self.policy = BootstrappedUCB(
                _quick_logistic()(loss="log_loss", alpha=options.get("l2", 1e-4), random_state=setup.seed % 2**32),
                setup.paths,
                nsamples=int(options.get("samples", 10)),
                percentile=options.get("percentile", 80),
                batch_train=True,
                random_state=generator,
                njobs_arms=1,
                njobs_samples=1,
            )
        else:
            self.policy = LogisticTS(
                setup.paths,
                sample_from=options.get("sample_from", "ci"),
                multiplier=options.get("multiplier", 0.25),
                lambda_=options.get("l2", 1.0),
                random_state=generator,
                njobs=1,
            )

    def choose(self, context: Context) -> Choice:
        return Choice(int(self.policy.predict(self.numpy.array([context.features or (1.0,)]))[0]))

    def learn(self, lesson: Lesson) -> None:
        for _ in range(self.copies(lesson.weight)):
            self.rows.append(list(lesson.context.features or (1.0,)))
            self.paths.append(lesson.path)
            self.rewards.append(self.flip(lesson.reward))
        fresh = len(self.rows) - self.learned
        streams = self.kind == "bootstrapped_ucb"
        if fresh < (self.batch if streams else max(self.batch, int(self.growth * self.learned))):
            return
        rows, paths, rewards = (self.numpy.array(x) for x in (self.rows, self.paths, self.rewards))
        if streams:
            self.policy.partial_fit(rows, paths, rewards)
            self.rows, self.paths, self.rewards = [], [], []
        else:
            self.policy.fit(rows, paths, rewards)
            self.learned = len(self.rows)


class ParetoBandit(Policy):
    """ParetoBandit's BanditRouter, cold start, on our features instead of its embedding.

    Its library takes pre-computed context vectors (`FeatureService.for_precomputed`), so the whole router runs as
    published: disjoint LinUCB with forgetting, staleness inflation, cost penalty and budget pacer. Two parts of its
    headline configuration are left out, since they belong to its embedding: the MiniLM + PCA features and the priors
    fitted in that space on 8,374 prompts. Hence its published cold-start values are the defaults (alpha .05,
    gamma .997); without forgetting (gamma 1) it is listed a second time, the better of the two when nothing changes and
    the worse when something does. `cost_penalty` is 0 unless asked for, to compare on quality first; its own default
    is 0.3.

    Prices must be given per token: a request counts as `tokens_per_request` (1,000) tokens at the path's mean cost.
    Rewards go in by `update(..., advance_time=False)`, which is what its `process_feedback` does, because lessons name
    their context. The pacer (`budget`, dollars per request) observes the lesson's real cost at that moment; the
    library passes its own estimate there.
    """

    def __init__(self, setup: Setup, forgetting_factor: float) -> None:
        super().__init__(setup)
        import logging

        import numpy
        from pareto_bandit import BanditRouter, FeatureService
        from pareto_bandit.budget_pacer import BudgetPacer

        logging.getLogger("pareto_bandit").setLevel(logging.ERROR)
        options = setup.options
        self.numpy = numpy
        tokens = options.get("tokens_per_request", 1000)
        costs = setup.costs or (0.001,) * setup.paths
        budget = options.get("budget")
        self.pacer = BudgetPacer(float(budget)) if budget else None
        per_million = [cost / tokens * 1e6 for cost in costs]
        self.router = BanditRouter.create(
            model_registry={
                str(path): {"input_cost_per_m": price, "output_cost_per_m": price, "time_to_first_token_seconds": 1.0}
                for path, price in enumerate(per_million)
            },
            priors="none",
            feature_service=FeatureService.for_precomputed(setup.features + 1),
            alpha=options.get("alpha", 0.05),
            forgetting_factor=options.get("forgetting_factor", forgetting_factor),
            cost_penalty=options.get("cost_penalty", 0.0),
            bandit_seed=setup.seed,
            budget_pacer=self.pacer,
        )

    def choose(self, context: Context) -> Choice:
        model, _ = self.router.route(self.numpy.array(self.row(context)))
        return Choice(int(model))

    def learn(self, lesson: Lesson) -> None:
        row = self.numpy.array(self.row(lesson.context))
        self.router.update(str(lesson.path), row, lesson.reward, lesson.weight, advance_time=False)
        if self.pacer is not None and lesson.cost is not None:
            self.pacer.observe(lesson.cost)


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A policy that can be asked for by name."""

    library: str
    package: str | None
    contextual: bool
    build: Callable[[Setup], Policy]

    def make(self, setup: Setup) -> Policy:
        """A new policy, which sees the paths in an order of its seed's own."""
        return Shuffled(setup, self.build)

    def version(self) -> str:
        """The installed version; raises `PackageNotFoundError` when there is none."""
        return "-" if self.package is None else importlib.metadata.version(self.package)


def _mabwiser(kind: str) -> Algorithm:
    return Algorithm("MABWiser", "mabwiser", kind.startswith("lin"), lambda setup: MabWiser(setup, kind))


def _vw(kind: str) -> Algorithm:
    return Algorithm("Vowpal Wabbit", "vowpalwabbit", True, lambda setup: VowpalWabbit(setup, kind))


def _contextualbandits(kind: str) -> Algorithm:
    return Algorithm("contextualbandits", "contextualbandits", True, lambda setup: ContextualBandits(setup, kind))


def _paretobandit(forgetting_factor: float) -> Algorithm:
    return Algorithm("ParetoBandit", "paretobandit", True, lambda setup: ParetoBandit(setup, forgetting_factor))


ALGORITHMS: dict[str, Algorithm] = {
    "uniform": Algorithm("none", None, False, Uniform),
    "mabwiser_ts": _mabwiser("ts"),
    "mabwiser_epsilon": _mabwiser("epsilon"),
    "mabwiser_ucb1": _mabwiser("ucb1"),
    "mabwiser_lints": _mabwiser("lints"),
    "mabwiser_linucb": _mabwiser("linucb"),
    "vw_squarecb": _vw("squarecb"),
    "vw_epsilon": _vw("epsilon"),
    "contextualbandits_bootstrapped_ucb": _contextualbandits("bootstrapped_ucb"),
    "contextualbandits_logistic_ts": _contextualbandits("logistic_ts"),
    "paretobandit": _paretobandit(0.997),
    "paretobandit_no_forgetting": _paretobandit(1.0),
}
"""Every algorithm by its name in the protocol, in the order in which tables show them."""
