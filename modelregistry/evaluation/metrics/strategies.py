"""Returns of bracket strategies with and without a model.

Each market has one position at a time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from indicators.candles import INTERVAL_MS
from modelregistry.evaluation.metrics.scores import BPS
from modelregistry.evaluation.significance.paired import block_error, count_days

FEES = (0.001, 0.00075, 0.0002)
"""Fee rates per side of the results."""
SLIPPAGE = 1e-4
"""Of a round trip, in addition to the fees."""
NAMES = ("rules", "always_long", "momentum", "random")
"""The bracket with the best expected return whose lower bound is above 0; and the best bracket of a side that is always
long, follows the last return over the horizon, or is random."""
Z = 1.645
"""Normal quantile of one-sided 95 % lower bounds."""
ENOUGH_DAYS = 30
SIDES_SEED = 1
"""Of the strategy with a random side."""


@dataclass(frozen=True, eq=False)
class Offers:
    """All brackets available at some times of one market.

    Parameters
    ----------
    open_time : ndarray of shape (n_times,)
        Milliseconds, ascending.
    horizon : ndarray of shape (n_offers,)
        Candles; a position blocks new ones that long, even where it ends earlier.
    sign : ndarray of shape (n_offers,)
        1 for a buy, -1 for a sell.
    expected, error_margin, gross, trend : ndarray of shape (n_times, n_offers)
        Expected return before costs and its error at :data:`Z`, the realised return, and the sign of the last return
        over the horizon. NaN where there is no outcome.
    """

    open_time: np.ndarray
    horizon: np.ndarray
    sign: np.ndarray
    expected: np.ndarray
    error_margin: np.ndarray
    gross: np.ndarray
    trend: np.ndarray


def strategy_table(cells: Mapping[tuple[Any, ...], Mapping[str, np.ndarray]]) -> list[dict[str, Any]]:
    """Mean result of every strategy at every fee, in basis points of the price.

    Parameters
    ----------
    cells : mapping of (symbol, horizon, side, bracket) to columns
        `expected`, `error_margin`, `gross`, `trend` and `when`.
    """
    offers = [offers_of(cells, symbol) for symbol in sorted({key[0] for key in cells})]
    found = []
    for fee in FEES:
        costs = 2 * fee + SLIPPAGE
        for name in NAMES:
            trades = [trade for one in offers for trade in strategy_trades(one, name, costs)]
            found.append({"strategy": name, "fee_percent": 100 * fee, **trade_summary(trades)})
    return found


def offers_of(cells: Mapping[tuple[Any, ...], Mapping[str, np.ndarray]], symbol: str) -> Offers:
    """Align the brackets of one market in time."""
    selected = {key: columns for key, columns in cells.items() if key[0] == symbol}
    times = np.unique(np.concatenate([columns["when"] for columns in selected.values()]))
    wide = {
        name: np.full((len(times), len(selected)), np.nan) for name in ("expected", "error_margin", "gross", "trend")
    }
    for place, columns in enumerate(selected.values()):
        rows = np.searchsorted(times, columns["when"])
        for name, values in wide.items():
            values[rows, place] = columns[name]
    return Offers(
        times,
        np.array([key[1] for key in selected]),
        np.array([1.0 if key[2] == "buy" else -1.0 for key in selected]),
        **wide,
    )


def strategy_trades(offers: Offers, name: str, costs: float) -> Iterator[tuple[int, float, float]]:
    """Trades of a strategy without overlap: open time, expected net return, net return.

    Examples
    --------
    >>> one, times = np.ones((4, 1)), np.arange(4) * 300_000
    >>> offers = Offers(times, np.array([2]), np.array([1.0]), 0.02 * one, 0.001 * one, -0.01 * one, one)
    >>> [(int(at), round(expected, 3), round(net, 3)) for at, expected, net in strategy_trades(offers, "rules", 0.002)]
    [(0, 0.018, -0.012), (600000, 0.018, -0.012)]
    """
    eligible = _eligible(offers, name) & np.isfinite(offers.gross)
    ranked = np.where(eligible, offers.expected, -np.inf)
    best = ranked.argmax(axis=1)
    rows = np.arange(len(best))
    enter = np.isfinite(ranked[rows, best])
    if name == "rules":
        with np.errstate(invalid="ignore"):
            enter &= offers.expected[rows, best] - offers.error_margin[rows, best] - costs > 0
    free_ms = -np.inf
    for row in np.flatnonzero(enter):
        at, pick = offers.open_time[row], best[row]
        if at >= free_ms:
            free_ms = at + offers.horizon[pick] * INTERVAL_MS
            yield int(at), float(offers.expected[row, pick] - costs), float(offers.gross[row, pick] - costs)


def _eligible(offers: Offers, name: str) -> np.ndarray:
    if name == "always_long":
        return np.broadcast_to(offers.sign > 0, offers.gross.shape)
    if name == "momentum":
        return offers.trend * offers.sign > 0
    if name == "random":
        side = np.random.default_rng(SIDES_SEED).choice([-1.0, 1.0], size=(len(offers.open_time), 1))
        return side * offers.sign > 0
    return np.ones(offers.gross.shape, dtype=bool)


def trade_summary(trades: Sequence[tuple[int, float, float]]) -> dict[str, Any]:
    """Summary of trades: number, days, expected and realised net return in basis points, error.

    `inside` is whether the expected mean lies within two errors of the realised one; None on too few days.
    """
    if not trades:
        return {"trades": 0, "days": 0}
    when, expected, net = (np.array(column) for column in zip(*sorted(trades), strict=True))
    days = count_days(when)
    error = block_error(net, when)
    return {
        "trades": len(net),
        "days": days,
        "expected_bps": float(expected.mean()) * BPS,
        "realised_bps": float(net.mean()) * BPS,
        "error_bps": error * BPS,
        "inside": bool(abs(expected.mean() - net.mean()) <= 1.96 * error) if days >= ENOUGH_DAYS else None,
    }
