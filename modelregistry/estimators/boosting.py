"""The only module that imports XGBoost: fit, predict, serialise.

Threads and seeds are always explicit.
"""

import os
from collections.abc import Callable, Mapping

import numpy as np

# Read once, when XGBoost loads OpenMP. Busy-waiting threads were measured to make a fit thirty times slower on cores
# shared with other work; passive waiting costs nothing on idle cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import xgboost as xgb

Booster = xgb.Booster
Matrix = xgb.DMatrix
MAX_BIN = 64
"""Histogram bins: 1.7 times faster than 256 at the same loss on candles."""


def binned(features: np.ndarray, target: np.ndarray, *, threads: int, weight: np.ndarray | None = None) -> Matrix:
    """Bin training rows once; several fits can share the result through `relabel`."""
    return xgb.QuantileDMatrix(features, label=target, weight=weight, max_bin=MAX_BIN, nthread=threads)


def unbinned(features: np.ndarray, target: np.ndarray, *, threads: int) -> Matrix:
    """Validation rows for early stopping, not binned."""
    return xgb.DMatrix(features, label=target, nthread=threads)


def relabel(matrix: Matrix, target: np.ndarray) -> Matrix:
    """Set another target on a binned matrix."""
    matrix.set_label(target)
    return matrix


def reweigh(matrix: Matrix, weights: np.ndarray) -> Matrix:
    """Set row weights on a binned matrix."""
    matrix.set_weight(weights)
    return matrix


def fit(
    matrix: Matrix,
    parameters: Mapping[str, object],
    rounds: int,
    *,
    seed: int,
    threads: int,
    watch: Matrix | None = None,
    patience: int = 0,
    on_round: Callable[[], None] | None = None,
) -> Booster:
    """Fit a booster, optionally with early stopping.

    With `watch` and `patience` only the rounds up to the best one are kept.

    Parameters
    ----------
    matrix : QuantileDMatrix
        Binned training rows with their target.
    parameters : Mapping
        Booster parameters; `seed`, `nthread`, `tree_method` and `max_bin` are set here.
    rounds : int
        Maximum number of boosting rounds.
    seed, threads : int
        Fixed, so that the same rows give the same trees.
    watch : DMatrix, optional
        Purged later rows for early stopping.
    patience : int
        Rounds without improvement on `watch` before stopping.
    on_round : callable, optional
        Called after every round; an exception raised in it ends the fit.
    """
    settings = {
        "tree_method": "hist",
        "max_bin": MAX_BIN,
        "verbosity": 0,
        **parameters,
        "seed": seed,
        "nthread": threads,
    }
    callbacks = [_RoundCallback(on_round)] if on_round else []
    booster = xgb.train(
        settings,
        matrix,
        num_boost_round=rounds,
        evals=[(watch, "watch")] if watch is not None else [],
        early_stopping_rounds=patience if watch is not None and patience else None,
        callbacks=callbacks,
        verbose_eval=False,
    )
    if watch is not None and patience:
        booster = booster[: booster.best_iteration + 1]
    return to_serving(booster)


class _RoundCallback(xgb.callback.TrainingCallback):
    def __init__(self, on_round: Callable[[], None]) -> None:
        super().__init__()
        self._on_round = on_round

    def after_iteration(self, model: Booster, epoch: int, evals_log: object) -> bool:  # noqa: ARG002
        self._on_round()
        return False


def to_serving(booster: Booster) -> Booster:
    """Copy a booster for serving: one thread, no training state."""
    served = xgb.Booster(model_file=bytearray(to_bytes(booster)))
    served.set_param({"nthread": 1})
    return served


def margin(booster: Booster, features: np.ndarray) -> np.ndarray:
    """Raw output per row: float64 of shape (n_rows,) or (n_rows, n_outputs).

    One row gives the same bits as a batch.
    """
    rows = np.ascontiguousarray(features, dtype=np.float32)
    return np.asarray(booster.inplace_predict(rows, predict_type="margin"), dtype=np.float64)


def contributions(booster: Booster, features: np.ndarray) -> np.ndarray:
    """Shapley values of each row, float64 of shape (n_rows, n_features + 1); the last column is the mean output.

    They add up to `margin`, apart from rounding.
    """
    rows = xgb.DMatrix(np.ascontiguousarray(features, dtype=np.float32), nthread=1)
    return np.asarray(booster.predict(rows, pred_contribs=True), dtype=np.float64)


def rounds_of(booster: Booster) -> int:
    """Number of boosting rounds in a booster."""
    return int(booster.num_boosted_rounds())


def to_bytes(booster: Booster) -> bytes:
    """Serialise to Universal Binary JSON; the same trees give the same bytes."""
    return bytes(booster.save_raw(raw_format="ubj"))


def from_bytes(raw: bytes) -> Booster:
    """Load a booster for serving.

    Raises
    ------
    ValueError
        If the bytes are not a booster.
    """
    try:
        booster = xgb.Booster(model_file=bytearray(raw))
    except xgb.core.XGBoostError as error:
        raise ValueError(f"not an XGBoost model: {str(error).splitlines()[0]}") from error
    booster.set_param({"nthread": 1})
    return booster


def from_file(files: Mapping[str, bytes], name: str, n_features: int) -> Booster:
    """Load a booster of `n_features` features from a file of an artifact.

    Raises
    ------
    ValueError
        If the file is missing, not a booster, or of another number of features; one without splits names none.
    """
    if name not in files:
        raise ValueError(f"{name} is missing")
    booster = from_bytes(files[name])
    if booster.num_features() not in {0, n_features}:
        raise ValueError(f"{name} has {booster.num_features()} features, expected {n_features}")
    return booster


def library_versions() -> dict[str, str]:
    """Library versions that determine the bits of a fit."""
    return {"xgboost": xgb.__version__, "numpy": np.__version__}
