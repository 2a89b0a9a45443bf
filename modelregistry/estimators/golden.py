"""Golden rows: inputs and outputs of an estimator, stored with it and reproduced at load.

They are part of the manifest. A copy that loads but gives other outputs - another library version, features in another
order, an edited tree - is rejected before it serves.
"""

from typing import Any

import numpy as np

from modelregistry.estimators.inputs import ModelInputs
from modelregistry.estimators.kinds import Estimator

TOLERANCE = 1e-6
"""Largest relative difference allowed; the same library version gives none."""


def golden_rows(estimator: Estimator, inputs: ModelInputs) -> dict[str, Any]:
    """Inputs and outputs of an estimator, ready for JSON.

    Parameters
    ----------
    estimator : Estimator
        The fitted estimator, as it will be stored.
    inputs : ModelInputs
        Rows to store; about 16 spread over the training range are enough. NaN is stored as null.
    """
    kept = {
        "features": [[None if np.isnan(x) else float(x) for x in row] for row in inputs.features],
        "close": [float(x) for x in inputs.close],
        "sigma": [float(x) for x in inputs.sigma],
    }
    found = estimator.outputs(inputs)
    return {"inputs": kept, "answers": {name: values.tolist() for name, values in found.items()}}


def difference(estimator: Estimator, golden: dict[str, Any]) -> float:
    """Largest relative difference between stored outputs and those of `estimator`.

    Raises
    ------
    ValueError
        If the golden rows are malformed or the outputs have another shape.

    Examples
    --------
    >>> class Uniform:
    ...     def outputs(self, inputs):
    ...         return {"probabilities": np.full((len(inputs), 3), 1 / 3)}
    >>> inputs = ModelInputs(np.zeros((2, 4), dtype=np.float32), np.ones(2), np.ones(2))
    >>> kept = golden_rows(Uniform(), inputs)
    >>> difference(Uniform(), kept)
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
    found = estimator.outputs(inputs)
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
