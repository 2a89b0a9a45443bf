"""How much of a good score is luck: what the best of many tries would show if none of them were any good."""

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

EULER = 0.5772156649015329
BLOCKS = 16
"""Blocks of the symmetric cross-validation: 12,870 ways to take half of them."""
LEAST_SPREAD = 1e-12
"""A series that varies less than this, relative to its size, has no Sharpe ratio."""
Statistic = Literal["sharpe", "mean"]


@dataclass(frozen=True)
class DeflatedSharpe:
    """A Sharpe ratio and the chance that it is above what the best of so many tries shows by luck.

    Parameters
    ----------
    sharpe : float
        Mean over standard deviation, per observation: never annualised.
    benchmark : float
        What the best of `trials` worthless tries is expected to show.
    probability : float
        Chance that the true ratio is above the benchmark; 0.95 is the usual bar.
    trials : float
        Independent tries counted.
    """

    sharpe: float
    benchmark: float
    probability: float
    trials: float

    @property
    def significant(self) -> bool:
        """Whether luck is an unlikely explanation."""
        return self.probability >= 0.95


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
    return 0.0 if spread <= LEAST_SPREAD * max(float(np.abs(scores).max()), 1e-300) else float(scores.mean()) / spread


def probabilistic_sharpe(
    ratio: float, observations: int, *, skew: float = 0.0, kurtosis: float = 3.0, benchmark: float = 0.0
) -> float:
    """Chance that the true Sharpe ratio is above `benchmark`, given an estimate.

    Parameters
    ----------
    ratio, benchmark : float
        Per observation.
    observations : int
        Independent observations behind `ratio`.
    skew, kurtosis : float
        Of the observations; kurtosis is 3 for a normal distribution, it is not the excess.

    Raises
    ------
    ValueError
        If there are fewer than two observations.

    References
    ----------
    Bailey, D. H. and Lopez de Prado, M. (2012). The Sharpe ratio efficient frontier. Journal of Risk, 15(2), 3-44.

    Examples
    --------
    >>> probabilistic_sharpe(0.0, 100), round(probabilistic_sharpe(0.1645, 101), 2)
    (0.5, 0.95)
    """
    if observations < 2:
        raise ValueError(f"at least two observations are needed, got {observations}")
    variance = max(1.0 - skew * ratio + (kurtosis - 1.0) / 4.0 * ratio**2, 1e-12)
    return float(ndtr((ratio - benchmark) * np.sqrt((observations - 1) / variance)))


def luckiest_sharpe(spread: float, trials: float) -> float:
    """Sharpe ratio the best of `trials` independent tries is expected to show when none has any merit.

    Parameters
    ----------
    spread : float
        Standard deviation of the ratios over the tries.
    trials : float
        At least 1; a single try was not chosen, so it needs no correction.

    References
    ----------
    Bailey, D. H. and Lopez de Prado, M. (2014). The deflated Sharpe ratio: correcting for selection bias, backtest
    overfitting and non-normality. Journal of Portfolio Management, 40(5), 94-107.

    Examples
    --------
    >>> round(luckiest_sharpe(1.0, 100), 2), luckiest_sharpe(1.0, 1)
    (2.53, 0.0)
    """
    if trials <= 1:
        return 0.0
    first, second = ndtri(1.0 - 1.0 / trials), ndtri(1.0 - 1.0 / (trials * np.e))
    return float(max(spread * ((1.0 - EULER) * first + EULER * second), 0.0))


def independent_trials(scores: np.ndarray) -> float:
    """How many independent tries a set of correlated ones is worth: ``c + (1 - c) n``, c their mean correlation.

    Parameters
    ----------
    scores : ndarray of shape (n_periods, n_trials)

    References
    ----------
    Bailey and Lopez de Prado (2014), appendix A.3.

    Examples
    --------
    >>> one = np.array([1.0, -1.0, 2.0, 0.0])
    >>> independent_trials(np.column_stack([one, 2 * one, one + 3]))
    1.0
    """
    count = scores.shape[1]
    varying = scores[:, scores.std(axis=0) > 0]
    if count < 2 or varying.shape[1] < 2:
        return 1.0
    correlation = np.corrcoef(varying, rowvar=False)
    above = correlation[np.triu_indices(len(correlation), 1)]
    mean = float(np.clip(above.mean(), 0.0, 1.0))
    return round(mean + (1.0 - mean) * count, 9)


def deflated_sharpe(scores: np.ndarray, chosen: int | None = None, trials: float | None = None) -> DeflatedSharpe:
    """Judge one of many tries by what the best of them would show by luck.

    Parameters
    ----------
    scores : ndarray of shape (n_periods, n_trials)
        Gain of every try in every period, above what costs nothing. Periods must not overlap: days at least, and
        longer than the longest horizon.
    chosen : int, optional
        Column that is judged; the one of the largest ratio by default.
    trials : float, optional
        Independent tries; by default estimated from how the columns move together.

    Raises
    ------
    ValueError
        If a score is not finite, or there are fewer than two periods.

    References
    ----------
    Bailey, D. H. and Lopez de Prado, M. (2014), see :func:`luckiest_sharpe`.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(250, 50))
    >>> deflated_sharpe(noise).significant, deflated_sharpe(noise + (np.arange(50) == 7)).significant
    (False, True)
    """
    scores = _checked(scores)
    ratios = np.array([sharpe(column) for column in scores.T])
    chosen = int(ratios.argmax()) if chosen is None else chosen
    mine = scores[:, chosen]
    trials = independent_trials(scores) if trials is None else trials
    # The judged try is left out of the spread of luck: one good try must not raise its own bar.
    others = np.delete(ratios, chosen)
    spread = max(float(others.std()) if len(others) > 1 else 0.0, 1.0 / np.sqrt(len(mine)))
    benchmark = luckiest_sharpe(spread, trials)
    skew, kurtosis = _shape(mine)
    probability = probabilistic_sharpe(
        float(ratios[chosen]), len(mine), skew=skew, kurtosis=kurtosis, benchmark=benchmark
    )
    return DeflatedSharpe(float(ratios[chosen]), benchmark, probability, float(trials))


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
    scores = _checked(scores)
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
    still = variance <= LEAST_SPREAD * np.maximum(squares / count, 1e-300)
    return np.where(still, 0.0, mean / np.sqrt(np.where(still, 1.0, variance)))


def _shape(values: np.ndarray) -> tuple[float, float]:
    """Skew and kurtosis; those of a normal distribution for a series that does not vary."""
    spread = float(values.std())
    if spread == 0:
        return 0.0, 3.0
    unit = (values - values.mean()) / spread
    return float((unit**3).mean()), float((unit**4).mean())


def _checked(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or len(scores) < 2 or not scores.shape[1]:
        raise ValueError(f"scores must be of shape (periods, tries) with two periods or more, got {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("every try needs a finite score in every period")
    return scores
