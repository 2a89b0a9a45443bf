"""Axes of the drawings of a card: maps from prices to coordinates."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 400
"""Width of every drawing in units; the browser scales it."""


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
