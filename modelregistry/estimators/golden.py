"""Golden rows: inputs and outputs of an estimator, stored with it and reproduced at load.

They are part of the manifest. A copy that loads but gives other outputs - another library version, features in another
order, an edited tree - is rejected before it serves.
"""

from typing import Any

import numpy as np

TOLERANCE = 1e-6
"""Largest relative difference allowed; the same library version gives none."""


def golden_rows(
    kind: str, estimator: Any, features: np.ndarray, close: np.ndarray, sigma: np.ndarray
) -> dict[str, Any]:
    """Inputs and outputs of an estimator, ready for JSON.

    Parameters
    ----------
    kind : str
        Kind of the estimator.
    estimator : object
        The fitted estimator, as it will be stored.
    features : ndarray of shape (n, n_features), float32
        Rows to store; about 16 spread over the training range are enough. NaN is stored as null.
    close, sigma : ndarray of shape (n,)
        Close and volatility per candle of these rows.
    """
    features = np.asarray(features, dtype=np.float32)
    inputs = {
        "features": [[None if np.isnan(x) else float(x) for x in row] for row in features],
        "close": [float(x) for x in close],
        "sigma": [float(x) for x in sigma],
    }
    found = outputs_of(
        kind, estimator, features, np.asarray(close, dtype=np.float64), np.asarray(sigma, dtype=np.float64)
    )
    return {"inputs": inputs, "answers": {name: values.tolist() for name, values in found.items()}}


def outputs_of(
    kind: str, estimator: Any, features: np.ndarray, close: np.ndarray, sigma: np.ndarray
) -> dict[str, np.ndarray]:
    """Outputs of an estimator of `kind` that are compared, by name."""
    if kind == "range_predictor":
        forecast = estimator.predict(features, close, sigma)
        return {"high": forecast.high, "low": forecast.low}
    if kind == "signal_classifier":
        return {"probabilities": estimator.predict(features)}
    if kind != "tpsl_classifier":
        raise ValueError(f"no golden rows are known for {kind}")
    found = {}
    for horizon in estimator.horizons:
        reach = close * sigma * np.sqrt(horizon)
        for side, sign in (("buy", 1.0), ("sell", -1.0)):
            bracket = (close + sign * reach, close - sign * reach)
            found[f"{side}_{horizon}"] = estimator.probabilities(features, close, sigma, horizon, side, *bracket)
    return found


def difference(kind: str, estimator: Any, golden: dict[str, Any]) -> float:
    """Largest relative difference between stored outputs and those of `estimator`.

    Raises
    ------
    ValueError
        If the golden rows are malformed or the outputs have another shape.

    Examples
    --------
    >>> class Uniform:
    ...     def predict(self, features):
    ...         return np.full((len(features), 3), 1 / 3)
    >>> kept = golden_rows("signal_classifier", Uniform(), np.zeros((2, 4)), np.ones(2), np.ones(2))
    >>> difference("signal_classifier", Uniform(), kept)
    0.0
    """
    try:
        inputs, expected = golden["inputs"], golden["answers"]
        features = np.array(inputs["features"], dtype=np.float32)
        close, sigma = (np.array(inputs[name], dtype=np.float64) for name in ("close", "sigma"))
    except (KeyError, TypeError) as error:
        raise ValueError(f"the golden rows are malformed: {error!r}") from error
    if features.ndim != 2 or not len(features) or not len(features) == len(close) == len(sigma):
        raise ValueError("the golden rows are malformed: inputs of unequal length, or none")
    found = outputs_of(kind, estimator, features, close, sigma)
    if set(found) != set(expected):
        raise ValueError(f"it has the outputs {sorted(found)}, the golden rows {sorted(expected)}")
    worst = 0.0
    for name, now in found.items():
        then = np.array(expected[name], dtype=np.float64)
        if then.shape != now.shape or not np.isfinite(now).all():
            raise ValueError(f"{name} has another shape than its golden rows, or is not finite")
        size = np.abs(then).max(axis=-1, keepdims=True)  # a price, or the largest class probability: never near 0
        worst = max(worst, float((np.abs(now - then) / size).max(initial=0.0)))
    return worst
