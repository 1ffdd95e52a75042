"""The interface that every policy of another library is put behind."""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Options = dict[str, Any]


class Unusable(Exception):
    """A request that an adapter cannot serve; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of a request before a path is chosen."""

    features: tuple[float, ...] = ()
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen path (0-based), and the exact probability with which it was chosen if the library makes it known."""

    path: int
    propensity: float | None = None


@dataclass(frozen=True, slots=True)
class Lesson:
    """One observed reward. `propensity` is that of the choice that it belongs to, when the caller has it."""

    context: Context
    path: int
    reward: float
    weight: float = 1.0
    propensity: float | None = None
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Setup:
    """What a policy is made from: number of paths, features per context, mean dollars per request of each path."""

    paths: int
    features: int
    seed: int
    costs: tuple[float, ...] = ()
    options: Options = field(default_factory=dict)


class Policy(ABC):
    """A bandit: chooses a path for a context and learns from rewards, which may come late and in any order."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.random = random.Random(setup.seed)

    @abstractmethod
    def choose(self, context: Context) -> Choice:
        """Chooses a path. Counts as played, whether or not a reward ever follows."""

    @abstractmethod
    def learn(self, lesson: Lesson) -> None:
        """Learns one reward."""

    def close(self) -> None:  # noqa: B027 (most policies hold nothing but memory)
        """Gives back what the policy holds outside Python's memory."""

    def copies(self, weight: float) -> int:
        """How often to learn an observation of this weight: `weight` in the mean."""
        whole = math.floor(weight)
        return whole + (self.random.random() < weight - whole)

    def flip(self, reward: float) -> int:
        """A draw from {0, 1} whose mean is the reward."""
        return int(self.random.random() < reward)

    def row(self, context: Context) -> list[float]:
        """The context as a linear model sees it: the features and a constant."""
        return [*context.features, 1.0]


class Shuffled(Policy):
    """A policy that sees the paths in another order, drawn from its seed: being listed first earns nothing."""

    def __init__(self, setup: Setup, build: Callable[[Setup], Policy]) -> None:
        super().__init__(setup)
        self.outer = list(range(setup.paths))
        random.Random(f"order {setup.seed}").shuffle(self.outer)
        self.inner = {path: place for place, path in enumerate(self.outer)}
        costs = tuple(setup.costs[path] for path in self.outer) if setup.costs else ()
        self.policy = build(replace(setup, costs=costs))

    def choose(self, context: Context) -> Choice:
        choice = self.policy.choose(context)
        return Choice(self.outer[choice.path], choice.propensity)

    def learn(self, lesson: Lesson) -> None:
        self.policy.learn(replace(lesson, path=self.inner[lesson.path]))

    def close(self) -> None:
        self.policy.close()


def context_of(features: Sequence[float] | None, text: str | None, expected: int) -> Context:
    """Checks a context that came from outside against the number of features that the policy was made for."""
    values = tuple(float(x) for x in features or ())
    if len(values) != expected:
        raise Unusable(f"the policy was made for {expected} features, {len(values)} came: send as many")
    if not all(map(math.isfinite, values)):
        raise Unusable("a feature is not finite: send finite numbers only")
    return Context(values, text)
