"""Sums and extremes of the past held in memory: a new candle adds one value to each.

The batch sums a window by doubling: level k at candle t is level k-1 at t plus level k-1 at t - 2^(k-1). Each level
is a series of its own, so the newest value of each takes two operands of which one is held. Nothing is recursive:
every value is a fixed tree of additions of the last 2^k candles, the tree of the batch, and so are its bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import numpy as np

from indicators.arrays import Flags, Floats
from indicators.candles import CANDLE_COLUMNS, CandleGrid
from indicators.features import families
from indicators.features.program import Program, needed, place, read_from
from indicators.features.recording import BEFORE, INPUT, RecordedWindow, Value
from indicators.features.window import WARMUP, elementwise
from indicators.kernels import decayed_weight
from indicators.volatility import PARKINSON, SIGMA_FLOOR, sigma_memory

FILLED_AT_ONCE = 4
"""Markets whose past is summed at once when the memory is filled."""


@elementwise
def variance_of(high: Floats, low: Floats, present: Floats) -> Floats:
    """Parkinson's variance as `ewm_sigma` takes it, 0 where there is no candle."""
    there = np.asarray(present) > 0.0
    span = np.log(np.where(there, high, 1.0) / np.where(there, low, 1.0))
    return span * span / PARKINSON


@dataclass(frozen=True)
class Recipe:
    """What is held, what a candle does to it, and what a row is made of."""

    computed: list[Value]
    outlived: dict[int, list[int]]
    held: list[Value]
    depths: list[int]
    ahead: Program
    """What a row takes of the candles before it alone: done before its candle is there."""
    push: Program
    rows: Program
    at: dict[int, int]
    features: list[int]
    sigma: int
    presence: list[tuple[int, float]]


@lru_cache(maxsize=2)
def recipe(complete: bool) -> Recipe:
    """Record the families once and lay their arithmetic out; the calendar is not among it."""
    window = RecordedWindow(complete=complete)
    features: list[Any] = [value for family in families.CANDLE_FAMILIES for _, value in family(cast("Any", window))]
    given = window.recorder.given
    decay, reach = sigma_memory(72)
    variance = variance_of(given("high"), given("low"), window.flag)
    weights = decayed_weight(reach, decay) if complete else window.decayed_total(window.flag, decay, reach)
    weight = np.maximum(weights, np.finfo(np.float64).tiny)
    sigma = np.maximum(np.sqrt(window.decayed_total(variance, decay, reach) / weight), SIGMA_FLOOR)
    presence = window.presence()
    values = window.recorder.values
    depths: dict[int, int] = {}
    for value in values:
        if value.function is BEFORE:
            number = value.operands[0].number
            depths[number] = max(depths.get(number, 0), value.operands[1] + 1)
    held = [value for value in values if value.number in depths]
    wanted = [*features, sigma, *(count for count, _ in presence)]
    past = _of_the_past(needed([*held, *wanted], {}))
    at, (ahead, push, rows) = _programs(past, held, wanted, [])
    # The past is laid out once more, in the order in which it turned out to be read while a candle waits.
    at, (ahead, push, rows) = _programs(past, held, wanted, read_from(past, (push, rows)))
    held.sort(key=lambda value: at[value.number])
    computed = needed(held, {})
    return Recipe(
        computed=computed,
        outlived=_outlived(computed),
        held=held,
        depths=[depths[value.number] for value in held],
        ahead=ahead,
        push=push,
        rows=rows,
        at=at,
        features=[at[value.number] for value in features],
        sigma=at[sigma.number],
        presence=[(at[count.number], least) for count, least in presence],
    )


def _programs(
    past: Sequence[Value], held: Sequence[Value], wanted: Sequence[Value], read_first: Sequence[Value]
) -> tuple[dict[int, int], tuple[Program, Program, Program]]:
    """Where every value is, and what brings up the past, the candle and its row."""
    at: dict[int, int] = {}
    ahead = Program(past, at, 0, read_first)
    push = Program(held, at, ahead.free)
    return at, (ahead, push, Program(wanted, at, push.free))


def _of_the_past(values: Sequence[Value]) -> list[Value]:
    """Values that no input of the same candle is part of."""
    found: dict[int, Value] = {}
    for value in values:
        now = [part for part in value.operands if isinstance(part, Value)]
        if value.function is BEFORE or (now and all(part.number in found for part in now)):
            found[value.number] = value
    return list(found.values())


def _outlived(computed: list[Value]) -> dict[int, list[int]]:
    """After each value, those that none computed later is made of."""
    last: dict[int, int] = {}
    for value in computed:
        last[value.number] = value.number
        last.update((part.number, value.number) for part in value.operands if isinstance(part, Value))
    outlived: dict[int, list[int]] = {value.number: [] for value in computed}
    for number, until in last.items():
        outlived[until].append(number)
    return outlived


class HeldSums:
    """The held series of some markets and the registers of one candle, each row one number per market.

    Parameters
    ----------
    grid : CandleGrid
        At least `WARMUP` candles of m markets; only the newest are read.
    complete : bool
        Whether none of them is missing. If one is nevertheless, its market's rows mean nothing until it is `WARMUP`
        candles back, and everything from then on.
    """

    def __init__(self, grid: CandleGrid, *, complete: bool) -> None:
        self.recipe = recipe(complete)
        markets = grid.n_markets
        depths = np.array(self.recipe.depths, dtype=np.int64)
        self._depths, self._starts = depths, np.concatenate([[0], np.cumsum(depths)[:-1]])
        self._row_of = {value.number: row for row, value in enumerate(self.recipe.held)}
        loads = self.recipe.ahead.loads
        rows = np.array([self._row_of[value.operands[0].number] for value in loads], dtype=np.int64)
        self._loads = self._starts[rows], depths[rows], np.array([value.operands[1] for value in loads], dtype=np.int64)
        self._kept = place([self.recipe.at[value.number] for value in self.recipe.held])
        self._pool = np.zeros((int(depths.sum()), markets))
        programs = (self.recipe.ahead, self.recipe.push, self.recipe.rows)
        scratch = max(program.n_scratch for program in programs)
        self._registers = np.zeros((self.recipe.rows.free + scratch, markets))
        self._ahead, self._push, self._rows = (program.bind(self._registers) for program in programs)
        self._told: tuple[Floats, Floats] | None = None
        self._settled = False
        self._index = int(grid.open_time[-2]) // grid.interval_ms
        grid = grid.tail(WARMUP)
        with np.errstate(all="ignore"):
            for first in range(0, markets, FILLED_AT_ONCE):
                self._fill(grid, slice(first, min(first + FILLED_AT_ONCE, markets)))
            self._look_ahead()
            self.push(np.stack([getattr(grid, name)[:, -1] for name in CANDLE_COLUMNS]), grid.present[:, -1])

    @property
    def n_bytes(self) -> int:
        """Memory of the held series and the registers."""
        return self._pool.nbytes + self._registers.nbytes

    def push(self, columns: Floats, present: Flags) -> None:
        """Take in the next candle of every market: columns of shape (5, m)."""
        if not self._settled:
            self._store()
        self._index += 1
        self._settled, self._told = False, None
        given = dict(zip(CANDLE_COLUMNS, columns, strict=True))
        for value in self.recipe.push.inputs:
            name = value.operands[0]
            self._registers[self.recipe.at[value.number]] = present if name == "present" else given[name]
        self._push()

    def rows(self) -> tuple[Floats, Floats]:
        """Features but the calendar, shape (n, m), and volatilities, shape (m,), of the newest candle."""
        if self._told is None:
            self._rows()
            built = self._registers.take(self.recipe.features, axis=0)
            if self.recipe.presence:
                whole = np.logical_and.reduce([self._registers[row] >= least for row, least in self.recipe.presence])
                built[:, ~whole] = np.nan
            self._told = built, self._registers[self.recipe.sigma].copy()
        return self._told

    def settle(self) -> None:
        """Do what the next candle will need that is known already."""
        if not self._settled:
            self.rows()
            self._store()

    def replace(self, market: int, other: HeldSums) -> None:
        """Put the only market of another memory of the same candle in the place of one market."""
        for held in (self, other):
            held.settle()
        self._pool[:, market], self._registers[:, market] = other._pool[:, 0], other._registers[:, 0]
        for mine, its in zip(self.rows(), other.rows(), strict=True):
            mine[..., market] = its[..., 0]

    def _store(self) -> None:
        """Keep what the newest candle added to each series."""
        self._pool[self._starts + self._index % self._depths] = self._registers[self._kept]
        self._look_ahead()

    def _look_ahead(self) -> None:
        """Fetch the past of the next candle, and do what can be done without it."""
        starts, depths, lags = self._loads
        held = starts + (self._index + 1 - lags) % depths
        self._pool.take(held, axis=0, out=self._registers[self.recipe.ahead.loaded], mode="clip")
        self._ahead()
        self._settled = True

    def _fill(self, grid: CandleGrid, markets: slice) -> None:
        """Write the past of some markets, all candles but the newest: the same functions on whole series."""
        columns = {name: getattr(grid, name)[markets, :-1].T.copy() for name in CANDLE_COLUMNS}
        columns["present"] = grid.present[markets, :-1].T.astype(np.float64)
        series: dict[int, Floats] = {}

        def of(part: object) -> object:
            return series[part.number] if isinstance(part, Value) else part

        for value in self.recipe.computed:
            if value.function is INPUT:
                series[value.number] = columns[value.operands[0]]
            elif value.function is BEFORE:
                source, lag = series[value.operands[0].number], value.operands[1]
                series[value.number] = earlier = np.empty(source.shape)
                earlier[:lag], earlier[lag:] = 0.0, source[:-lag]
            else:
                series[value.number] = value.function(*map(of, value.operands))
            for number in self.recipe.outlived[value.number]:
                self._keep(number, series.pop(number), markets)

    def _keep(self, number: int, series: Floats, markets: slice) -> None:
        """Store the newest values of a series, if it is held."""
        row = self._row_of.get(number)
        if row is None:
            return
        depth = int(self._depths[row])
        positions = self._starts[row] + np.arange(self._index - depth + 1, self._index + 1) % depth
        self._pool[positions, markets] = series[-depth:]
