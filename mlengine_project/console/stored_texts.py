"""Texts that the engine stores in English, in the language of the page: job messages, gate reasons, report words."""

import re
from collections.abc import Sequence
from functools import cache

from django.utils.translation import gettext, gettext_noop

from modelregistry.models import Kind

MESSAGES = (
    gettext_noop("starting"),
    gettext_noop("done"),
    gettext_noop("interrupted"),
    gettext_noop("cancelled"),
    gettext_noop("cancelled before it began"),
    gettext_noop("cancelled by going back to an older version"),
    gettext_noop("training"),
    gettext_noop("fetching history"),
    gettext_noop("waits"),
    gettext_noop("could not start"),
    gettext_noop("candles, features and labels"),
    gettext_noop("all candles"),
    gettext_noop("reports"),
    gettext_noop("scale, all rows"),
    gettext_noop("scale, held-out blocks"),
    gettext_noop("residual trees, all rows"),
    gettext_noop("residual trees, held-out blocks"),
    gettext_noop("residual lines"),
    gettext_noop("bracket calibration"),
    gettext_noop("direction, sides"),
    gettext_noop("direction, touch"),
    gettext_noop("direction, meta-label"),
    gettext_noop("interrupted; nothing was written"),
    gettext_noop("no better than EWM volatility"),
    gettext_noop("its features are not those of the champion"),
    gettext_noop("its settings are not those of the champion"),
    gettext_noop("there is no candle on which it could be compared with the champion"),
    gettext_noop("not enough candles since the champion"),
    gettext_noop("not enough candles since the training of the champion"),
)
"""Parts of job messages and of reasons, without names and numbers."""

REPORT_WORDS = (
    gettext_noop("beside the baselines"),
    gettext_noop("summary"),
    gettext_noop("horizons"),
    gettext_noop("coverage"),
    gettext_noop("by market and horizon"),
    gettext_noop("walk-forward tests"),
    gettext_noop("label overlap"),
    gettext_noop("positive expected return"),
    gettext_noop("net"),
    gettext_noop("strategies"),
    gettext_noop("strategy"),
    gettext_noop("figure"),
    gettext_noop("value"),
    gettext_noop("symbol"),
    gettext_noop("horizon"),
    gettext_noop("target"),
    gettext_noop("side"),
    gettext_noop("bracket"),
    gettext_noop("fold"),
    gettext_noop("band"),
    gettext_noop("level"),
    gettext_noop("class"),
    gettext_noop("name"),
    gettext_noop("rows"),
    gettext_noop("answered"),
    gettext_noop("pinball"),
    gettext_noop("pinball loss (bps)"),
    gettext_noop("Brier score"),
    gettext_noop("brier"),
    gettext_noop("skill"),
    gettext_noop("skill %"),
    gettext_noop("skill error"),
    gettext_noop("skill lower"),
    gettext_noop("p value"),
    gettext_noop("effective n"),
    gettext_noop("skill over ewm"),
    gettext_noop("skill over first passage"),
    gettext_noop("coverage 80"),
    gettext_noop("coverage 90"),
    gettext_noop("coverage of 80 % band, %"),
    gettext_noop("base rate"),
    gettext_noop("first passage"),
    gettext_noop("walk"),
    gettext_noop("ridge"),
    gettext_noop("months"),
    gettext_noop("trades"),
    gettext_noop("days"),
    gettext_noop("fee percent"),
    gettext_noop("expected bps"),
    gettext_noop("realised bps"),
    gettext_noop("error bps"),
    gettext_noop("inside"),
    gettext_noop("best baseline"),
    gettext_noop("log loss"),
    gettext_noop("calibration error"),
    gettext_noop("calibration slope"),
    gettext_noop("calibration intercept"),
    gettext_noop("median error bps"),
    gettext_noop("bias bps"),
    gettext_noop("interval score bps"),
    gettext_noop("below 05"),
    gettext_noop("below 50"),
    gettext_noop("below 95"),
    gettext_noop("cells within"),
    gettext_noop("months within"),
    gettext_noop("months within percent"),
)
"""Titles and columns of the tables of a report."""

FILLED = (
    gettext_noop("fold %(number)s of %(count)s"),
    gettext_noop("fold %(number)s"),
    gettext_noop("rows of %(market)s"),
    gettext_noop("%(kind)s scored"),
    gettext_noop("%(kind)s of exchange candles"),
    gettext_noop("%(kind)s of simulated candles"),
    gettext_noop("%(count)s markets"),
    gettext_noop("ended with code %(code)s"),
    gettext_noop("%(name)s, all rows"),
    gettext_noop("%(name)s, held-out blocks"),
    gettext_noop("horizon %(horizon)s"),
    gettext_noop("%(market)s horizon %(horizon)s %(side)s %(bracket)s"),
    gettext_noop("%(market)s horizon %(horizon)s %(side)s"),
    gettext_noop("%(skill)s %% better than the best reference baseline, not significantly above 0 (error %(error)s)"),
    gettext_noop("Brier score %(skill)s %% better than the base rates, not significantly above 0 (error %(error)s)"),
    gettext_noop("Brier score %(skill)s %% better than the base rate, not significantly above 0 (error %(error)s)"),
    gettext_noop("%(share)s %% bands cover %(found)s %% of outcomes"),
    gettext_noop("no better than a random walk (%(skill)s %%)"),
    gettext_noop("calibration slope %(slope)s is outside %(low)s to %(high)s"),
    gettext_noop("P(%(side)s) differs from the observed share by %(error)s points in the mean"),
    gettext_noop("tested on %(days)s days, fewer than the required %(required)s"),
    gettext_noop("%(later)s of %(enough)s days, and %(days)s days both were tested on"),
    gettext_noop("%(later)s of %(enough)s days"),
    gettext_noop(
        "not significantly better than the champion on %(days)s days since its training (%(gain)s %%, error %(error)s)"
    ),
    gettext_noop(
        "not significantly better than the champion on %(days)s days both were tested on (%(gain)s %%, error %(error)s)"
    ),
    gettext_noop("it was trained without %(markets)s, which the champion covers"),
    gettext_noop("its horizons are %(own)s, those of the champion %(theirs)s"),
    gettext_noop("its candles end at %(own)s, not after those of the champion (%(theirs)s)"),
    gettext_noop(
        "its loss may be up to %(upper)s %% above that of the champion on %(days)s days (mean "
        "%(mean)s %%), more than the margin of %(margin)s %%"
    ),
    gettext_noop(
        "%(count)s configurations share the gains of %(days)s days; 2 and %(enough)s are needed to "
        "test for selection bias"
    ),
)
"""Parts that hold names or numbers; of two that fit, the first counts."""

KNOWN = frozenset((*MESSAGES, *REPORT_WORDS))
SEPARATORS = (": ", " · ")


def stored_text(text: str) -> str:
    """A stored text, part by part in the language of the page; a part without a translation stays as it is.

    >>> stored_text("fold 3 of 5: range_predictor scored")
    'fold 3 of 5: Range predictor scored'
    >>> stored_text("waits: the exchange answers 418")
    'waits: the exchange answers 418'
    """
    if text in KNOWN:
        return gettext(text)
    return "".join(part if part in SEPARATORS else _part_text(part) for part in re.split("(: | · )", text))


def _part_text(part: str) -> str:
    if part in KNOWN:
        return gettext(part)
    names = part.split(", ")
    if all(name in Kind.values for name in names):
        return ", ".join(map(_name_text, names))
    for text in FILLED:
        values = _values_of(part, *_pieces_of(text))
        if values is not None:
            return gettext(text) % {name: _name_text(value) for name, value in values.items()}
    return part


@cache
def _pieces_of(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The plain pieces of a text of `FILLED`, and the names between them."""
    pieces = re.split(r"%\((\w{1,20})\)s", text)
    return tuple(piece.replace("%%", "%") for piece in pieces[::2]), tuple(pieces[1::2])


def _values_of(part: str, pieces: Sequence[str], names: Sequence[str]) -> dict[str, str] | None:
    """Values that fill a text, each up to the first place of the next piece; None where the part is another text."""
    first, *between, last = pieces
    if not (part.startswith(first) and part.endswith(last)):
        return None
    place, found = len(first), []
    for piece in between:
        end = part.find(piece, place + 1)
        if end < 0:
            return None
        found.append(part[place:end])
        place = end + len(piece)
    found.append(part[place : len(part) - len(last)])
    return dict(zip(names, found, strict=True)) if all(found) else None


def _name_text(name: str) -> str:
    return gettext(str(Kind(name).label) if name in Kind.values else name)
