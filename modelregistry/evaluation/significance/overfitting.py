"""Probability of backtest overfitting by combinatorially symmetric cross-validation."""

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

BLOCKS = 16
"""Blocks of the cross-validation, with 12,870 ways to select half of them."""
MIN_SPREAD = 1e-12
"""Smallest relative standard deviation of a series with a Sharpe ratio."""
Statistic = Literal["sharpe", "mean"]


@dataclass(frozen=True)
class Overfitting:
    """Out-of-sample performance of the configuration selected on one half of the time.

    Parameters
    ----------
    probability : float
        Share of splits where the best of one half ranks in the lower half of the other; about 0.5 for noise.
    loss_probability : float
        Share of splits where its score on the other half is not above zero.
    in_sample, out_of_sample : float
        Mean of its score on the selecting half, and on the other.
    splits : int
        Number of splits.
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
    """Probability that the best trial of one half ranks below the median of the other.

    Combinatorially symmetric cross-validation: the periods are divided into `blocks` of equal length, and for every
    selection of half of them the best trial is ranked on the rest.

    Parameters
    ----------
    scores : ndarray of shape (n_periods, n_trials)
        Gain of every trial in every period, in time order; at least two trials.
    blocks : int
        Even. Excess periods at the beginning are dropped.
    statistic : {"sharpe", "mean"}
        Ranking criterion.

    Raises
    ------
    ValueError
        If `blocks` is odd or larger than the number of periods, a score is not finite, or there is only one trial.

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
    from scipy.stats import rankdata  # imported here: it takes most of a second

    scores = checked(scores)
    periods, n_trials = scores.shape
    if blocks < 2 or blocks % 2 or blocks > periods:
        raise ValueError(f"blocks must be even and at most the {periods} periods, got {blocks}")
    if n_trials < 2:
        raise ValueError("at least two trials are needed")
    length = periods // blocks
    kept = scores[periods - length * blocks :].reshape(blocks, length, n_trials)
    sums, squares = kept.sum(axis=1), (kept**2).sum(axis=1)
    halves = np.array(list(combinations(range(blocks), blocks // 2)))
    inside = np.zeros((len(halves), blocks))
    np.put_along_axis(inside, halves, 1.0, axis=1)
    count = length * blocks // 2
    trained = _statistics(inside @ sums, inside @ squares, count, statistic)
    tested = _statistics((1 - inside) @ sums, (1 - inside) @ squares, count, statistic)
    winner = trained.argmax(axis=1)
    ranks = rankdata(tested, axis=1)
    every = np.arange(len(halves))
    omega = ranks[every, winner] / (n_trials + 1)
    outside = tested[every, winner]
    return Overfitting(
        probability=float((omega <= 0.5).mean()),
        loss_probability=float((outside <= 0).mean()),
        in_sample=float(trained[every, winner].mean()),
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
    """Validate scores of shape (n_periods, n_trials).

    Raises
    ------
    ValueError
        If one is not finite, or there are fewer than two periods.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or len(scores) < 2 or not scores.shape[1]:
        raise ValueError(f"scores must be of shape (periods, trials) with two periods or more, got {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("every trial needs a finite score in every period")
    return scores
