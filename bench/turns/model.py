"""A linear model over hashed pieces and numbers: one against the rest for each label, trained on soft labels.

Sets differ in how often people praise or complain, for reasons that are not in the words (phrases were written to
a label, dialogues were recommendations), so each set has intercepts of its own, and what is used is one set's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression


@dataclass
class Linear:
    """Weights of the pieces (slots x 3), of the numbers (numbers x 3), and the intercepts (domains x 3)."""

    pieces: np.ndarray
    numbers: np.ndarray
    intercepts: np.ndarray


def fit(
    pieces: sp.csr_matrix,
    numbers: np.ndarray,
    domains: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    *,
    penalty: float,
    number_penalty: float,
    domain_penalty: float,
) -> Linear:
    """Minimises the weighted cross entropy with `targets` (rows x labels) plus half the squared weights times the
    penalties. `domains` names the set of each row. Slots that no row has keep the weight 0."""
    used = np.unique(pieces.indices)
    count = int(domains.max()) + 1
    number_scale, domain_scale = np.sqrt(penalty / number_penalty), np.sqrt(penalty / domain_penalty)
    columns = sp.hstack(
        [pieces[:, used], sp.csr_matrix(numbers * number_scale), sp.csr_matrix(np.eye(count)[domains] * domain_scale)]
    ).tocsr()
    some = numbers.shape[1]
    model = Linear(
        np.zeros((pieces.shape[1], targets.shape[1])),
        np.zeros((some, targets.shape[1])),
        np.zeros((count, targets.shape[1])),
    )
    for label in range(targets.shape[1]):
        yes, no = targets[:, label] * weights, (1 - targets[:, label]) * weights
        rows = np.concatenate([np.flatnonzero(yes), np.flatnonzero(no)])
        truth = np.concatenate([np.ones(np.count_nonzero(yes)), np.zeros(np.count_nonzero(no))])
        each = np.concatenate([yes[yes > 0], no[no > 0]])
        solver = LogisticRegression(
            C=1 / penalty, solver="liblinear", dual=True, fit_intercept=False, tol=1e-3, max_iter=300, random_state=0
        )
        coefficients = solver.fit(columns[rows], truth, sample_weight=each).coef_[0]
        model.pieces[used, label] = coefficients[: len(used)]
        model.numbers[:, label] = coefficients[len(used) : len(used) + some] * number_scale
        model.intercepts[:, label] = coefficients[len(used) + some :] * domain_scale
    return model


@dataclass
class Quantised:
    """A linear model as it ships: pieces in 8 bits, with one scale for each label, and one intercept."""

    pieces: np.ndarray
    scale: np.ndarray
    numbers: np.ndarray
    intercept: np.ndarray

    @classmethod
    def of(cls, model: Linear, domain: int) -> Quantised:
        scale = np.abs(model.pieces).max(axis=0) / 127
        return cls(
            np.rint(model.pieces / scale).astype(np.int8),
            scale.astype(np.float32),
            model.numbers.astype(np.float32),
            model.intercepts[domain].astype(np.float32),
        )

    def scores(self, pieces: sp.csr_matrix, numbers: np.ndarray) -> np.ndarray:
        return pieces @ (self.pieces * self.scale) + numbers @ self.numbers + self.intercept

    def coverage(self, pieces: sp.csr_matrix) -> np.ndarray:
        """The share of each message's pieces that have a weight."""
        known = (self.pieces != 0).any(axis=1).astype(float)
        return (pieces @ known) / np.maximum(np.asarray(pieces.sum(axis=1)).ravel(), 1e-9)
