"""Choosing the best of many tries: how often the winner of one half of the time disappoints in the other."""

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

BLOCKS = 16
"""Blocks of the symmetric cross-validation: 12,870 ways to take half of them."""
MIN_SPREAD = 1e-12
"""A series that varies less than this, relative to its size, has no Sharpe ratio."""
Statistic = Literal["sharpe", "mean"]


@dataclass(frozen=True)
class Overfitting:
    """What choosing the best configuration on one half of the time was worth on the other.

    Parameters
    ----------
    probability : float
        Share of splits where the winner of one half is in the lower half of the other; about 0.5 for noise.
    loss_probability : float
        Share of splits where the winner's score on the other half is not above zero.
    in_sample, out_of_sample : float
        Winner's score on the half that chose it, and on the other, averaged over splits.
    splits : int
        Ways the time was halved.
    """

    probability: float
    loss_probability: float
    in_sample: float
    out_of_sample: float
    splits: int


def sharpe(scores: np.ndarray) -> float:
    """Mean over standard deviation per observation, 0 for a series that does not vary.

    Examples
    --------
    >>> sharpe(np.array([1.0, 3.0])), sharpe(np.ones(5))
    (2.0, 0.0)
    """
    spread = float(scores.std())
    return 0.0 if spread <= MIN_SPREAD * max(float(np.abs(scores).max()), 1e-300) else float(scores.mean()) / spread


def probability_of_overfitting(
    scores: np.ndarray, blocks: int = BLOCKS, statistic: Statistic = "sharpe"
) -> Overfitting:
    """How often the winner of one half of the time is below the middle of the field in the other half.

    Combinatorially symmetric cross-validation: the periods are cut into `blocks` of equal length, and for every
    choice of half of them the winner there is ranked on the rest.

    Parameters
    ----------
    scores : ndarray of shape (n_periods, n_trials)
        Gain of every try in every period, in time order, for at least two tries.
    blocks : int
        Even. Periods left over at the beginning are dropped.
    statistic : {"sharpe", "mean"}
        What a try is ranked by.

    Raises
    ------
    ValueError
        If `blocks` is odd or larger than the number of periods, a score is not finite, or there is only one try.

    References
    ----------
    Bailey, D. H., Borwein, J., Lopez de Prado, M. and Zhu, Q. J. (2017). The probability of backtest overfitting.
    Journal of Computational Finance, 20(4), 39-69.

    Examples
    --------
    >>> noise = np.random.default_rng(6).normal(size=(480, 20))
    >>> planted = noise + 0.5 * (np.arange(20) == 4)
    >>> round(probability_of_overfitting(noise, 8).probability, 2)
    0.47
    >>> probability_of_overfitting(planted, 8).probability
    0.0
    """
    from scipy.stats import rankdata  # most of a second that a process showing a page does not need

    scores = checked(scores)
    periods, tries = scores.shape
    if blocks < 2 or blocks % 2 or blocks > periods:
        raise ValueError(f"blocks must be even and at most the {periods} periods, got {blocks}")
    if tries < 2:
        raise ValueError("one try alone was not chosen among others")
    length = periods // blocks
    kept = scores[periods - length * blocks :].reshape(blocks, length, tries)
    sums, squares = kept.sum(axis=1), (kept**2).sum(axis=1)
    halves = np.array(list(combinations(range(blocks), blocks // 2)))
    inside = np.zeros((len(halves), blocks))
    np.put_along_axis(inside, halves, 1.0, axis=1)
    count = length * blocks // 2
    learned = _statistics(inside @ sums, inside @ squares, count, statistic)
    judged = _statistics((1 - inside) @ sums, (1 - inside) @ squares, count, statistic)
    winner = learned.argmax(axis=1)
    ranks = rankdata(judged, axis=1)
    every = np.arange(len(halves))
    omega = ranks[every, winner] / (tries + 1)
    outside = judged[every, winner]
    return Overfitting(
        probability=float((omega <= 0.5).mean()),
        loss_probability=float((outside <= 0).mean()),
        in_sample=float(learned[every, winner].mean()),
        out_of_sample=float(outside.mean()),
        splits=len(halves),
    )


def _statistics(sums: np.ndarray, squares: np.ndarray, count: int, statistic: Statistic) -> np.ndarray:
    mean = sums / count
    if statistic == "mean":
        return mean
    variance = np.maximum(squares / count - mean**2, 0.0)
    still = variance <= MIN_SPREAD * np.maximum(squares / count, 1e-300)
    return np.where(still, 0.0, mean / np.sqrt(np.where(still, 1.0, variance)))


def checked(scores: np.ndarray) -> np.ndarray:
    """Scores of shape (n_periods, n_trials) that can be judged.

    Raises
    ------
    ValueError
        If one is not finite, or there are fewer than two periods.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or len(scores) < 2 or not scores.shape[1]:
        raise ValueError(f"scores must be of shape (periods, tries) with two periods or more, got {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("every try needs a finite score in every period")
    return scores
