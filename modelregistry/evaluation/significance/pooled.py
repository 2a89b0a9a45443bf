"""Mean skill of one horizon over its cells, with its error."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modelregistry.evaluation.significance.paired import compare


@dataclass(frozen=True, eq=False)
class CellLosses:
    """Losses of one cell: of the forecast and of the best baseline, by open time."""

    own: np.ndarray
    baseline: np.ndarray
    open_time: np.ndarray


def pooled_skill(cells: Sequence[CellLosses], horizon: int, stride: int) -> dict[str, float]:
    """Mean over cells of the skill against the best baseline, in percent.

    Cells share candles, so their gains are averaged at each time before the error is estimated: the largest of day
    blocks, week blocks and Newey-West.

    Returns
    -------
    dict
        `skill`, its `skill_error`, the lower bound `skill_lower` of the central 95 % interval, `p_value` of a skill not
        above zero, and `effective_n`.

    Examples
    --------
    >>> when, baseline = np.arange(3000) * 300_000, np.ones(3000)
    >>> cells = [CellLosses(share * baseline, baseline, when) for share in (0.9, 0.7)]
    >>> found = pooled_skill(cells, 6, 1)
    >>> round(found["skill"], 6), round(found["skill_lower"], 6)
    (20.0, 20.0)
    """
    times = np.unique(np.concatenate([cell.open_time for cell in cells]))
    series = np.zeros(len(times))
    for cell in cells:
        # Every cell has the same weight, whatever its number of rows.
        weight = 100.0 * len(times) / (len(cells) * len(cell.own) * cell.baseline.mean())
        np.add.at(series, np.searchsorted(times, cell.open_time), weight * (cell.baseline - cell.own))
    found = compare(np.zeros(len(times)), series, times, horizon, stride)
    return {
        "skill": found.mean,
        "skill_error": found.error,
        "skill_lower": found.lower,
        "p_value": found.p_value,
        "effective_n": found.effective_n,
    }
