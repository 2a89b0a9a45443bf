"""Central prediction bands: coverage, width and interval score."""

import numpy as np

from modelregistry.estimators.forecast import BANDS
from modelregistry.evaluation.metrics.scores import BPS, interval_scores


def band_table(quantiles: np.ndarray, actual: np.ndarray) -> dict[str, list[float]]:
    """Coverage, width and interval score of every central band, in columns.

    Parameters
    ----------
    quantiles : ndarray of shape (n_rows, 7)
        Ascending, as fractions of the close.
    actual : ndarray of shape (n_rows,)

    Returns
    -------
    dict
        `share`, `inside`, `under` and `over` in percent; mean `width` and interval `score` in basis points of the
        close. `under` counts outcomes below the band, `over` those above it.

    Examples
    --------
    >>> found = band_table(np.tile(np.arange(7.0), (4, 1)), np.array([-1.0, 0.5, 3.0, 9.0]))
    >>> found["share"], found["inside"], found["under"], found["over"]
    ([50.0, 80.0, 90.0], [25.0, 25.0, 50.0], [50.0, 50.0, 25.0], [25.0, 25.0, 25.0])
    """
    columns: dict[str, list[float]] = {name: [] for name in ("share", "inside", "under", "over", "width", "score")}
    for share, low, high in BANDS:
        lower, upper = quantiles[:, low], quantiles[:, high]
        under, over = float((actual < lower).mean()), float((actual > upper).mean())
        columns["share"].append(100 * share)
        columns["inside"].append(100 * (1.0 - under - over))
        columns["under"].append(100 * under)
        columns["over"].append(100 * over)
        columns["width"].append(float((upper - lower).mean()) * BPS)
        columns["score"].append(float(interval_scores(lower, upper, actual, share).mean()) * BPS)
    return columns
