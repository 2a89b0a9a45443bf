"""Scores of a group of rows, such as a volatility tercile."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from modelregistry.estimators.forecast import LEVELS, MEDIAN
from modelregistry.evaluation.metrics import scores
from modelregistry.evaluation.metrics.periods import TERCILES
from modelregistry.evaluation.metrics.reliability import brier_parts


def _of_level(place: int) -> dict[str, Callable[[np.ndarray, np.ndarray], float]]:
    """Loss and one-sided exceedance of one quantile."""
    name = f"{round(100 * LEVELS[place]):02d}"
    return {
        f"pinball_{name}": lambda quantiles, actual: (
            float(scores.pinball_by_level(quantiles, actual)[place]) * scores.BPS
        ),
        f"below_{name}": lambda quantiles, actual: (
            100 * scores.coverage(quantiles, actual)[f"below_{LEVELS[place]:.2f}"]
        ),
    }


PER_GROUP: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "median_error": lambda quantiles, actual: float(np.abs(actual - quantiles[:, MEDIAN]).mean()) * scores.BPS,
    "bias": lambda quantiles, actual: float((quantiles[:, MEDIAN] - actual).mean()) * scores.BPS,
    "interval_score_80": lambda quantiles, actual: scores.interval_score(quantiles, actual) * scores.BPS,
    "interval_score_90": lambda quantiles, actual: scores.interval_score(quantiles, actual, 0.9) * scores.BPS,
    **{name: score for place in range(len(LEVELS)) for name, score in _of_level(place).items()},
}
"""Additional scores of terciles, from quantiles and outcomes as fractions of the close."""


def probability_terciles(
    probabilities: np.ndarray, happened: np.ndarray, valid: np.ndarray, which: np.ndarray
) -> dict[str, list[Any]]:
    """Scores of three-way probabilities by volatility tercile."""
    table: dict[str, list[Any]] = {}
    for code, name in enumerate(TERCILES):
        selected = valid & (which == code)
        if not selected.any():
            continue
        parts = asdict(brier_parts(probabilities[selected], happened[selected]))
        intercept, slope = scores.calibration_line(probabilities[selected, 0], happened[selected, 0])
        row = {
            "tercile": name,
            "rows": int(selected.sum()),
            **{"brier" if key == "score" else key: value for key, value in parts.items()},
            "log_loss": scores.log_loss(probabilities[selected], happened[selected]),
            "calibration_intercept": intercept,
            "calibration_slope": slope,
        }
        for key, value in row.items():
            table.setdefault(key, []).append(value)
    return table
