"""From scores to probabilities that mean what they say, and from those to the lines at which verdicts are asserted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax

NEVER = 2.0
"""A threshold that no probability reaches."""


CLIP = 8.0
"""Scores beyond this say no more."""


FAMILIAR = 0.6
"""Below this coverage a message is unfamiliar, as most are that are not in English. The same as in `model.rs`."""
FEW_TELL = 0.7
"""What of the gate is left where a message has few words. The same as in `model.rs`."""


@dataclass
class Seen:
    """What the blend sees of messages: the scores of the collected, the authored and the talk model (rows x 3 each),
    how much the first knows of each message, the gate's log-odds, and which messages have few words."""

    collected: np.ndarray
    authored: np.ndarray
    talk: np.ndarray
    coverage: np.ndarray
    gate: np.ndarray
    few: np.ndarray

    def inputs(self) -> np.ndarray:
        """The first two models' scores, the same times the coverage, all scores times the gate, the gate, the
        coverage, and 1."""
        general = np.clip(np.hstack([self.collected, self.authored]), -CLIP, CLIP)
        talk = np.clip(self.talk, -CLIP, CLIP)
        gate = (expit(np.clip(self.gate, -CLIP, CLIP)) * np.where(self.few, FEW_TELL, 1.0))[:, None]
        coverage = self.coverage[:, None]
        every = np.hstack([general, talk])
        return np.hstack([general, general * coverage, every * gate, gate, coverage, np.ones_like(gate)])


@dataclass
class Blend:
    """Probabilities from what is seen: the softmax of a linear function of it."""

    weights: np.ndarray
    """(6 + 6 + 9 + 1 + 1 + 1) x 3."""

    def apply(self, seen: Seen) -> np.ndarray:
        return softmax(seen.inputs() @ self.weights, axis=1)


def blend(inputs: np.ndarray, labels: np.ndarray, weights: np.ndarray, penalty: float = 1.0) -> Blend:
    """Fits the blend to the inputs of held-out rows, the intercept without penalty."""
    truth = np.eye(3)[labels]
    shape = (inputs.shape[1], 3)
    free = np.append(np.ones(shape[0] - 1), 0.0)[:, None]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        matrix = flat.reshape(shape)
        log = log_softmax(inputs @ matrix, axis=1)
        value = -(weights[:, None] * truth * log).sum() + penalty * (free * matrix**2).sum() / 2
        slope = inputs.T @ (weights[:, None] * (np.exp(log) - truth)) + penalty * free * matrix
        return value, slope.ravel()

    best = minimize(loss, np.zeros(shape[0] * 3), jac=True, method="L-BFGS-B", options={"maxiter": 2000}).x
    return Blend(best.reshape(shape))


def thresholds(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray, label: int, precisions: Sequence[float]
) -> list[float]:
    """For each precision the least probability of `label` from which on that share of such verdicts is right, in the
    weighted pool of held-out messages."""
    chosen = probabilities.argmax(axis=1) == label
    order = np.argsort(-probabilities[chosen, label])
    sure = probabilities[chosen, label][order]
    counts = weights[chosen][order]
    right = (labels[chosen] == label)[order] * counts
    share = np.cumsum(right) / np.cumsum(counts)
    # The last place at which the promise still holds; the few surest alone would be a matter of luck.
    enough = np.arange(1, len(right) + 1) >= 20
    kept = [np.flatnonzero((share >= precision) & enough) for precision in precisions]
    return [float(sure[places[-1]]) if len(places) else NEVER for places in kept]


def expected_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error of the most probable label, in bins of equal width."""
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    place = np.minimum((sure * bins).astype(int), bins - 1)
    gaps = [
        abs(right[place == b].mean() - sure[place == b].mean()) * (place == b).mean()
        for b in range(bins)
        if (place == b).any()
    ]
    return float(sum(gaps))
