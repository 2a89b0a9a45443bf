"""What costs nothing on the rows of a test: baselines fitted on the candidate's rows, and allowed its correction."""

import numpy as np

from modelregistry.estimators.correction import Correction
from modelregistry.estimators.forecast import LEVELS
from modelregistry.estimators.scale import LinearScale
from modelregistry.evaluation import metrics
from modelregistry.evaluation.baselines import Baselines
from modelregistry.evaluation.cells import CORRECTED
from modelregistry.evaluation.plain_baselines import Climatology, walk_quantiles
from modelregistry.training.dataset import Dataset


class ReferenceForecasts:
    """Baselines fitted on training rows, asked about test rows.

    Parameters
    ----------
    train, test : Dataset
        The same markets and horizons; `train` answerable and earlier.
    linear : LinearScale
        Ridge regression of the log range on our own features, fitted on `train`.
    correction : Correction
        The candidate's. Each baseline is corrected by it as well, where there is one: it counts what the baseline
        itself missed, on the rows there are.
    """

    def __init__(self, train: Dataset, test: Dataset, linear: LinearScale, correction: Correction) -> None:
        self.train, self.test, self.correction = train, test, correction
        self._ridge = [np.exp(linear.predict(part.features)) for part in (train, test)]
        self._fitted: dict[int, Baselines] = {}

    def losses(self, k: int, code: int, side: int) -> dict[str, np.ndarray]:
        """Losses of every baseline on the test rows of one market, in basis points of the close.

        Parameters
        ----------
        k, code, side : int
            Places of the horizon and of the market; side 0 is up and 1 down.
        """
        train, test = self.train, self.test
        before, mine = train.market == code, test.market == code
        times = np.concatenate([train.open_time[before], test.open_time[mine]])
        ahead = np.concatenate([_ahead(train, k, side)[before], _ahead(test, k, side)[mine]])
        said = self._quantiles(k, code, side, times, ahead)
        rows = np.arange(before.sum(), len(times))
        answer = {name: _loss(values[rows], ahead[rows]) for name, values in said.items()}
        if self.correction.active:
            for name, values in said.items():
                factors = self._log_factors(values, ahead, times, rows, test.horizons[k])
                better = np.sort(values[rows] * np.exp(factors), axis=1)
                answer[name + CORRECTED] = _loss(better, ahead[rows])
        return answer

    def _quantiles(self, k: int, code: int, side: int, times: np.ndarray, ahead: np.ndarray) -> dict[str, np.ndarray]:
        """Quantiles of training rows and test rows of one market, in time order."""
        train, test, horizon = self.train, self.test, self.test.horizons[k]
        before, mine = train.market == code, test.market == code
        free = self._fitted.get(k)
        if free is None:
            sides = [_ahead(train, k, one) for one in (0, 1)]
            free = self._fitted[k] = Baselines.fit(horizon, k, train.har, train.sigma, *sides)
        har = np.concatenate([train.har[before], test.har[mine]])
        sigma = np.concatenate([train.sigma[before], test.sigma[mine]])
        weight = np.concatenate([np.full(before.sum(), float(train.stride)), np.full(mine.sum(), float(test.stride))])
        # The trailing rescale also reads the training rows before a test row.
        said = free.predict(k, har, sigma, side, ahead, times, weight, test.grid.interval_ms)
        said["walk"] = walk_quantiles(sigma, horizon, side)
        said["climatology"] = Climatology.fit(train.open_time[before], _ahead(train, k, side)[before]).predict(times)
        units = np.quantile(_ahead(train, k, side) / self._ridge[0][:, k], LEVELS)
        said["ridge"] = np.concatenate([self._ridge[0][before, k], self._ridge[1][mine, k]])[:, None] * units
        return said

    def _log_factors(
        self, said: np.ndarray, ahead: np.ndarray, times: np.ndarray, rows: np.ndarray, horizon: int
    ) -> np.ndarray:
        """Logs of the factors of one baseline's quantiles at some rows, by what it missed before each of them."""
        number = times // self.test.grid.interval_ms
        counted = np.flatnonzero((number % self.correction.stride == 0) & np.isfinite(said).all(axis=1))
        factors = self.correction.log_factors(
            said[counted, None, None], ahead[counted, None, None], number[counted], number[rows], (horizon,)
        )
        return factors[:, 0, 0]


def _ahead(rows: Dataset, k: int, side: int) -> np.ndarray:
    """Distance that came, as a fraction of the close."""
    return np.asarray(np.expm1(rows.up[:, k]) if side == 0 else -np.expm1(-rows.down[:, k]))


def _loss(said: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    return np.asarray(metrics.pinball(said, ahead) * metrics.BPS)
