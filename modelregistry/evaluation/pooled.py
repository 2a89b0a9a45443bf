"""The skill of one horizon over all its cells, and how sure it is: a mean over cells, never of pooled rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modelregistry.evaluation.paired import compare


@dataclass(frozen=True, eq=False)
class CellLosses:
    """Losses of one cell: those of the forecast as scored, those of the best free baseline, and when."""

    own: np.ndarray
    floor: np.ndarray
    open_time: np.ndarray


def pooled_skill(cells: Sequence[CellLosses], horizon: int, stride: int) -> dict[str, float]:
    """Mean over cells of the share of the best free baseline's loss that is saved, in percent.

    Cells share their candles, so their gains are averaged instant by instant before anything is said of an error: the
    larger one of day blocks, week blocks and Newey-West.

    Parameters
    ----------
    cells : sequence of CellLosses
        Of one horizon.
    horizon, stride : int
        Candles.

    Returns
    -------
    dict
        `skill`, its `skill_error`, the lower bound `skill_lower` of the central 95 % interval, `p_value` of "not above
        zero" and `effective_n`.

    Examples
    --------
    >>> when, floor = np.arange(3000) * 300_000, np.ones(3000)
    >>> found = pooled_skill([CellLosses(0.9 * floor, floor, when), CellLosses(0.7 * floor, floor, when)], 6, 1)
    >>> round(found["skill"], 6), round(found["skill_lower"], 6)
    (20.0, 20.0)
    """
    times = np.unique(np.concatenate([cell.open_time for cell in cells]))
    series = np.zeros(len(times))
    for cell in cells:
        # Each cell weighs the same, whatever its number of rows.
        weight = 100.0 * len(times) / (len(cells) * len(cell.own) * cell.floor.mean())
        np.add.at(series, np.searchsorted(times, cell.open_time), weight * (cell.floor - cell.own))
    found = compare(np.zeros(len(times)), series, times, horizon, stride)
    return {
        "skill": found.mean,
        "skill_error": found.error,
        "skill_lower": found.lower,
        "p_value": found.p_value,
        "effective_n": found.effective_n,
    }
