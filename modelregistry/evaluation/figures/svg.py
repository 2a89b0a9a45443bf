"""Small charts as SVG text: no script, no fonts, and colours by class, so that the page decides on light or dark.

Every function is pure and gives one panel, narrow enough for a telephone; a figure is several panels side by side.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 340.0
"""Width of every panel in its own units; text is 11 of them high."""
ROW = 21.0
LEAST_LEFT, RIGHT = 60.0, 50.0
LETTER = 7.2
"""Room for one letter of a row's name in the widest of the usual fonts."""
MARKS = ("dot", "tick", "diamond", "triangle", "square", "cross")


@dataclass(frozen=True)
class Scale:
    """Maps values to positions.

    Parameters
    ----------
    low, high : float
        Values at the ends.
    start, end : float
        Positions of the ends.
    """

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Position of `value`, held inside the panel.

        Examples
        --------
        >>> axis = Scale(0.0, 10.0, 100.0, 200.0)
        >>> axis.at(5.0), axis.at(99.0)
        (150.0, 200.0)
        """
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + min(max(share, 0.0), 1.0) * (self.end - self.start), 2)

    def ticks(self, most: int = 5) -> list[float]:
        """Round values inside the scale, at most `most` of them.

        Examples
        --------
        >>> Scale(-0.3, 4.2, 0.0, 1.0).ticks()
        [0.0, 1.0, 2.0, 3.0, 4.0]
        """
        span = self.high - self.low
        power = 10.0 ** math.floor(math.log10(span))
        step = next(
            step for factor in (0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0) if (step := factor * power) * most > span
        )
        first = int(self.low / step) - 1
        values = [round((first + i) * step, 10) + 0.0 for i in range(most + 3)]
        return [value for value in values if self.low - 1e-9 * span <= value <= self.high + 1e-9 * span][:most]


def span_of(
    values: Sequence[float | None], *, include: Sequence[float] = (), margin: float = 0.06
) -> tuple[float, float]:
    """Ends of a scale that holds all values with some air, never of length zero.

    Examples
    --------
    >>> span_of([1.0, 3.0, None], include=[0.0], margin=0.0)
    (0.0, 3.0)
    >>> span_of([2.0])
    (1.0, 3.0)
    """
    known = [value for value in values if value is not None] + list(include)
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    if high - low < 1e-9 * max(abs(high), abs(low), 1e-9):
        return low - 1.0, high + 1.0
    air = margin * (high - low)
    return low - air, high + air


def number(value: float) -> str:
    """Write an axis label, without needless zeros and with a true minus.

    Examples
    --------
    >>> number(-2.0), number(0.25), number(1500.0)
    ('−2', '0.25', '1,500')
    """
    text = f"{abs(value):,.6f}".rstrip("0").rstrip(".")
    return f"−{text}" if value < 0 and text != "0" else text


def text(x: float, y: float, words: str, kind: str = "label", anchor: str = "start") -> str:
    """One line of text."""
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def rule(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """One straight line."""
    return f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" class="{kind}"/>'


def mark(shape: str, x: float, y: float, kind: str, hint: str = "") -> str:
    """One mark; `hint` shows when it is pointed at.

    Raises
    ------
    ValueError
        If the shape is not one of :data:`MARKS`.
    """
    paths = {
        "dot": f'<circle cx="{x:g}" cy="{y:g}" r="4"',
        "tick": f'<path d="M{x:g} {y - 6:g}v12"',
        "diamond": f'<path d="M{x:g} {y - 4.5:g}l4.5 4.5-4.5 4.5-4.5-4.5z"',
        "triangle": f'<path d="M{x:g} {y - 4:g}l4.5 8h-9z"',
        "square": f'<path d="M{x - 3.5:g} {y - 3.5:g}h7v7h-7z"',
        "cross": f'<path d="M{x - 3.5:g} {y - 3.5:g}l7 7m0-7l-7 7"',
    }
    if shape not in paths:
        raise ValueError(f"{shape} is no mark; there are {', '.join(MARKS)}")
    return f'{paths[shape]} class="mark {shape} {kind}"><title>{escape(hint)}</title>{_end(paths[shape])}'


def _end(opened: str) -> str:
    return "</circle>" if opened.startswith("<circle") else "</path>"


def panel(height: float, label: str, parts: Sequence[str]) -> str:
    """A whole drawing; `label` is what a screen reader says."""
    return (
        f'<svg viewBox="0 0 {WIDTH:g} {height:g}" role="img" aria-label="{escape(label)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def sample(shape: str, kind: str) -> str:
    """A mark alone, for a legend."""
    return f'<svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">{mark(shape, 8, 8, kind)}</svg>'


@dataclass(frozen=True)
class Mark:
    """One value in a row or a series.

    Parameters
    ----------
    value : float
    error : float or None
        Half the length of a bar around it.
    shape, kind : str
        One of :data:`MARKS`, and a class that colours it.
    hint : str
    """

    value: float
    error: float | None = None
    shape: str = "dot"
    kind: str = "own"
    hint: str = ""


@dataclass(frozen=True)
class Row:
    """One line of a dot plot: a name, marks, and a figure at the end."""

    name: str
    marks: Sequence[Mark]
    figure: str = ""


def dot_plot(label: str, rows: Sequence[Row], ends: tuple[float, float], references: Sequence[float] = ()) -> str:
    """Rows of marks on one horizontal scale.

    Parameters
    ----------
    label : str
        For screen readers.
    rows : sequence of Row
        From top to bottom.
    ends : (float, float)
        Of the scale; give panels of one figure the same.
    references : sequence of float
        Drawn as upright lines.

    Examples
    --------
    >>> dot_plot("skill", [Row("BTCUSDT", [Mark(1.0, 0.5)], "+1")], (0.0, 2.0), [0.0]).count("<circle")
    1
    """
    bottom = 8 + ROW * len(rows)
    left = max(LEAST_LEFT, LETTER * max((len(row.name) for row in rows), default=0) + 12)
    scale = Scale(*ends, left, WIDTH - RIGHT)
    parts = []
    for tick in scale.ticks():
        parts += [rule(scale.at(tick), 4, scale.at(tick), bottom, "grid")]
        parts += [text(scale.at(tick), bottom + 14, number(tick), "axis", "middle")]
    parts += [rule(scale.at(value), 2, scale.at(value), bottom, "reference") for value in references]
    for i, row in enumerate(rows):
        y = 6 + ROW * (i + 0.5)
        parts.append(text(left - 8, y + 4, row.name, "label", "end"))
        for one in row.marks:
            if one.error is not None:
                ends_at = scale.at(one.value - one.error), scale.at(one.value + one.error)
                parts.append(rule(ends_at[0], y, ends_at[1], y, f"error {one.kind}"))
        parts += [mark(one.shape, scale.at(one.value), y, one.kind, one.hint) for one in row.marks]
        parts.append(text(WIDTH - 2, y + 4, row.figure, "figure", "end"))
    return panel(bottom + 20, label, parts)
