"""Estimators of other packages (`EXTRA_ESTIMATORS`): what they must offer, and their place in our kinds.

They forecast in units of the current volatility, so that one of them fits every market. Everything else is the
engine's: prices, online correction, bracket calibration, the guard, reports and the gate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from modelregistry.estimators import parameters
from modelregistry.estimators.forecast import LEVELS
from modelregistry.estimators.scale import current_level


@dataclass(frozen=True, eq=False)
class FitRows:
    """Rows an estimator is fitted on, markets interleaved, oldest first.

    Parameters
    ----------
    features : float32 ndarray of shape (n_rows, n_features)
        NaN where a feature of another package is unknown.
    feature_names : tuple of str
    targets : ndarray
        By kind. `range_predictor`: ``log(H / C)`` and ``log(C / L)`` over ``sigma * sqrt(h)``, shape
        (n_rows, n_horizons, 2). `tpsl_classifier`: ``log(log(H / L) / (sigma * sqrt(h)))``, shape (n_rows, n_horizons).
        `signal_classifier`: 0 buy, 1 sell, 2 hold, shape (n_rows,).
    horizons : tuple of int
        Candles, ascending; of `signal_classifier` one.
    open_time : int64 ndarray of shape (n_rows,)
        Opens of the candles, ms.
    market : int ndarray of shape (n_rows,)
        Positions in `symbols`.
    symbols : tuple of str
    seed, threads : int
        To be used, so that the same rows give the same bytes.
    """

    features: npt.NDArray[np.float32]
    feature_names: tuple[str, ...]
    targets: np.ndarray
    horizons: tuple[int, ...]
    open_time: npt.NDArray[np.int64]
    market: np.ndarray
    symbols: tuple[str, ...]
    seed: int
    threads: int


class ExtraEstimator(Protocol):
    """A class of another package that `EXTRA_ESTIMATORS` names."""

    name: ClassVar[str]
    """Under which trainings and versions name it."""
    kind: ClassVar[str]

    @classmethod
    def fit(cls, rows: FitRows) -> Self:
        """Fit on rows; the same rows give the same files."""
        ...

    def predict(self, features: npt.NDArray[np.float32]) -> np.ndarray:
        """Forecast rows, each by itself: a row alone gives the bits it has in a batch.

        Of `range_predictor`: quantiles for the levels 5, 10, 25, 50, 75, 90 and 95 %, shape (n, n_horizons, 2, 7). Of
        `tpsl_classifier`: the target, shape (n, n_horizons). Of `signal_classifier`: probabilities, shape (n, 3).
        """
        ...

    def to_files(self) -> dict[str, bytes]:
        """Serialise to JSON files, by names such as ``model.json``."""
        ...

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """Rebuild from the files."""
        ...


EstimatorClass = type[ExtraEstimator]

_installed: dict[str, EstimatorClass] = {}


def find_estimators(dotted: Sequence[str], kinds: Sequence[str]) -> dict[str, EstimatorClass]:
    """Classes with these dotted names, by the names they give themselves.

    Raises
    ------
    ValueError
        If one cannot be imported, lacks a part of the protocol or has the name of another one.
    """
    found: dict[str, EstimatorClass] = {}
    for path in dotted:
        module, _, attribute = path.rpartition(".")
        try:
            one: EstimatorClass = getattr(import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(f"{path} cannot be imported: {error}") from error
        parts = ("name", "kind", "fit", "predict", "to_files", "from_files")
        if lacking := [part for part in parts if not hasattr(one, part)]:
            raise ValueError(f"{path} lacks {', '.join(lacking)}")
        if one.kind not in kinds:
            raise ValueError(f"{path} is of kind {one.kind!r}; there are {', '.join(kinds)}")
        if one.name in found:
            raise ValueError(f"{path} is called {one.name!r} like another estimator")
        found[one.name] = one
    return found


def install(estimators: Mapping[str, EstimatorClass]) -> None:
    """Make estimators known to this process; called once, at start."""
    _installed.clear()
    _installed.update(estimators)


def installed() -> Mapping[str, EstimatorClass]:
    """Estimators of other packages that this process knows, by name."""
    return _installed


def dotted_names() -> list[str]:
    """Module and name of every estimator that this process knows."""
    return [f"{one.__module__}.{one.__qualname__}" for one in _installed.values()]


def rebuild(name: str, files: Mapping[str, bytes]) -> ExtraEstimator:
    """Rebuild an estimator from the files of an artifact.

    Raises
    ------
    ValueError
        If none of that name is installed.
    """
    if name not in _installed:
        raise ValueError(f"its estimator {name!r} is not installed; add its class to EXTRA_ESTIMATORS")
    return _installed[name].from_files({file: content for file, content in files.items() if file != parameters.FILE})


def checked(estimator: ExtraEstimator, features: np.ndarray, *shape: int) -> npt.NDArray[np.float64]:
    """Forecasts of rows, of the shape its kind has.

    Raises
    ------
    ValueError
        If they have another shape or are not finite.
    """
    found = np.asarray(estimator.predict(features), dtype=np.float64)
    if found.shape != (len(features), *shape):
        raise ValueError(f"{estimator.name} forecasts shape {found.shape}, expected {(len(features), *shape)}")
    if not np.isfinite(found).all():
        raise ValueError(f"{estimator.name} forecasts numbers that are not finite")
    return found


@dataclass(frozen=True)
class ExtraScale:
    """Log range by an estimator of another package, or by the current volatility alone.

    Parameters
    ----------
    horizons : tuple of int
    n_features : int
    estimator : ExtraEstimator, optional
        One that forecasts the log of range over volatility.
    """

    horizons: tuple[int, ...]
    n_features: int
    estimator: ExtraEstimator | None = None

    def log_scale(self, features: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        """``log(log(H / L))`` per horizon, shape (n_rows, n_horizons)."""
        level = current_level(self.horizons, sigma)
        return level if self.estimator is None else level + checked(self.estimator, features, len(self.horizons))

    def to_files(self) -> dict[str, bytes]:
        """Files of the estimator."""
        return {} if self.estimator is None else own_files(self.estimator)

    def as_parameters(self) -> dict[str, str]:
        """Name of the estimator."""
        return {} if self.estimator is None else {"estimator": self.estimator.name}


@dataclass(frozen=True)
class ExtraQuantiles:
    """Quantiles of highs and lows by an estimator of another package."""

    horizons: tuple[int, ...]
    estimator: ExtraEstimator

    def distances(self, log_scale: np.ndarray, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Quantiles of ``log(H / C)`` and ``log(C / L)``, each of shape (n_rows, n_horizons, 7)."""
        units = checked(self.estimator, features, len(self.horizons), 2, len(LEVELS))
        scale = np.exp(np.ascontiguousarray(log_scale))[:, :, None]
        return units[:, :, 0] * scale, units[:, :, 1] * scale

    def to_files(self) -> dict[str, bytes]:
        """Files of the estimator."""
        return own_files(self.estimator)

    def as_parameters(self) -> dict[str, str]:
        """Name of the estimator."""
        return {"estimator": self.estimator.name}


@dataclass(frozen=True)
class ExtraOdds:
    """Log odds of one question by an estimator of class probabilities.

    Parameters
    ----------
    estimator : ExtraEstimator
    question : {"touch", "primary", "meta"}
        Any side pays; buying pays rather than selling; the side in the last column pays rather than the other.
    """

    estimator: ExtraEstimator
    question: str

    def log_odds(self, features: np.ndarray) -> np.ndarray:
        """Log odds of every row, shape (n_rows,)."""
        rows = features[:, :-1] if self.question == "meta" else features
        buy, sell, hold = np.log(np.clip(checked(self.estimator, np.ascontiguousarray(rows), 3), 1e-9, 1.0)).T
        if self.question == "touch":
            return np.asarray(np.logaddexp(buy, sell) - hold)
        return np.asarray((buy - sell) * (features[:, -1] if self.question == "meta" else 1.0))


def own_files(estimator: ExtraEstimator) -> dict[str, bytes]:
    """Files of an estimator, beside which the engine writes its own parameters."""
    files = estimator.to_files()
    if parameters.FILE in files:
        raise ValueError(f"{estimator.name} may not call a file {parameters.FILE}, which is the engine's own")
    return files
