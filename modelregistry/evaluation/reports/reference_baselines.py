"""Losses of the reference baselines on test rows, with and without online correction."""

import numpy as np

from modelregistry.dataset.rows import Dataset
from modelregistry.estimators.forecast import LEVELS
from modelregistry.estimators.online.correction import Correction
from modelregistry.estimators.scale import LinearScale
from modelregistry.evaluation.baselines.closed_forms import Climatology, walk_quantiles
from modelregistry.evaluation.baselines.regressions import Baselines
from modelregistry.evaluation.metrics import scores
from modelregistry.evaluation.reports.cells import CORRECTED


class ReferenceForecasts:
    """Reference baselines fitted on training rows and evaluated on test rows.

    Parameters
    ----------
    train, test : Dataset
        Same markets and horizons; `train` is earlier and has complete features.
    linear : LinearScale
        Ridge regression of the log range on the features, fitted on `train`.
    correction : Correction
        Of the candidate. It is also applied to each baseline, by the misses of that baseline.
    """

    def __init__(self, train: Dataset, test: Dataset, linear: LinearScale, correction: Correction) -> None:
        self.train, self.test, self.correction = train, test, correction
        self._ridge = [np.exp(linear.predict(part.features)) for part in (train, test)]
        self._fitted: dict[int, Baselines] = {}

    def losses(self, k: int, code: int, side: int) -> dict[str, np.ndarray]:
        """Losses of every baseline on test rows of one market, in basis points.

        Parameters
        ----------
        k, code, side : int
            Indices of horizon and market; side 0 is up and 1 down.
        """
        train, test = self.train, self.test
        trained, tested = train.market == code, test.market == code
        times = np.concatenate([train.open_time[trained], test.open_time[tested]])
        actual = np.concatenate([_actual_distance(train, k, side)[trained], _actual_distance(test, k, side)[tested]])
        quantiles = self._quantiles(k, code, side, times, actual)
        rows = np.arange(trained.sum(), len(times))
        result = {name: _loss(values[rows], actual[rows]) for name, values in quantiles.items()}
        if self.correction.active:
            for name, values in quantiles.items():
                factors = self._log_factors(values, actual, times, rows, test.horizons[k])
                better = np.sort(values[rows] * np.exp(factors), axis=1)
                result[name + CORRECTED] = _loss(better, actual[rows])
        return result

    def _quantiles(self, k: int, code: int, side: int, times: np.ndarray, actual: np.ndarray) -> dict[str, np.ndarray]:
        """Quantiles of training rows and test rows of one market, in time order."""
        train, test, horizon = self.train, self.test, self.test.horizons[k]
        trained, tested = train.market == code, test.market == code
        fitted = self._fitted.get(k)
        if fitted is None:
            sides = [_actual_distance(train, k, one) for one in (0, 1)]
            fitted = self._fitted[k] = Baselines.fit(horizon, k, train.har, train.sigma, *sides)
        har = np.concatenate([train.har[trained], test.har[tested]])
        sigma = np.concatenate([train.sigma[trained], test.sigma[tested]])
        weight = np.concatenate(
            [np.full(trained.sum(), float(train.stride)), np.full(tested.sum(), float(test.stride))]
        )
        # The trailing rescale also reads training rows that precede a test row.
        quantiles = fitted.predict(k, har, sigma, side, actual, times, weight, test.grid.interval_ms)
        quantiles["walk"] = walk_quantiles(sigma, horizon, side)
        quantiles["climatology"] = Climatology.fit(
            train.open_time[trained], _actual_distance(train, k, side)[trained]
        ).predict(times)
        units = np.quantile(_actual_distance(train, k, side) / self._ridge[0][:, k], LEVELS)
        quantiles["ridge"] = np.concatenate([self._ridge[0][trained, k], self._ridge[1][tested, k]])[:, None] * units
        return quantiles

    def _log_factors(
        self, quantiles: np.ndarray, actual: np.ndarray, times: np.ndarray, rows: np.ndarray, horizon: int
    ) -> np.ndarray:
        """Log factors of one baseline's quantiles at some rows, from its earlier misses."""
        number = times // self.test.grid.interval_ms
        counted = np.flatnonzero((number % self.correction.stride == 0) & np.isfinite(quantiles).all(axis=1))
        factors = self.correction.log_factors(
            quantiles[counted, None, None], actual[counted, None, None], number[counted], number[rows], (horizon,)
        )
        return factors[:, 0, 0]


def _actual_distance(rows: Dataset, k: int, side: int) -> np.ndarray:
    """Observed distance as a fraction of the close."""
    return np.asarray(np.expm1(rows.up[:, k]) if side == 0 else -np.expm1(-rows.down[:, k]))


def _loss(quantiles: np.ndarray, actual: np.ndarray) -> np.ndarray:
    return np.asarray(scores.pinball(quantiles, actual) * scores.BPS)
