"""Promotion gate: significant gain over baselines and champion, and calibration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from indicators.candles import DAY_MS, INTERVAL_MS
from modelregistry.evaluation.reports.champion_comparison import ENOUGH_DAYS
from modelregistry.evaluation.significance.paired import Z_95

Report = Mapping[str, Any]
"""A report of walk-forward tests, or the champion comparison of one."""
COVERAGE_POINTS = 2.0
"""Tolerance of the mean coverage of the 80 and 90 % bands, in points, in addition to two standard errors."""
SLOPE = (0.8, 1.25)
"""Allowed mean calibration slope of the take-profit probability."""
CALIBRATION_ERROR = 0.05
"""Allowed mean calibration error of P(buy) and P(sell) of a refresh, in addition to two errors of a share."""
MIN_TEST_DAYS = 30
"""Minimum days of walk-forward tests."""


@dataclass(frozen=True)
class Verdict:
    """Decision of the gate, with reasons for a refusal."""

    accepted: bool
    reasons: list[str]


def range_verdict(report: Report, versus_champion: Report | None = None) -> Verdict:
    """Verdict on a range predictor by its walk-forward scores.

    Examples
    --------
    >>> cell = dict(symbol="X", horizon=6, target="high", pinball=1.0, baselines={"ewm": 1.1}, skill=2.0,
    ...             skill_error=0.5, coverage_80=80.0, coverage_90=90.0, coverage_80_error=0.5)
    >>> range_verdict({"test_days": 90, "cells": [cell]})
    Verdict(accepted=True, reasons=[])
    >>> range_verdict({"test_days": 90, "cells": [{**cell, "skill": 0.5}]}).reasons
    ['horizon 6: 0.50 % better than the best reference baseline, not significantly above 0 (error 0.50)']
    """
    reasons = too_short(report)
    cells: Sequence[Report] = report["cells"]
    for cell in cells:
        name = f"{cell['symbol']} horizon {cell['horizon']} {cell['target']}"
        if not np.isfinite(cell["pinball"]) or cell["pinball"] >= cell["baselines"]["ewm"]:
            reasons.append(f"{name}: no better than EWM volatility")
    for horizon in sorted({cell["horizon"] for cell in cells}):
        own = [cell for cell in cells if cell["horizon"] == horizon]
        skill, error = (float(np.mean([cell[key] for cell in own])) for key in ("skill", "skill_error"))
        # Scores of one horizon share their candles and are correlated: the error of their mean is the mean error.
        if not skill - Z_95 * error > 0:
            reasons.append(
                f"horizon {horizon}: {skill:.2f} % better than the best reference baseline, "
                f"not significantly above 0 (error {error:.2f})"
            )
    return _with_champion([*reasons, *range_calibration(report)], versus_champion)


def range_calibration(report: Report) -> list[str]:
    """Reasons why the bands of a range predictor are not calibrated: their mean coverage at each horizon."""
    reasons = []
    for horizon in sorted({cell["horizon"] for cell in report["cells"]}):
        own = [cell for cell in report["cells"] if cell["horizon"] == horizon]
        slack = COVERAGE_POINTS + 2 * float(np.mean([cell["coverage_80_error"] for cell in own]))
        for share in (80, 90):
            found = float(np.mean([cell[f"coverage_{share}"] for cell in own]))
            if not abs(found - share) <= slack:
                reasons.append(f"horizon {horizon}: {share} % bands cover {found:.1f} % of outcomes")
    return reasons


def bracket_verdict(report: Report, versus_champion: Report | None = None) -> Verdict:
    """Verdict on a TP/SL classifier: better than base rates and random walk, and calibrated."""
    reasons = too_short(report)
    # Scores share their candles and are correlated: the error of their mean is the mean error.
    skill, error = (float(np.mean([cell[key] for cell in report["cells"]])) for key in ("skill", "skill_error"))
    if not skill - Z_95 * error > 0:
        reasons.append(
            f"Brier score {skill:.2f} % better than the base rates, not significantly above 0 (error {error:.2f})"
        )
    reasons += [
        f"{cell['symbol']} horizon {cell['horizon']} {cell['side']} {cell['bracket']}: "
        f"no better than a random walk ({cell['skill_over_first_passage']:.2f} %)"
        for cell in report["cells"]
        if not cell["skill_over_first_passage"] > 0
    ]
    return _with_champion([*reasons, *bracket_calibration(report)], versus_champion)


def bracket_calibration(report: Report) -> list[str]:
    """Reasons why a TP/SL classifier is not calibrated: the mean slope of the take-profit probability."""
    slope = float(np.mean([cell["calibration_slope"] for cell in report["cells"]]))
    if SLOPE[0] <= slope <= SLOPE[1]:
        return []
    return [f"calibration slope {slope:.2f} is outside {SLOPE[0]} to {SLOPE[1]}"]


def direction_verdict(report: Report, versus_champion: Report | None = None) -> Verdict:
    """Verdict on a signal classifier: a constant is calibrated but no reason to promote."""
    skill, error = (float(np.mean([cell[key] for cell in report["cells"]])) for key in ("skill", "skill_error"))
    reasons = too_short(report)
    if not skill - Z_95 * error > 0:
        reasons.append(
            f"Brier score {skill:.2f} % better than the base rate, not significantly above 0 (error {error:.2f})"
        )
    return _with_champion(reasons, versus_champion)


def direction_calibration(report: Report) -> list[str]:
    """Reasons why a signal classifier is not calibrated: the mean errors of P(buy) and P(sell).

    The share of an outcome differs from one test period to another by chance, all the more where few do not overlap.

    Examples
    --------
    >>> errors = {"calibration_error_buy": 0.02, "calibration_error_sell": 0.2}
    >>> cell = {"horizon": 72, "shares": {"buy": 0.3, "sell": 0.3}, **errors}
    >>> direction_calibration({"test_days": 90, "cells": [cell]})
    ['P(sell) differs from the observed share by 20.0 points in the mean']
    """
    reasons, cells = [], report["cells"]
    for side in ("buy", "sell"):
        error = float(np.mean([cell[f"calibration_error_{side}"] for cell in cells]))
        share = float(np.mean([cell["shares"][side] for cell in cells]))
        outcomes = report["test_days"] * DAY_MS / INTERVAL_MS / cells[0]["horizon"]
        if not error <= CALIBRATION_ERROR + 2 * np.sqrt(share * (1 - share) / outcomes):
            reasons.append(f"P({side}) differs from the observed share by {100 * error:.1f} points in the mean")
    return reasons


def too_short(report: Report) -> list[str]:
    """Reason for a refusal if the walk-forward tests span too few days."""
    days = report["test_days"]
    return [f"tested on {days} days, fewer than the required {MIN_TEST_DAYS}"] if days < MIN_TEST_DAYS else []


def _with_champion(reasons: list[str], versus: Report | None) -> Verdict:
    if versus is not None:
        if versus["evidence"] == "none":
            reasons.append(
                f"not enough candles since the champion: {versus['later_days']} of {ENOUGH_DAYS} days, "
                f"and {versus['days']} days both were tested on"
            )
        elif not versus["lower"] > 0:
            where = {"later candles": "days since its training", "shared tests": "days both were tested on"}
            reasons.append(
                f"not significantly better than the champion on {versus['days']} {where[versus['evidence']]} "
                f"({versus['gain']:.2f} %, error {versus['error']:.2f})"
            )
    return Verdict(not reasons, reasons)
