"""Scores of one group of rows: what a volatility tercile tells of quantiles and of probabilities."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from modelregistry.estimators.forecast import LEVELS, MEDIAN
from modelregistry.evaluation import metrics
from modelregistry.evaluation.periods import TERCILES
from modelregistry.evaluation.reliability import brier_parts


def _of_level(place: int) -> dict[str, Callable[[np.ndarray, np.ndarray], float]]:
    """Loss and one-sided exceedance of one quantile."""
    name = f"{round(100 * LEVELS[place]):02d}"
    return {
        f"pinball_{name}": lambda said, ahead: float(metrics.pinball_by_level(said, ahead)[place]) * metrics.BPS,
        f"below_{name}": lambda said, ahead: 100 * metrics.coverage(said, ahead)[f"below_{LEVELS[place]:.2f}"],
    }


PER_GROUP: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "median_error": lambda said, ahead: float(np.abs(ahead - said[:, MEDIAN]).mean()) * metrics.BPS,
    "bias": lambda said, ahead: float((said[:, MEDIAN] - ahead).mean()) * metrics.BPS,
    "interval_score_80": lambda said, ahead: metrics.interval_score(said, ahead) * metrics.BPS,
    "interval_score_90": lambda said, ahead: metrics.interval_score(said, ahead, 0.9) * metrics.BPS,
    **{name: score for place in range(len(LEVELS)) for name, score in _of_level(place).items()},
}
"""What terciles tell beyond what periods do: of quantiles and outcomes as fractions of the close."""


def probability_terciles(
    chances: np.ndarray, happened: np.ndarray, answered: np.ndarray, which: np.ndarray
) -> dict[str, list[Any]]:
    """Scores of three-way probabilities in calm, middle and wild markets."""
    table: dict[str, list[Any]] = {}
    for code, name in enumerate(TERCILES):
        mine = answered & (which == code)
        if not mine.any():
            continue
        parts = asdict(brier_parts(chances[mine], happened[mine]))
        intercept, slope = metrics.calibration_line(chances[mine, 0], happened[mine, 0])
        row = {
            "tercile": name,
            "rows": int(mine.sum()),
            **{"brier" if key == "score" else key: value for key, value in parts.items()},
            "log_loss": metrics.log_loss(chances[mine], happened[mine]),
            "calibration_intercept": intercept,
            "calibration_slope": slope,
        }
        for key, value in row.items():
            table.setdefault(key, []).append(value)
    return table
