"""Out-of-sample scores of the meta-label and of acting on the side of the primary model."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from indicators.labels import Direction
from modelregistry.dataset.label_overlap import row_uniqueness
from modelregistry.dataset.outcomes import BARRIER, bracket_levels, direction_spans, window_outcomes
from modelregistry.dataset.rows import Dataset
from modelregistry.estimators.bracket_calibration import SIDES
from modelregistry.estimators.signal_classifier import SignalClassifier, sigmoid
from modelregistry.evaluation.metrics import scores as metrics
from modelregistry.evaluation.metrics.strategies import ENOUGH_DAYS, FEES, SLIPPAGE
from modelregistry.evaluation.reports.report import Collected
from modelregistry.evaluation.significance.paired import block_error, compare, count_days

COLUMNS = ("forecast", "share", "constant", "touched", "right", "approved", "uniqueness", "expected", "gross", "when")
"""Per row: probability that acting on the side pays; share of touches on that side without shrinkage; half the touch
probability; whether any side paid, and this one; whether the meta-label exceeds the accuracy of the primary model;
label uniqueness; expected and realised return before costs; open time."""
SELECTIONS = ("every side", "approved sides", "expected to pay")
"""Rows acted on: all; those approved by the meta-label; those with an expected net return above 0."""


def collect_meta_labels(found: Collected, classifier: SignalClassifier, test: Dataset, costs: float) -> None:
    """Add meta-label probabilities and realised returns of test rows."""
    rows = test.take(np.flatnonzero(test.has_features))
    labels, candles = direction_spans(rows, classifier.horizon, costs)
    known = np.flatnonzero(labels != Direction.UNKNOWN)
    if not len(known):
        return
    rows, labels, candles = rows.take(known), labels[known], candles[known]
    side, touch = classifier.side(rows.features), classifier.touch_probability(rows.features)
    log_odds = classifier.meta_log_odds(rows.features, side)
    share = sigmoid(classifier.meta_trust * log_odds)
    # A primary model below one half does not lower the threshold below even odds.
    record = min(max(classifier.hyperparameters.get("out_of_fold_accuracy", 0.5), 0.5), 0.99)
    gross = np.full(len(rows), np.nan)
    for sign, name in zip((1, -1), SIDES, strict=True):
        selected = np.flatnonzero(side == sign)
        part = rows.take(selected)
        levels = bracket_levels(part, classifier.horizon, name, (BARRIER, BARRIER))
        gross[selected] = window_outcomes(part, classifier.horizon, name, *levels)[1]
    width = BARRIER * rows.sigma * np.sqrt(classifier.horizon)
    columns = (
        touch * share,
        sigmoid(log_odds),
        0.5 * touch,
        labels != Direction.HOLD,
        labels == np.where(side > 0, Direction.BUY, Direction.SELL),
        log_odds > np.log(record / (1 - record)),
        row_uniqueness(rows, candles),
        touch * (2 * share - 1) * width,
        gross,
        rows.open_time,
    )
    for code, symbol in enumerate(rows.symbols):
        selected = rows.market == code
        if selected.any():
            found.add((symbol, classifier.horizon), *(column[selected] for column in columns))


def meta_label_report(found: Collected, stride: int) -> dict[str, Any]:
    """Scores of the primary model, the meta-label and acting, in percent and basis points.

    Returns
    -------
    dict
        `cells`, by market and horizon: accuracy of the primary model among touches and its gain over one half with
        block error; Brier score and log loss of the meta-label beside a constant, their improvement in percent with
        block error; and the improvement of its share of touches, without shrinkage, over one half on touched rows
        (`share_`), which measures skill of the side alone. `acting`: precision, recall and lift of approved sides,
        unweighted and weighted by uniqueness. `fees`: net return of acting at three fees per side.
    """
    cells, acting, collected = [], [], []
    for (symbol, horizon), kept in sorted(found.cells().items()):
        order = np.argsort(kept[-1], kind="stable")
        column = {name: values[order] for name, values in zip(COLUMNS, kept, strict=True)}
        named = {"symbol": symbol, "horizon": horizon}
        cells.append({**named, **_cell(column, horizon, stride)})
        for name, weights in (("none", np.ones(len(order))), ("uniqueness", column["uniqueness"])):
            acting.append({**named, "name": name, **precision(column["approved"], column["right"], weights)})
        collected.append(column)
    return {"cells": cells, "acting": acting, "fees": _fees(collected)} if cells else {"cells": []}


def _cell(column: Mapping[str, np.ndarray], horizon: int, stride: int) -> dict[str, Any]:
    touched, right, when = column["touched"], column["right"], column["when"]
    hits = right[touched].astype(float)
    scores: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
        "brier": lambda forecast, outcome: (forecast - outcome) ** 2,
        "log_loss": lambda forecast, outcome: -np.log(np.clip(np.where(outcome, forecast, 1 - forecast), 1e-9, 1)),
    }
    share = column["share"][touched]
    result: dict[str, Any] = {
        "rows": len(right),
        "pays": 100 * float(right.mean()),
        "accuracy": 100 * float(hits.mean()) if len(hits) else None,
        "gain_over_coin": 100 * (float(hits.mean()) - 0.5) if len(hits) else None,
        "accuracy_error": 100 * block_error(hits, when[touched]) if len(hits) else None,
    }
    for name, score in scores.items():
        own, constant = (score(column[which], right) for which in ("forecast", "constant"))
        result[name], result[f"{name}_constant"] = float(own.mean()), float(constant.mean())
        pairs = {"": (own, constant, when)}
        if len(share):
            even = score(np.full(len(share), 0.5), right[touched])
            pairs["share_"] = (score(share, right[touched]), even, when[touched])
        for prefix, (loss, reference, times) in pairs.items():
            versus = compare(loss, reference, times, horizon, stride)
            result[f"{prefix}{name}_saved"] = 100 * versus.mean / float(reference.mean())
            result[f"{prefix}{name}_saved_error"] = 100 * versus.error / float(reference.mean())
    return result


def precision(approved: np.ndarray, right: np.ndarray, weights: np.ndarray) -> dict[str, float | None]:
    """Precision and recall of approved sides in percent, and the lift over all sides.

    Examples
    --------
    >>> approved, right = np.array([True, True, False, False]), np.array([True, False, False, False])
    >>> precision(approved, right, np.ones(4))
    {'approved': 50.0, 'pays': 25.0, 'precision': 50.0, 'recall': 100.0, 'lift': 2.0}
    """
    total, chosen, paid = (float(weights[mask].sum()) for mask in (np.ones(len(right), bool), approved, right))
    both = float(weights[approved & right].sum())
    return {
        "approved": 100 * chosen / total,
        "pays": 100 * paid / total,
        "precision": 100 * both / chosen if chosen else None,
        "recall": 100 * both / paid if paid else None,
        "lift": (both / chosen) / (paid / total) if chosen and paid else None,
    }


def _fees(collected: list[dict[str, np.ndarray]]) -> list[dict[str, Any]]:
    """Mean net return of acting on the selected rows of all markets, with block errors."""
    expected, gross, approved, when = (
        np.concatenate([column[name] for column in collected]) for name in ("expected", "gross", "approved", "when")
    )
    order = np.argsort(when, kind="stable")
    expected, gross, approved, when = expected[order], gross[order], approved[order], when[order]
    rows = []
    for fee in FEES:
        costs = 2 * fee + SLIPPAGE
        for name, chosen in zip(SELECTIONS, (np.ones(len(gross), bool), approved, expected > costs), strict=True):
            selected = chosen & np.isfinite(gross)
            days = count_days(when[selected])
            row: dict[str, Any] = {"name": name, "fee_percent": 100 * fee, "acts": int(selected.sum()), "days": days}
            if selected.any():
                net = gross[selected] - costs
                row["expected_bps"] = float(expected[selected].mean() - costs) * metrics.BPS
                row["realised_bps"] = float(net.mean()) * metrics.BPS
                row["error_bps"] = block_error(net, when[selected]) * metrics.BPS
            rows.append({**row, "enough_days": days >= ENOUGH_DAYS})
    return rows
