"""Golden rows: inputs and outputs of an estimator, stored with it and reproduced at load.

They are part of the manifest. A copy that loads but gives other outputs - another library version, features in another
order, an edited tree - is rejected before it serves.
"""

from typing import Any

import numpy as np

from modelregistry.estimators.inputs import ModelInputs

TOLERANCE = 1e-6
"""Largest relative difference allowed; the same library version gives none."""


def golden_rows(kind: str, estimator: Any, inputs: ModelInputs) -> dict[str, Any]:
    """Inputs and outputs of an estimator, ready for JSON.

    Parameters
    ----------
    kind : str
        Kind of the estimator.
    estimator : object
        The fitted estimator, as it will be stored.
    inputs : ModelInputs
        Rows to store; about 16 spread over the training range are enough. NaN is stored as null.
    """
    kept = {
        "features": [[None if np.isnan(x) else float(x) for x in row] for row in inputs.features],
        "close": [float(x) for x in inputs.close],
        "sigma": [float(x) for x in inputs.sigma],
    }
    found = outputs_of(kind, estimator, inputs)
    return {"inputs": kept, "answers": {name: values.tolist() for name, values in found.items()}}


def outputs_of(kind: str, estimator: Any, inputs: ModelInputs) -> dict[str, np.ndarray]:
    """Outputs of an estimator of `kind` that are compared, by name."""
    if kind == "range_predictor":
        forecast = estimator.predict(inputs)
        return {"high": forecast.high, "low": forecast.low}
    if kind == "signal_classifier":
        return {"probabilities": estimator.predict(inputs.features)}
    if kind != "tpsl_classifier":
        raise ValueError(f"no golden rows are known for {kind}")
    found, view = {}, estimator.view(inputs)
    for horizon in estimator.horizons:
        reach = inputs.close * inputs.sigma * np.sqrt(horizon)
        for side, sign in (("buy", 1.0), ("sell", -1.0)):
            bracket = (inputs.close + sign * reach, inputs.close - sign * reach)
            found[f"{side}_{horizon}"] = view.probabilities(horizon, side, *bracket)
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
    >>> inputs = ModelInputs(np.zeros((2, 4), dtype=np.float32), np.ones(2), np.ones(2))
    >>> kept = golden_rows("signal_classifier", Uniform(), inputs)
    >>> difference("signal_classifier", Uniform(), kept)
    0.0
    """
    try:
        kept, expected = golden["inputs"], golden["answers"]
        close, sigma = (np.array(kept[name], dtype=np.float64) for name in ("close", "sigma"))
        inputs = ModelInputs(np.array(kept["features"], dtype=np.float32), close, sigma)
    except (KeyError, TypeError) as error:
        raise ValueError(f"the golden rows are malformed: {error!r}") from error
    if inputs.features.ndim != 2 or not len(inputs) or not len(inputs.features) == len(close) == len(sigma):
        raise ValueError("the golden rows are malformed: inputs of unequal length, or none")
    found = outputs_of(kind, estimator, inputs)
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
