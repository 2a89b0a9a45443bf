"""Does acting on the primary's side pay? The meta-label on rows it never saw, beside half the chance of a touch."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from indicators.labels import Direction
from modelregistry.estimators.signal_classifier import SignalClassifier, sigmoid
from modelregistry.evaluation import metrics
from modelregistry.evaluation.paired import DAY_MS, block_error, compare
from modelregistry.evaluation.report import SIDES, Collected
from modelregistry.evaluation.strategies import ENOUGH_DAYS, FEES, SLIPPAGE
from modelregistry.training.dataset import Dataset
from modelregistry.training.outcomes import BARRIER, bracket_levels, direction_spans, window_outcomes
from modelregistry.training.uniqueness import row_uniqueness

COLUMNS = ("said", "share", "constant", "touched", "right", "approved", "own", "expected", "gross", "when")
"""Of every row: the chance that acting on its side pays, as served; the share of touches on that side, wholly trusted;
half the chance of a touch; whether acting on any side paid, and on this one; whether the meta-label puts more on the
side than the primary's own record; the label's uniqueness; the expected return before costs, and the one that came; the
open time."""
SELECTIONS = ("every side", "approved sides", "expected to pay")
"""Acting on every side; on those the meta-label approves; on those whose expected net return is above 0."""


def collect_meta_labels(found: Collected, classifier: SignalClassifier, test: Dataset, costs: float) -> None:
    """Add what the meta-label says of the primary's sides, and what acting on them came to."""
    rows = test.take(np.flatnonzero(test.answerable))
    labels, candles = direction_spans(rows, classifier.horizon, costs)
    known = np.flatnonzero(labels != Direction.UNKNOWN)
    if not len(known):
        return
    rows, labels, candles = rows.take(known), labels[known], candles[known]
    side, touch = classifier.side(rows.features), classifier.touch_probability(rows.features)
    log_odds = classifier.meta_log_odds(rows.features, side)
    share = sigmoid(classifier.meta_trust * log_odds)
    # A primary that is worse than a coin gives no side away for less than even odds.
    record = min(max(classifier.hyperparameters.get("out_of_fold_accuracy", 0.5), 0.5), 0.99)
    gross = np.full(len(rows), np.nan)
    for sign, name in zip((1, -1), SIDES, strict=True):
        mine = np.flatnonzero(side == sign)
        part = rows.take(mine)
        levels = bracket_levels(part, classifier.horizon, name, (BARRIER, BARRIER))
        gross[mine] = window_outcomes(part, classifier.horizon, name, *levels)[1]
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
        mine = rows.market == code
        if mine.any():
            found.add((symbol, classifier.horizon), *(column[mine] for column in columns))


def meta_label_report(found: Collected, stride: int) -> dict[str, Any]:
    """Scores of the primary, of the meta-label and of acting, cell by cell; percent and basis points.

    Returns
    -------
    dict
        `cells`: the primary's accuracy among touches and its gain over a coin with block error; the meta-label's Brier
        score and log loss beside the constant's, what is saved in percent with block error; and what its share of the
        touches, wholly trusted, saves over one half on the rows that were touched (`share_`): only that is knowledge of
        the side, the rest may come from a chance of a touch that is off. `acting`: precision, recall and lift of the
        sides the meta-label approves, rows counted alike and by their uniqueness. `fees`: net return of acting at three
        fees a side.
    """
    cells, acting, offers = [], [], []
    for (symbol, horizon), kept in sorted(found.cells().items()):
        order = np.argsort(kept[-1], kind="stable")
        column = {name: values[order] for name, values in zip(COLUMNS, kept, strict=True)}
        named = {"symbol": symbol, "horizon": horizon}
        cells.append({**named, **_cell(column, horizon, stride)})
        for name, weights in (("none", np.ones(len(order))), ("uniqueness", column["own"])):
            acting.append({**named, "name": name, **precision(column["approved"], column["right"], weights)})
        offers.append(column)
    return {"cells": cells, "acting": acting, "fees": _fees(offers)} if cells else {"cells": []}


def _cell(column: Mapping[str, np.ndarray], horizon: int, stride: int) -> dict[str, Any]:
    touched, right, when = column["touched"], column["right"], column["when"]
    hits = right[touched].astype(float)
    scores: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
        "brier": lambda chances, came: (chances - came) ** 2,
        "log_loss": lambda chances, came: -np.log(np.clip(np.where(came, chances, 1 - chances), 1e-9, 1)),
    }
    share = column["share"][touched]
    answer: dict[str, Any] = {
        "rows": len(right),
        "pays": 100 * float(right.mean()),
        "accuracy": 100 * float(hits.mean()) if len(hits) else None,
        "gain_over_coin": 100 * (float(hits.mean()) - 0.5) if len(hits) else None,
        "accuracy_error": 100 * block_error(hits, when[touched]) if len(hits) else None,
    }
    for name, score in scores.items():
        said, constant = (score(column[which], right) for which in ("said", "constant"))
        answer[name], answer[f"{name}_constant"] = float(said.mean()), float(constant.mean())
        pairs = {"": (said, constant, when)}
        if len(share):
            even = score(np.full(len(share), 0.5), right[touched])
            pairs["share_"] = (score(share, right[touched]), even, when[touched])
        for prefix, (own, floor, times) in pairs.items():
            versus = compare(own, floor, times, horizon, stride)
            answer[f"{prefix}{name}_saved"] = 100 * versus.mean / float(floor.mean())
            answer[f"{prefix}{name}_saved_error"] = 100 * versus.error / float(floor.mean())
    return answer


def precision(approved: np.ndarray, right: np.ndarray, weights: np.ndarray) -> dict[str, float | None]:
    """How often approved sides pay, in percent, how much of what pays is approved, and the lift over all sides.

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


def _fees(offers: list[dict[str, np.ndarray]]) -> list[dict[str, Any]]:
    """Mean net return of acting on every chosen row of all markets; rows overlap, so the error is of blocks."""
    expected, gross, approved, when = (
        np.concatenate([column[name] for column in offers]) for name in ("expected", "gross", "approved", "when")
    )
    order = np.argsort(when, kind="stable")
    expected, gross, approved, when = expected[order], gross[order], approved[order], when[order]
    rows = []
    for fee in FEES:
        costs = 2 * fee + SLIPPAGE
        for name, chosen in zip(SELECTIONS, (np.ones(len(gross), bool), approved, expected > costs), strict=True):
            mine = chosen & np.isfinite(gross)
            days = len(np.unique(when[mine] // DAY_MS))
            row: dict[str, Any] = {"name": name, "fee_percent": 100 * fee, "acts": int(mine.sum()), "days": days}
            if mine.any():
                net = gross[mine] - costs
                row["expected_bps"] = float(expected[mine].mean() - costs) * metrics.BPS
                row["realised_bps"] = float(net.mean()) * metrics.BPS
                row["error_bps"] = block_error(net, when[mine]) * metrics.BPS
            rows.append({**row, "enough_days": days >= ENOUGH_DAYS})
    return rows
