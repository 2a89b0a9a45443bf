"""Correction of the best score for selection among many trials: deflated Sharpe ratio."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from modelregistry.evaluation.significance.overfitting import checked, sharpe

EULER = 0.5772156649015329


@dataclass(frozen=True)
class DeflatedSharpe:
    """A Sharpe ratio and the probability that it exceeds the expected maximum under no skill.

    Parameters
    ----------
    sharpe : float
        Mean over standard deviation, per observation: never annualised.
    benchmark : float
        Expected maximum of `trials` Sharpe ratios without skill.
    probability : float
        Probability that the true ratio exceeds the benchmark; 0.95 is the usual threshold.
    trials : float
        Number of independent trials.
    """

    sharpe: float
    benchmark: float
    probability: float
    trials: float

    @property
    def significant(self) -> bool:
        """Whether the probability is at least 0.95."""
        return self.probability >= 0.95


def probabilistic_sharpe(
    ratio: float, observations: int, *, skew: float = 0.0, kurtosis: float = 3.0, benchmark: float = 0.0
) -> float:
    """Probability that the true Sharpe ratio exceeds `benchmark`, given an estimate.

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


def expected_max_sharpe(spread: float, trials: float) -> float:
    """Expected maximum Sharpe ratio of `trials` independent trials without skill.

    Parameters
    ----------
    spread : float
        Standard deviation of the ratios over the trials.
    trials : float
        At least 1; a single trial needs no correction.

    References
    ----------
    Bailey, D. H. and Lopez de Prado, M. (2014). The deflated Sharpe ratio: correcting for selection bias, backtest
    overfitting and non-normality. Journal of Portfolio Management, 40(5), 94-107.

    Examples
    --------
    >>> round(expected_max_sharpe(1.0, 100), 2), expected_max_sharpe(1.0, 1)
    (2.53, 0.0)
    """
    if trials <= 1:
        return 0.0
    first, second = ndtri(1.0 - 1.0 / trials), ndtri(1.0 - 1.0 / (trials * np.e))
    return float(max(spread * ((1.0 - EULER) * first + EULER * second), 0.0))


def independent_trials(scores: np.ndarray) -> float:
    """Effective number of independent trials: ``c + (1 - c) n``, with mean correlation c.

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


def deflated_sharpe(scores: np.ndarray, trials: float | None = None) -> DeflatedSharpe:
    """Deflated Sharpe ratio of the best of many trials.

    Parameters
    ----------
    scores : ndarray of shape (n_periods, n_trials)
        Gain of every trial over the baseline in every period. Periods must not overlap: at least days, and longer than
        the longest horizon.
    trials : float, optional
        Number of independent trials; by default estimated from the correlation of the columns.

    Raises
    ------
    ValueError
        If a score is not finite, or there are fewer than two periods.

    References
    ----------
    Bailey, D. H. and Lopez de Prado, M. (2014), see :func:`expected_max_sharpe`.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(250, 50))
    >>> deflated_sharpe(noise).significant, deflated_sharpe(noise + (np.arange(50) == 7)).significant
    (False, True)
    """
    scores = checked(scores)
    ratios = np.array([sharpe(column) for column in scores.T])
    chosen = int(ratios.argmax())
    tested = scores[:, chosen]
    trials = independent_trials(scores) if trials is None else trials
    # The tested trial is left out of the spread, so that it does not raise its own benchmark.
    others = np.delete(ratios, chosen)
    spread = max(float(others.std()) if len(others) > 1 else 0.0, 1.0 / np.sqrt(len(tested)))
    benchmark = expected_max_sharpe(spread, trials)
    skew, kurtosis = _shape(tested)
    probability = probabilistic_sharpe(
        float(ratios[chosen]), len(tested), skew=skew, kurtosis=kurtosis, benchmark=benchmark
    )
    return DeflatedSharpe(float(ratios[chosen]), benchmark, probability, float(trials))


def _shape(values: np.ndarray) -> tuple[float, float]:
    """Skew and kurtosis; those of a normal distribution for a series that does not vary."""
    spread = float(values.std())
    if spread == 0:
        return 0.0, 3.0
    unit = (values - values.mean()) / spread
    return float((unit**3).mean()), float((unit**4).mean())
