"""The arithmetic behind the newest row, written down once by running the feature families on symbols.

A family given a :class:`RecordedWindow` computes nothing: every operation becomes a :class:`Value`, the newest value
of some series, made of other values now and of values some candles ago. What is recorded is exactly what the batch
does for its newest row, operation by operation; only operations that are equal are kept once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from indicators.features.window import (
    AHEAD,
    LONG_WINDOWS,
    MIN_PRESENT,
    SHORT,
    Window,
    finite_or_zero,
    log_price,
    lowest_where_missing,
    volume_or_zero,
)
from indicators.kernels import decayed_weight

INPUT, BEFORE = "input", "before"


class Value(NDArrayOperatorsMixin):
    """The newest value of a series: an input, a value `lag` candles ago, or a function of other values.

    Parameters
    ----------
    recorder : Recorder
        What wrote it down.
    function : callable or str
        An elementwise function of arrays, or `INPUT`, or `BEFORE`.
    operands : tuple
        Values and numbers; the name of an input; a value and a lag.
    """

    __slots__ = ("function", "number", "operands", "recorder")

    def __init__(self, recorder: Recorder, number: int, function: Any, operands: tuple[Any, ...]) -> None:
        self.recorder = recorder
        self.number = number
        self.function = function
        self.operands = operands

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **keywords: Any) -> Any:
        """Write an operation down instead of doing it."""
        if method != "__call__" or keywords:
            return NotImplemented
        return self.recorder.write(ufunc, operands)

    def apply(self, function: Callable[..., Any], operands: tuple[Any, ...]) -> Any:
        """Write the call of an elementwise function down."""
        return self.recorder.write(function, operands)


class Recorder:
    """Values in the order they were first needed, each of them once."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self._known: dict[tuple[Any, ...], Value] = {}

    def write(self, function: Any, operands: tuple[Any, ...]) -> Any:
        """Note a value, or find the equal one noted before."""
        operands = tuple(float(part) if isinstance(part, (int, np.floating)) else part for part in operands)
        if function is np.multiply and isinstance(operands[1], float) and operands[1] == 1.0:
            return operands[0]
        return self._noted(function, operands)

    def given(self, name: str) -> Value:
        """Note an input."""
        return self._noted(INPUT, (name,))

    def before(self, value: Any, lag: int) -> Any:
        """Note a value of `lag` candles ago; a constant has always been what it is."""
        return self._noted(BEFORE, (value, lag)) if lag and isinstance(value, Value) else value

    def _noted(self, function: Any, operands: tuple[Any, ...]) -> Value:
        key = (function, *(("value", part.number) if isinstance(part, Value) else part for part in operands))
        if key not in self._known:
            self._known[key] = Value(self, len(self.values), function, operands)
            self.values.append(self._known[key])
        return self._known[key]


class RecordedSums:
    """The doubling ladder of :class:`indicators.kernels.WindowSums`, one new value to each level a candle."""

    def __init__(self, series: Any, decay: float = 1.0) -> None:
        self._decay = decay
        self._levels = [series]

    def total(self, window: int, lag: int = 0) -> Any:
        """Sum of the `window` values that end `lag` candles ago, by the additions of the batch."""
        if not isinstance(self._levels[0], Value):
            return self._levels[0] * window
        accumulated: Any = None
        behind = lag
        for power in range(window.bit_length()):
            if not window >> power & 1:
                continue
            part = self._before(self._level(power), behind)
            if accumulated is None:
                accumulated = part
            else:
                accumulated = accumulated + (part if self._decay == 1.0 else self._decay ** (behind - lag) * part)
            behind += 1 << power
        return accumulated

    def _level(self, power: int) -> Value:
        while len(self._levels) <= power:
            half, width = self._levels[-1], 1 << (len(self._levels) - 1)
            earlier = self._before(half, width)
            self._levels.append(half + (earlier if self._decay == 1.0 else earlier * self._decay**width))
        return self._levels[power]

    @staticmethod
    def _before(value: Value, lag: int) -> Any:
        return value.recorder.before(value, lag)


class RecordedWindow(Window):
    """A window of symbols: what a family asks of it is written down.

    Parameters
    ----------
    complete : bool
        Whether no candle of the warm-up is missing; otherwise counts and flags are recorded too.
    """

    def __init__(self, *, complete: bool) -> None:
        self.recorder = Recorder()
        self.rows = 1
        self.complete = complete
        self.flag: Any = 1.0 if complete else self.recorder.given("present")
        self.present_floats = self.flag  # type: ignore[assignment]
        self._kept: dict[object, Any] = {}
        self._sums: dict[object, Any] = {}

    def price(self, name: str) -> Any:
        """Log price of a column."""
        column = self.recorder.given(name)
        return np.log(column) if self.complete else log_price(column, self.flag)

    @property
    def volumes(self) -> Any:
        """Traded quantity."""
        volume = self.recorder.given("volume")
        return volume if self.complete else volume_or_zero(volume, self.flag)

    @property
    def returns(self) -> Any:
        """Ln of close over the close before."""
        close = self.price("close")
        move = close - self.previous(close)
        return move if self.complete else move * self.return_flags

    @property
    def return_flags(self) -> Any:
        """1 where a candle and the one before it are present."""
        return 1.0 if self.complete else self.flag * self.previous(self.flag)

    def previous(self, series: Any) -> Any:
        """Values of one candle earlier."""
        return self.recorder.before(series, 1)

    def slots_before(self, series: Any, candles: int, length: int) -> Any:
        """Value `candles` earlier than the slot that ends `AHEAD` after the newest candle."""
        del length
        return self.recorder.before(series, candles - AHEAD)

    def filled(self, series: Any, value: float) -> Any:
        """Return the same number for every candle."""
        del series
        return value

    def sums(self, series: Any, decay: float = 1.0) -> Any:
        """Sums over windows of a series."""
        return RecordedSums(series, decay)

    def decayed_mean(self, series: Any, half_life: int) -> Any:
        """Exponentially weighted mean over a finite reach."""
        decay, reach = self.memory(half_life)
        total = self._ladder(series, decay).total(reach)
        if self.complete:
            return total / decayed_weight(reach, decay)
        return total / np.maximum(self._ladder(self.flag, decay).total(reach), 1e-9)

    def decayed_total(self, series: Any, decay: float, reach: int) -> Any:
        """Weighted sum over `reach` candles."""
        return self._ladder(series, decay).total(reach)

    def largest(self, series: Any, window: int) -> Any:
        """Largest value of the window: two overlapping powers of two cover it."""
        value: Any = series
        width = 1
        while width * 2 <= window:
            value = np.maximum(value, self.recorder.before(value, width))
            width *= 2
        return np.maximum(value, self.recorder.before(value, window - width)) if window > width else value

    def highest(self, series: Any, window: int, lag: int = 0) -> Any:
        """Largest value of the window among the candles present."""
        if not self.complete:
            series = lowest_where_missing(series, self.flag)
        largest = self.recorder.before(self.largest(series, window), lag)
        return largest if self.complete else finite_or_zero(largest)

    def last(self, series: Any, lag: int = 0) -> Any:
        """Value of the newest candle, or of `lag` candles earlier."""
        return self.recorder.before(series, lag)

    def presence(self) -> list[tuple[Any, float]]:
        """Counts of candles present and how many each must be for the row to be answered."""
        if self.complete:
            return []
        wanted = [(SHORT + 1, float(SHORT + 1)), *((length, MIN_PRESENT * length) for length in LONG_WINDOWS)]
        return [(self.total("present", self.flag, length), least) for length, least in wanted]

    def _ladder(self, series: Any, decay: float) -> RecordedSums:
        key = (id(series), decay)
        if key not in self._sums:
            self._sums[key] = RecordedSums(series, decay)
        return self._sums[key]
