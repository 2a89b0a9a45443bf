"""Drawings of a card as SVG coordinates, computed from prices alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

WIDTH = 400
"""Width of every drawing in units; the browser scales it."""
FAN_HEIGHT = 96
PAST_SHARE = 0.56
"""Share of the width for past closes; the predicted fan takes the rest."""
LOWER, MEDIAN, UPPER = 1, 3, 5
"""Positions of the 10, 50 and 90 % quantiles among the seven stored ones."""
BAND_LEVEL = 0.8
"""The band that bars and printed edges show."""


@dataclass(frozen=True)
class Held:
    """How often the 80 % bands of one horizon held live."""

    horizon: int
    high: float
    low: float
    outcomes: int

    @property
    def independent(self) -> int:
        """Outcomes without overlap: each lasts as long as the horizon."""
        return max(1, self.outcomes // self.horizon)


@dataclass(frozen=True)
class Range:
    """The predicted range of one horizon: medians and 80 % edges as prices, and their coordinates."""

    horizon: int
    low: Decimal
    """Median of the lowest low."""
    high: Decimal
    """Median of the highest high."""
    low_edge: Decimal
    """Lower edge of the 80 % band of the lowest low: where the drawn bar begins."""
    high_edge: Decimal
    """Upper edge of the 80 % band of the highest high: where the drawn bar ends."""
    low_change: float
    high_change: float
    band: tuple[float, float]
    medians: tuple[float, float]
    here: float
    held: Held | None
    degraded: bool
    reasons: list[str]

    @property
    def band_width(self) -> float:
        """Width of the outer bar."""
        return round(self.band[1] - self.band[0], 1)

    @property
    def core_width(self) -> float:
        """Width of the bar between the medians."""
        return round(max(1.0, self.medians[1] - self.medians[0]), 1)

    @property
    def relative_width(self) -> float:
        """Width of the bar as a share of its middle."""
        return 2 * float(self.high_edge - self.low_edge) / float(self.high_edge + self.low_edge)


@dataclass(frozen=True)
class Fan:
    """Past closes and the predicted fan on one pair of axes."""

    past: str
    outer: str
    inner: str
    here: tuple[float, float]


@dataclass(frozen=True)
class Quantiles:
    """Quantiles of one prediction."""

    horizon: int
    high: list[Decimal]
    low: list[Decimal]
    degraded: bool
    reasons: list[str]
    valid_until_ms: int
    coverage: list[dict[str, float | None]] = field(default_factory=list)
    """Live coverage of the bands when the prediction was made, as in the API."""

    @property
    def held(self) -> Held | None:
        """How often the 80 % bands held; None before anything was scored."""
        found = next((band for band in self.coverage if band["level"] == BAND_LEVEL), None)
        if found is None or not found["n"] or found["high"] is None or found["low"] is None:
            return None
        return Held(self.horizon, found["high"], found["low"], int(found["n"]))


@dataclass(frozen=True)
class Axis:
    """A linear map from prices to coordinates."""

    minimum: float
    maximum: float
    length: float = WIDTH
    flipped: bool = False

    def at(self, price: float) -> float:
        """Coordinate of a price, limited to the axis.

        >>> Axis(90.0, 110.0).at(100.0), Axis(90.0, 110.0, 50, flipped=True).at(110.0)
        (200.0, 0.0)
        """
        width = self.maximum - self.minimum
        share = 0.5 if width <= 0 else min(1.0, max(0.0, (price - self.minimum) / width))
        return round((1 - share if self.flipped else share) * self.length, 1)


def axis_around(prices: Sequence[float], length: float = WIDTH, flipped: bool = False, margin: float = 0.04) -> Axis:
    """An axis that holds all prices with a margin on both sides.

    >>> axis = axis_around([90.0, 110.0], margin=0.0)
    >>> axis.minimum, axis.maximum
    (90.0, 110.0)
    """
    minimum, maximum = min(prices), max(prices)
    room = (maximum - minimum) * margin or abs(maximum) * margin
    return Axis(minimum - room, maximum + room, length, flipped)


def points(xs: Sequence[float], ys: Sequence[float]) -> str:
    """Write an SVG `points` attribute.

    >>> points([0, 1.25], [2, 3])
    '0,2 1.2,3'
    """
    return " ".join(f"{round(x, 1):g},{round(y, 1):g}" for x, y in zip(xs, ys, strict=True))


def draw_ranges(price: Decimal, predicted: Sequence[Quantiles]) -> list[Range]:
    """Draw the ranges of all horizons on one axis, so that their widths are comparable."""
    if not predicted:
        return []
    here = float(price)
    axis = axis_around([here, *(float(q.low[LOWER]) for q in predicted), *(float(q.high[UPPER]) for q in predicted)])
    return [
        Range(
            horizon=q.horizon,
            low=q.low[MEDIAN],
            high=q.high[MEDIAN],
            low_edge=q.low[LOWER],
            high_edge=q.high[UPPER],
            low_change=float(q.low[MEDIAN]) / here - 1,
            high_change=float(q.high[MEDIAN]) / here - 1,
            band=(axis.at(float(q.low[LOWER])), axis.at(float(q.high[UPPER]))),
            medians=(axis.at(float(q.low[MEDIAN])), axis.at(float(q.high[MEDIAN]))),
            here=axis.at(here),
            held=q.held,
            degraded=q.degraded,
            reasons=q.reasons,
        )
        for q in predicted
    ]


def draw_fan(closes: Sequence[float], predicted: Sequence[Quantiles]) -> Fan | None:
    """Draw the newest closes and the 80 % fan of expected highs and lows."""
    if len(closes) < 2:
        return None
    here = closes[-1]
    reach = [float(price) for q in predicted for price in (q.low[LOWER], q.high[UPPER])]
    axis = axis_around([*closes, *reach], FAN_HEIGHT, flipped=True, margin=0.08)
    edge = WIDTH * (PAST_SHARE if predicted else 1.0)
    step = edge / (len(closes) - 1)
    past = points([index * step for index in range(len(closes))], [axis.at(close) for close in closes])
    if not predicted:
        return Fan(past, "", "", (edge, axis.at(here)))
    longest = predicted[-1].horizon
    xs = [edge, *(edge + (WIDTH - edge) * q.horizon / longest for q in predicted)]

    def polygon(high_level: int, low_level: int) -> str:
        tops = [axis.at(here), *(axis.at(float(q.high[high_level])) for q in predicted)]
        bottoms = [axis.at(here), *(axis.at(float(q.low[low_level])) for q in predicted)]
        return points([*xs, *reversed(xs)], [*tops, *reversed(bottoms)])

    return Fan(past, polygon(UPPER, LOWER), polygon(MEDIAN, MEDIAN), (round(edge, 1), axis.at(here)))
