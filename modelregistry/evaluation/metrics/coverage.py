"""Coverage of prediction bands against their tolerance, overall and by month."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelregistry.evaluation.significance.paired import block_error, count_days

BANDS = ((80, 1, 5), (90, 0, 6))
"""Nominal coverage in percent, and indices of the lower and upper level."""
POINTS = 1.0
ERRORS = 2.0
"""Tolerance: the larger of this many points and block standard errors; for a month the errors only."""
MONTH_DAYS = 14
"""Months with fewer days are not counted."""


def coverage_check(quantiles: np.ndarray, actual: np.ndarray, open_time: np.ndarray) -> dict[str, Any]:
    """Coverage errors of one cell in percent, and the number of months within tolerance.

    Parameters
    ----------
    quantiles : ndarray of shape (n_rows, 7)
        Ascending; valid rows only.
    actual, open_time : ndarray of shape (n_rows,)

    Returns
    -------
    dict
        By band (80, 90): `coverage_80_error`, `coverage_80_within`, `months_80_within`; and the `months` there are.

    Examples
    --------
    >>> when = np.arange(4000) * 3_600_000
    >>> found = coverage_check(np.tile(np.arange(7.0), (4000, 1)), np.linspace(1.0, 5.0, 4000) % 6, when)
    >>> found["coverage_80_within"], found["months"], found["months_80_within"]
    (False, 6, 0)
    """
    calendar = open_time.astype("datetime64[ms]").astype("datetime64[M]")
    months = [
        in_month
        for in_month in (calendar == month for month in np.unique(calendar))
        if count_days(open_time[in_month]) >= MONTH_DAYS
    ]
    result: dict[str, Any] = {"months": len(months)}
    for share, low, high in BANDS:
        inside = 100.0 * ((actual >= quantiles[:, low]) & (actual <= quantiles[:, high]))
        error = block_error(inside, open_time) if len(inside) else float("nan")
        result[f"coverage_{share}_error"] = error
        result[f"coverage_{share}_within"] = bool(
            len(inside) and abs(inside.mean() - share) <= max(POINTS, ERRORS * error)
        )
        result[f"months_{share}_within"] = sum(
            bool(abs(inside[in_month].mean() - share) <= ERRORS * block_error(inside[in_month], open_time[in_month]))
            for in_month in months
        )
    return result


def coverage_summary(cells: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Number of cells, and share of months of all cells, within tolerance.

    Examples
    --------
    >>> one = {"months": 4, "coverage_80_within": True, "months_80_within": 3}
    >>> both = one | {"coverage_90_within": False, "months_90_within": 4}
    >>> [(row["cells_within"], row["months_within_percent"]) for row in coverage_summary([both])]
    [(1, 75.0), (0, 100.0)]
    """
    months = sum(cell["months"] for cell in cells)
    rows = []
    for share, _, _ in BANDS:
        within = sum(cell[f"months_{share}_within"] for cell in cells)
        rows.append(
            {
                "band": share,
                "cells": len(cells),
                "cells_within": sum(cell[f"coverage_{share}_within"] for cell in cells),
                "cell_months": months,
                "months_within": within,
                "months_within_percent": 100 * within / months if months else None,
            }
        )
    return rows
