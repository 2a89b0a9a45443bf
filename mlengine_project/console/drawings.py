"""Drawings of a card as SVG coordinates, computed from prices alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from mlengine_project.console.scale import WIDTH, axis_around, points

FAN_HEIGHT = 96
PAST_SHARE = 0.56
"""Share of the width for past closes; the predicted fan takes the rest."""
LOWER, MEDIAN, UPPER = 1, 3, 5
"""Positions of the 10, 50 and 90 % quantiles among the seven stored ones."""


@dataclass(frozen=True)
class Range:
    """The predicted range of one horizon, with texts and coordinates."""

    horizon: int
    low: Decimal
    high: Decimal
    low_change: float
    high_change: float
    band: tuple[float, float]
    low_band: tuple[float, float]
    high_band: tuple[float, float]
    medians: tuple[float, float]
    here: float
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


@dataclass(frozen=True)
class Fan:
    """Past closes and the predicted fan on one pair of axes."""

    past: str
    outer: str
    inner: str
    here: tuple[float, float]


@dataclass(frozen=True)
class Quantiles:
    """Quantiles of one prediction, as numbers for drawing."""

    horizon: int
    high: list[float]
    low: list[float]
    predicted_high: Decimal
    predicted_low: Decimal
    degraded: bool
    reasons: list[str]
    valid_until_ms: int


def draw_ranges(price: Decimal, predicted: Sequence[Quantiles]) -> list[Range]:
    """Draw the ranges of all horizons on one axis, so that their widths are comparable."""
    if not predicted:
        return []
    here = float(price)
    axis = axis_around([here, *(q.low[LOWER] for q in predicted), *(q.high[UPPER] for q in predicted)])
    return [
        Range(
            horizon=q.horizon,
            low=q.predicted_low,
            high=q.predicted_high,
            low_change=float(q.predicted_low) / here - 1,
            high_change=float(q.predicted_high) / here - 1,
            band=(axis.at(q.low[LOWER]), axis.at(q.high[UPPER])),
            low_band=(axis.at(q.low[LOWER]), axis.at(q.low[UPPER])),
            high_band=(axis.at(q.high[LOWER]), axis.at(q.high[UPPER])),
            medians=(axis.at(q.low[MEDIAN]), axis.at(q.high[MEDIAN])),
            here=axis.at(here),
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
    reach = [price for q in predicted for price in (q.low[LOWER], q.high[UPPER])]
    axis = axis_around([*closes, *reach], FAN_HEIGHT, flipped=True, margin=0.08)
    edge = WIDTH * (PAST_SHARE if predicted else 1.0)
    step = edge / (len(closes) - 1)
    past = points([index * step for index in range(len(closes))], [axis.at(close) for close in closes])
    if not predicted:
        return Fan(past, "", "", (edge, axis.at(here)))
    longest = predicted[-1].horizon
    xs = [edge, *(edge + (WIDTH - edge) * q.horizon / longest for q in predicted)]

    def polygon(high_level: int, low_level: int) -> str:
        tops = [axis.at(here), *(axis.at(q.high[high_level]) for q in predicted)]
        bottoms = [axis.at(here), *(axis.at(q.low[low_level]) for q in predicted)]
        return points([*xs, *reversed(xs)], [*tops, *reversed(bottoms)])

    return Fan(past, polygon(UPPER, LOWER), polygon(MEDIAN, MEDIAN), (round(edge, 1), axis.at(here)))
