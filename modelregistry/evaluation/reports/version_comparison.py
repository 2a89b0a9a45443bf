"""Paired comparison of two versions of one kind: gain by market and horizon, with its error."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelregistry.dataset.rows import Dataset
from modelregistry.evaluation.reports.champion_comparison import LossesAt
from modelregistry.evaluation.reports.tables import Table
from modelregistry.evaluation.significance.paired import count_days
from modelregistry.evaluation.significance.pooled import CellLosses, pooled_skill

Cells = Mapping[tuple[str, int], CellLosses]
"""Losses of the first version (`own`) and the second (`baseline`) by market and horizon."""


def paired_losses(
    first_at: LossesAt, second_at: LossesAt, rows: Dataset, horizons: Sequence[int]
) -> dict[tuple[str, int], CellLosses]:
    """Losses of both versions on the rows that both answer, by market and horizon."""
    found = {}
    for horizon in horizons:
        first, second = first_at(horizon), second_at(horizon)
        known = np.isfinite(first) & np.isfinite(second)
        for code, symbol in enumerate(rows.symbols):
            chosen = known & (rows.market == code)
            if chosen.any():
                found[symbol, horizon] = CellLosses(first[chosen], second[chosen], rows.open_time[chosen])
    return dict(sorted(found.items()))


def comparison_report(cells: Cells, stride: int) -> dict[str, Any]:
    """Gain of the first version over the second: overall, by horizon, and by market and horizon.

    Returns
    -------
    dict
        `gain` (a share of the second's loss; positive if the first loses less), its block `error`, the central 95 %
        interval `lower` to `upper`, the two-sided Diebold-Mariano `p_value`, the number of independent observations
        `effective_n`, `rows` and `days`; the same in `horizons` and `cells`, those with both mean losses.

    Examples
    --------
    >>> cell = CellLosses(np.full(900, 0.75), np.ones(900), np.arange(900) * 300_000)
    >>> found = comparison_report({("BTCUSDT", 6): cell}, stride=1)
    >>> found["gain"], found["p_value"], found["cells"][0]["first_loss"]
    (0.25, 0.0, 0.75)
    """
    horizons = sorted({horizon for _, horizon in cells})
    return {
        **_gain(list(cells.values()), max(horizons), stride),
        "horizons": [
            {"horizon": horizon, **_gain([one for (_, h), one in cells.items() if h == horizon], horizon, stride)}
            for horizon in horizons
        ],
        "cells": [
            {
                "symbol": symbol,
                "horizon": horizon,
                "first_loss": float(one.own.mean()),
                "second_loss": float(one.baseline.mean()),
                **_gain([one], horizon, stride),
            }
            for (symbol, horizon), one in cells.items()
        ],
    }


def _gain(cells: Sequence[CellLosses], horizon: int, stride: int) -> dict[str, Any]:
    found = pooled_skill(cells, horizon, stride)
    gain, error, lower = (found[name] / 100 for name in ("skill", "skill_error", "skill_lower"))
    one_sided = found["p_value"]
    return {
        "gain": gain,
        "error": error,
        "lower": lower,
        "upper": 2 * gain - lower,
        "p_value": 2 * min(one_sided, 1 - one_sided) if gain else 1.0,
        "effective_n": found["effective_n"],
        "rows": sum(len(one.own) for one in cells),
        "days": count_days(np.concatenate([one.open_time for one in cells])),
    }


def comparison_sentence(found: Mapping[str, Any]) -> str:
    """Sentence about which of `first` and `second` is better, by how much and how surely."""
    first, second = found["first"], found["second"]
    if found["lower"] > 0:
        verdict = f"{first} is surely better than {second}"
    elif found["upper"] < 0:
        verdict = f"{first} is surely worse than {second}"
    else:
        verdict = f"There is no sure difference between {first} and {second}"
    return (
        f"{verdict}: the first loses {abs(found['gain']):.2%} {'less' if found['gain'] >= 0 else 'more'} "
        f"(95 % interval of the gain {found['lower']:+.2%} to {found['upper']:+.2%}, Diebold-Mariano "
        f"p = {found['p_value']:.3f}; {found['rows']:,} forecasts of {found['days']} days)."
    )


def comparison_table(found: Mapping[str, Any]) -> Table:
    """Table of every market and horizon, then all markets by horizon."""
    headers = ["market", "horizon", "rows", "independent", "first loss", "second loss", "gain", "from", "to", "p"]
    means = [{"symbol": "all", **row} for row in found["horizons"]]
    rows = [
        [
            row["symbol"],
            str(row["horizon"]),
            f"{row['rows']:,}",
            f"{row['effective_n']:,.0f}",
            *(f"{row[name]:.6g}" if name in row else "–" for name in ("first_loss", "second_loss")),
            *(f"{row[name]:+.2%}" for name in ("gain", "lower", "upper")),
            f"{row['p_value']:.3f}",
        ]
        for row in [*found["cells"], *means]
    ]
    return Table("", headers, rows)
