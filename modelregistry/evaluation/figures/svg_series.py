"""Charts over time and of probabilities against frequencies, in the style of :mod:`.svg`."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from modelregistry.evaluation.figures.svg import WIDTH, Mark, Scale, mark, number, panel, rule, text

TOP, LEFT, RIGHT = 10.0, 38.0, 10.0
HEIGHT = 170.0
SQUARE = 250.0


@dataclass(frozen=True)
class Series:
    """Marks joined by a line; None leaves a gap."""

    marks: Sequence[Mark | None]
    kind: str = "own"


def time_plot(
    label: str,
    names: Sequence[str],
    series: Sequence[Series],
    ends: tuple[float, float],
    references: Sequence[float] = (),
) -> str:
    """Series over named periods, each mark with its bar of error.

    Parameters
    ----------
    label : str
        For screen readers.
    names : sequence of str
        Of the periods, oldest first, short enough for an axis.
    series : sequence of Series
        With one mark or None for each period.
    ends : (float, float)
        Of the upright scale.
    references : sequence of float
        Drawn as level lines.

    Examples
    --------
    >>> one = Series([Mark(79.0, 1.0), None, Mark(81.0)])
    >>> drawn = time_plot("coverage", ["Nov 24", "Dec 24", "Jan 25"], [one], (70.0, 90.0), [80.0])
    >>> drawn.count("<circle"), drawn.count("polyline")
    (2, 0)
    """
    floor = HEIGHT - 22
    up = Scale(*ends, floor, TOP)
    parts = _level_grid(up, references)
    along = _positions(len(names))
    for series_number, one in enumerate(series):
        shift = 2.5 * (series_number - (len(series) - 1) / 2)
        placed = [None if at is None else (x + shift, at) for x, at in zip(along, one.marks, strict=True)]
        for run in _runs(placed):
            points = " ".join(f"{x:g},{up.at(at.value):g}" for x, at in run)
            parts.append(f'<polyline points="{points}" class="line {one.kind}"/>' if len(run) > 1 else "")
        for spot in placed:
            if spot is not None and spot[1].error is not None:
                x, at = spot
                error = at.error or 0.0
                parts.append(rule(x, up.at(at.value - error), x, up.at(at.value + error), f"error {one.kind}"))
        parts += [mark(at.shape, x, up.at(at.value), one.kind, at.hint) for x, at in filter(None, placed)]
    parts += _names(names, along, floor)
    return panel(HEIGHT, label, parts)


def column_plot(label: str, names: Sequence[str], marks: Sequence[Mark], ends: tuple[float, float]) -> str:
    """Columns from zero over named periods, each with its bar of error.

    Examples
    --------
    >>> column_plot("net", ["Nov 24"], [Mark(-2.0, 1.0)], (-4.0, 1.0)).count("<rect")
    1
    """
    floor = HEIGHT - 22
    up = Scale(*ends, floor, TOP)
    parts = _level_grid(up, [0.0])
    along = _positions(len(names))
    width = min(26.0, (WIDTH - LEFT - RIGHT) / max(len(names), 1) * 0.6)
    for x, one in zip(along, marks, strict=True):
        top, bottom = sorted((up.at(one.value), up.at(0.0)))
        kind = "gain" if one.value >= 0 else "loss"
        box = f'<rect x="{x - width / 2:g}" y="{top:g}" width="{width:g}" height="{max(bottom - top, 0.5):g}"'
        parts.append(f'{box} class="column {kind}"><title>{escape(one.hint)}</title></rect>')
        if one.error is not None:
            parts.append(rule(x, up.at(one.value - one.error), x, up.at(one.value + one.error), "error bare"))
    parts += _names(names, along, floor)
    return panel(HEIGHT, label, parts)


def reliability_plot(
    label: str, curves: Sequence[tuple[Sequence[float], Sequence[Mark], str]], ends: tuple[float, float]
) -> str:
    """Frequencies over forecasts with the diagonal, on one square scale.

    Parameters
    ----------
    label : str
        For screen readers.
    curves : sequence of (forecasts, marks of the frequencies, class)
    ends : (float, float)
        Of both scales.

    Examples
    --------
    >>> reliability_plot("chance", [([0.2, 0.4], [Mark(0.25), Mark(0.4)], "own")], (0.0, 1.0)).count("<circle")
    2
    """
    floor = SQUARE - 22
    along, up = Scale(*ends, LEFT, WIDTH - RIGHT), Scale(*ends, floor, TOP)
    parts = _level_grid(up, [])
    for tick in along.ticks():
        parts += [rule(along.at(tick), TOP, along.at(tick), floor, "grid")]
        parts += [text(along.at(tick), floor + 14, number(tick), "axis", "middle")]
    parts.append(rule(along.at(ends[0]), up.at(ends[0]), along.at(ends[1]), up.at(ends[1]), "reference"))
    for forecasts, marks, kind in curves:
        spots = [(along.at(x), one) for x, one in zip(forecasts, marks, strict=True)]
        points = " ".join(f"{x:g},{up.at(one.value):g}" for x, one in spots)
        parts.append(f'<polyline points="{points}" class="line {kind}"/>')
        for x, one in spots:
            if one.error is not None:
                parts.append(rule(x, up.at(one.value - one.error), x, up.at(one.value + one.error), f"error {kind}"))
        parts += [mark(one.shape, x, up.at(one.value), one.kind, one.hint) for x, one in spots]
    return panel(SQUARE, label, parts)


def _level_grid(up: Scale, references: Sequence[float]) -> list[str]:
    parts = []
    for tick in up.ticks():
        parts += [rule(LEFT, up.at(tick), WIDTH - RIGHT, up.at(tick), "grid")]
        parts += [text(LEFT - 5, up.at(tick) + 4, number(tick), "axis", "end")]
    return parts + [rule(LEFT, up.at(value), WIDTH - RIGHT, up.at(value), "reference") for value in references]


def _positions(count: int) -> list[float]:
    first, last = LEFT + 14, WIDTH - RIGHT - 14
    return [first + (last - first) * (i + 0.5) / count for i in range(count)]


def _names(names: Sequence[str], along: Sequence[float], floor: float) -> list[str]:
    """Label as many periods as there is room for."""
    every = -(-len(names) // 6)
    return [
        text(x, floor + 15, name, "axis", "middle")
        for i, (x, name) in enumerate(zip(along, names, strict=True))
        if i % every == 0
    ]


def short_period(name: str) -> str:
    """Write a period in little room.

    Examples
    --------
    >>> short_period("2024-11"), short_period("2024-10-28")
    ('Nov 24', '28 Oct')
    """
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    year, month, *day = name.split("-")
    return f"{int(day[0])} {months[int(month) - 1]}" if day else f"{months[int(month) - 1]} {year[2:]}"


def _runs(placed: Sequence[tuple[float, Mark] | None]) -> list[list[tuple[float, Mark]]]:
    runs: list[list[tuple[float, Mark]]] = [[]]
    for spot in placed:
        if spot is None:
            runs.append([])
        else:
            runs[-1].append(spot)
    return [run for run in runs if run]
