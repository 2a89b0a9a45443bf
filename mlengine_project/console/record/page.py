"""Context and charts of the track record: promises beside outcomes, with uncertainty."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext

from marketdata.errors import UnknownSymbol
from mlengine_project.console.versions.charts import Chart, Panel, Series, chart
from mlengine_project.console.wording import SkillText, half_width, horizon_text, skill_sentence
from modelregistry.evaluation.significance.paired import Z_95
from predictions.errors import InvalidRequest
from predictions.scoring.scoreboard import scoreboard
from signals.outcomes import net_results

Score = dict[str, Any]


@dataclass(frozen=True)
class Held:
    """Coverage of one band beside its level."""

    level: float
    high: float | None
    low: float | None
    margin: float
    """Half of the 95 % interval of a share at the level, from independent outcomes."""

    def is_off(self, share: float | None) -> bool:
        """Whether a share differs from the level by more than chance explains."""
        return share is not None and abs(share - self.level) > self.margin


@dataclass(frozen=True)
class Line:
    """Scores of one market, horizon and version in words."""

    score: Score
    bands: list[Held]
    skill: SkillText
    skill_har: SkillText

    @property
    def provisional(self) -> bool:
        """Whether any outcome may still change."""
        return bool(self.score["n_provisional"])

    @property
    def version(self) -> str:
        """The first characters of the version."""
        return str(self.score["version"])[:8]


def margin_of(level: float, independent: int) -> float:
    """Half of the 95 % interval of a share that is `level` in truth.

    Examples
    --------
    >>> round(margin_of(0.8, 100), 4)
    0.0784
    """
    return Z_95 * math.sqrt(level * (1 - level) / max(independent, 1))


def line_of(score: Score) -> Line:
    """One score in words."""
    independent = score["effective_n"]
    bands = [
        Held(band["level"], band["high"], band["low"], margin_of(band["level"], independent))
        for band in score["coverage"]
    ]
    ewm, har = (
        skill_sentence(
            score["skill"][name],
            half_width(score["skill"][name], score["skill_interval"][name]),
            against,
            independent,
        )
        for name, against in (("ewm", "EWM"), ("har_season", gettext("HAR with time of day")))
    )
    return Line(score, bands, ewm, har)


def scores(symbol: str, horizon: str) -> list[Score]:
    """Scores of the chosen market and horizon, or of all; those of the API at the same moment."""
    chosen = int(horizon) if horizon.isascii() and horizon.isdigit() else None
    try:
        return scoreboard(symbol=symbol or None, horizon=chosen, net_results=net_results)
    except (UnknownSymbol, InvalidRequest):
        return []


def context(symbol: str, horizon: str) -> dict[str, Any]:
    """Context of the page."""
    found = scores(symbol, horizon)
    every = scoreboard(net_results=net_results)
    return {
        "lines": [line_of(score) for score in found],
        "symbols": sorted({score["symbol"] for score in every}),
        "horizons": sorted({score["horizon"] for score in every}),
        "symbol": symbol,
        "horizon": horizon,
        "sentences": sentences(found),
    }


def sentences(found: Sequence[Score]) -> list[str]:
    """What the 80 % bands promised and what came, one sentence for each horizon."""
    written = []
    for horizon, of_horizon in _by_horizon(found).items():
        count = sum(score["n"] for score in of_horizon)
        final = sum(score["n_final"] for score in of_horizon)
        held = _pooled(of_horizon, _eighty)
        if held is None:
            continue
        words = gettext(
            "80 %% bands of the next %(horizon)s held %(held).1f %% of %(count)s outcomes, %(final)s of them final "
            "(expected 80 ± %(margin).1f)."
        )
        margin = 100 * margin_of(0.8, _independent(of_horizon))
        written.append(
            words
            % {
                "horizon": horizon_text(horizon),
                "held": 100 * held,
                "count": f"{2 * count:,}",
                "final": f"{2 * final:,}",
                "margin": margin,
            }
        )
    return written


def charts_of(found: Sequence[Score]) -> list[Chart]:
    """Charts of promised against observed: bands and quantiles, by horizon."""
    groups = _by_horizon(found)
    if not groups:
        return []
    bars = gettext("Means over the markets shown, weighted by outcomes; bars are the 95 % interval of one market.")
    above_bands = gettext("In percentage points; above zero the bands are too wide.")
    above_quantiles = gettext("In percentage points; above zero the quantile is too high.")
    tables = (
        (gettext("Bands: share that came minus share promised"), above_bands, "coverage", ("high", "low")),
        (
            gettext("Quantiles: share below minus level promised"),
            above_quantiles,
            "calibration",
            ("high_below", "low_below"),
        ),
    )
    return [
        chart(
            title,
            f"{caption} {bars}",
            [_panel(horizon, of_horizon, table, sides) for horizon, of_horizon in groups.items()],
            "time",
            lines=[0.0],
            include=[-5.0, 5.0],
        )
        for title, caption, table, sides in tables
    ]


def _panel(horizon: int, of_horizon: Sequence[Score], table: str, sides: tuple[str, str]) -> Panel:
    """Highs and lows of one horizon: what came minus what was promised, by level."""
    independent = _independent(of_horizon)
    title = gettext("%(horizon)s, n = %(count)s independent") % {
        "horizon": horizon_text(horizon),
        "count": f"{independent:,}",
    }
    levels = [row["level"] for row in of_horizon[0][table]]
    names = (gettext("highs"), gettext("lows"))
    series = [_off(of_horizon, table, levels, side, name, independent) for side, name in zip(sides, names, strict=True)]
    return Panel(title, [f"{100 * level:.0f} %" for level in levels], series)


def _off(
    of_horizon: Sequence[Score], table: str, levels: Sequence[float], side: str, name: str, independent: int
) -> Series:
    means = [_pooled(of_horizon, lambda score, at=i: score[table][at][side]) for i in range(len(levels))]
    values = [None if mean is None else 100 * (mean - level) for mean, level in zip(means, levels, strict=True)]
    errors: list[float | None] = [100 * margin_of(level, independent) for level in levels]
    is_high = side.startswith("high")
    return Series(name, values, errors, tone="own" if is_high else "second", shape="circle" if is_high else "diamond")


def _eighty(score: Score) -> float | None:
    band = next((one for one in score["coverage"] if one["level"] == 0.8), None)
    if band is None or band["high"] is None or band["low"] is None:
        return None
    return float(band["high"] + band["low"]) / 2


def _by_horizon(found: Sequence[Score]) -> dict[int, list[Score]]:
    groups: dict[int, list[Score]] = {}
    for score in found:
        groups.setdefault(score["horizon"], []).append(score)
    return dict(sorted(groups.items()))


def _pooled(of_horizon: Sequence[Score], read: Callable[..., float | None]) -> float | None:
    known = [(value, score["n"]) for score in of_horizon if (value := read(score)) is not None]
    total = sum(count for _, count in known)
    return sum(value * count for value, count in known) / total if total else None


def _independent(of_horizon: Sequence[Score]) -> int:
    """Independent outcomes of all markets together: as many as of one, since markets move together."""
    return max(int(score["effective_n"]) for score in of_horizon)
