"""Proof by mutation that a computation looks back only.

Every candle after t is corrupted, and nothing at t may change. Two corruptions are tried at every instant: the single
next candle, and everything after t. The seeded leaks at the end of the file are wrong on purpose; a check that does not
catch each of them proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from indicators.arrays import Floats
from indicators.candles import CANDLE_COLUMNS, CandleGrid

Compute = Callable[[CandleGrid, int], np.ndarray]
"""(grid, rows) to an array of shape (m, rows, columns) for the newest rows."""


@dataclass(frozen=True)
class Leak:
    """A column whose value at an instant changed when a later candle did."""

    column: str
    open_time: int
    market: int
    mutation: str


@dataclass(frozen=True)
class LeakReport:
    """Result of a leakage check."""

    instants: int
    mutations: int
    columns: tuple[str, ...]
    leaks: tuple[Leak, ...]

    @property
    def clean(self) -> bool:
        """Whether no value changed."""
        return not self.leaks

    @property
    def leaking_columns(self) -> tuple[str, ...]:
        """Names of the columns that changed, in column order."""
        found = {leak.column for leak in self.leaks}
        return tuple(name for name in self.columns if name in found)


def corrupted(grid: CandleGrid, first: int, stop: int, generator: np.random.Generator) -> CandleGrid:
    """Replace the candles at positions `first` to `stop`, other markets' too, by valid but very different ones."""
    columns = {name: getattr(grid, name).copy() for name in CANDLE_COLUMNS}
    shape = (grid.n_markets, stop - first)
    price = 1.0 + np.nanmax(grid.close) * np.exp(generator.normal(0.0, 2.0, size=shape))
    body = np.exp(generator.normal(0.0, 0.3, size=shape))
    columns["open"][:, first:stop] = price
    columns["close"][:, first:stop] = price * body
    columns["high"][:, first:stop] = price * np.maximum(body, 1.0) * 1.5
    columns["low"][:, first:stop] = price * np.minimum(body, 1.0) * 0.5
    columns["volume"][:, first:stop] = np.exp(generator.normal(5.0, 3.0, size=shape))
    further = {name: values.copy() for name, values in grid.further.items()}
    for values in further.values():
        values[:, first:stop] = np.exp(generator.normal(5.0, 3.0, size=shape))
    others = {symbol: corrupted(other, first, stop, generator) for symbol, other in grid.others.items()}
    return CandleGrid(
        grid.open_time, interval_ms=grid.interval_ms, others=others, late=grid.late, further=further, **columns
    )


def check_leakage(
    compute: Compute,
    columns: Sequence[str],
    grid: CandleGrid,
    instants: Sequence[int],
    *,
    warmup: int,
    ahead: int = 80,
    generator: np.random.Generator | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> LeakReport:
    """Corrupt the future of every instant and compare the bits of its row.

    Parameters
    ----------
    compute : callable
        ``compute(grid, rows)`` gives the newest `rows` rows, shape (m, rows, columns).
    columns : sequence of str
        Names of the last axis.
    grid : CandleGrid
        Real candles, so that realistic values are compared.
    instants : sequence of int
        Positions in the grid to test, each with `warmup` - 1 candles before and `ahead` after.
    warmup : int
        Candles a row needs, itself included.
    ahead : int, default 80
        Candles after the instant that are mutated; more than the longest horizon.
    generator : numpy Generator, optional
        Source of the corruption; a fixed one by default.
    progress : callable, optional
        Called with (done, total).

    Examples
    --------
    >>> times = np.arange(40, dtype=np.int64) * 300_000
    >>> walk = {name: 100.0 + np.arange(40.0) for name in CANDLE_COLUMNS}
    >>> grid = CandleGrid.from_columns(times, walk)
    >>> for name, compute in seeded_leaks(lambda part, rows: part.close[:, -rows:, None]):
    ...     print(name, check_leakage(compute, ["close"], grid, [20], warmup=4, ahead=10).clean)
    shifted_by_one False
    centred_window False
    global_scaling False
    higher_interval False
    """
    generator = generator or np.random.default_rng(0)
    found: list[Leak] = []
    for done, instant in enumerate(instants, 1):
        if instant < warmup - 1 or instant + ahead >= len(grid):
            raise ValueError(f"instant {instant} lacks {warmup} candles up to it or {ahead} after it")
        part = grid.span(instant - warmup + 1, instant + ahead + 1)
        futures = {
            "next candle": corrupted(part, warmup, warmup + 1, generator),
            "whole future": corrupted(part, warmup, len(part), generator),
        }
        row = len(part) - warmup
        truth = compute(part, row + 1)[:, 0]
        for mutation, future in futures.items():
            changed = ~same_bits(truth, compute(future, row + 1)[:, 0])
            for market, column in np.argwhere(changed):
                found.append(Leak(columns[column], int(grid.open_time[instant]), int(market), mutation))
        if progress:
            progress(done, len(instants))
    return LeakReport(len(instants), 2 * len(instants), tuple(columns), tuple(found))


def same_bits(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Where two float arrays hold the same bits; any NaN equals any NaN.

    Examples
    --------
    >>> same_bits(np.array([1.0, np.nan, 0.0]), np.array([1.0, np.nan, -0.0])).tolist()
    [True, True, False]
    """
    return (np.isnan(left) & np.isnan(right)) | ((left == right) & (np.signbit(left) == np.signbit(right)))


def seeded_leaks(compute: Compute) -> Iterator[tuple[str, Compute]]:
    """Yield (name, computation) for wrong versions of `compute` that a working check must catch."""

    def shifted_by_one(grid: CandleGrid, rows: int) -> np.ndarray:
        values = compute(grid, rows)
        return np.concatenate([values[:, 1:], values[:, -1:]], axis=1)

    def centred_window(grid: CandleGrid, rows: int) -> np.ndarray:
        values = compute(grid, rows)
        padded = np.concatenate([values[:, :1], values, values[:, -1:]], axis=1)
        centred: Floats = (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 3
        return centred

    def global_scaling(grid: CandleGrid, rows: int) -> np.ndarray:
        values = compute(grid, rows)
        largest = np.nanmax(np.abs(values), axis=1, keepdims=True)
        return values / np.where(largest > 0, largest, 1.0)

    def higher_interval(grid: CandleGrid, rows: int) -> np.ndarray:
        """Give each candle the values of the end of its hour."""
        values = compute(grid, rows)
        hours = grid.open_time[-rows:] // 3_600_000
        last_of_hour = np.searchsorted(hours, hours, side="right") - 1
        return values[:, last_of_hour]

    yield "shifted_by_one", shifted_by_one
    yield "centred_window", centred_window
    yield "global_scaling", global_scaling
    yield "higher_interval", higher_interval
