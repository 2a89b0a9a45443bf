"""Canonical JSON of estimator parameters: equal numbers give equal bytes."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt

FILE = "parameters.json"
"""File with every parameter of an estimator that is not a tree."""


def dump(parameters: dict[str, Any]) -> bytes:
    """Serialise with sorted keys, no blanks and shortest exact floats; arrays become lists.

    Raises
    ------
    ValueError
        If a number is not finite.

    Examples
    --------
    >>> dump({"b": np.array([0.5, 1.0]), "a": 1})
    b'{"a":1,"b":[0.5,1.0]}'
    """
    return json.dumps(parameters, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain).encode()


def load(files: dict[str, bytes], kind: str) -> dict[str, Any]:
    """Read the parameters of an estimator of `kind`.

    Raises
    ------
    ValueError
        If the file is missing, not an object, or of another kind.
    """
    if FILE not in files:
        raise ValueError(f"{FILE} is missing")
    parameters = json.loads(files[FILE])
    if not isinstance(parameters, dict) or parameters.get("kind") != kind:
        raise ValueError(f"{FILE} does not describe a {kind}")
    return parameters


def array(values: npt.ArrayLike, *shape: int) -> np.ndarray:
    """Convert to a float array of a known shape, all values finite.

    Raises
    ------
    ValueError
        If the shape differs or a number is not finite.
    """
    found = np.asarray(values, dtype=np.float64)
    if found.shape != shape or not np.isfinite(found).all():
        raise ValueError(f"expected finite numbers of shape {shape}, found shape {found.shape}")
    return found


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be kept as a parameter")
