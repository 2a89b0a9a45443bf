"""Proof that a row computed alone equals the row of a batch, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from indicators.candles import CandleGrid
from indicators.proofs.leakage import Compute, same_bits


@dataclass(frozen=True)
class Mismatch:
    """A value that differs between the row alone and the row in batch."""

    column: str
    open_time: int
    market: int
    live: float
    batch: float


def check_parity(
    compute: Compute,
    columns: Sequence[str],
    grid: CandleGrid,
    instants: Sequence[int],
    *,
    warmup: int,
    batch: Compute | None = None,
) -> list[Mismatch]:
    """Compute each instant alone and compare it bit for bit with a batch.

    Parameters
    ----------
    compute : callable
        ``compute(grid, rows)`` gives the newest `rows` rows, shape (m, rows, columns).
    columns : sequence of str
        Names of the last axis.
    grid : CandleGrid
        Candles of m markets.
    instants : sequence of int
        Positions in the grid, each at least ``warmup - 1``.
    warmup : int
        Candles a row needs, itself included; the row alone gets exactly these.
    batch : callable, optional
        Another implementation of the same values, for the batch; by default `compute`.

    Returns
    -------
    list of Mismatch
        Empty if every bit agrees.
    """
    first = warmup - 1
    rows = (batch or compute)(grid, len(grid) - first)
    found = []
    for instant in instants:
        live = compute(grid.span(instant - first, instant + 1), 1)[:, 0]
        together = rows[:, instant - first]
        for market, column in np.argwhere(~same_bits(live, together)):
            found.append(
                Mismatch(
                    columns[column],
                    int(grid.open_time[instant]),
                    int(market),
                    float(live[market, column]),
                    float(together[market, column]),
                )
            )
    return found
