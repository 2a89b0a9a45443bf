"""Template filters for prices, ratios, spans and times."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from mlengine_project.console import wording
from predictions import reasons
from signals.models import SignalLog

register = template.Library()


@register.filter
def price(value: Decimal | str | None) -> str:
    """A price with thousands separators."""
    return wording.price_text(value)


@register.filter
def ratio(value: float | Decimal | None) -> str:
    """A ratio as a percentage, two decimals."""
    return wording.percent_text(value)


@register.filter
def chance(value: float | Decimal | None) -> str:
    """A probability as a percentage, one decimal."""
    return wording.percent_text(value, places=1)


@register.filter
def change(value: float | Decimal | None) -> str:
    """A ratio as a signed percentage."""
    return wording.percent_text(value, signed=True)


@register.filter
def span(candles: int) -> str:
    """A horizon as a span of time."""
    return wording.horizon_text(candles)


@register.filter
def reason(code: str) -> str:
    """The text of a reason code."""
    return reasons.REASON_TEXTS.get(code, code)


@register.filter
def utc(moment: datetime | None, form: str = "%d %b %H:%M") -> SafeString | str:
    """A time in UTC; the browser adds the local time as a hint."""
    if moment is None:
        return "–"
    machine = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return format_html('<time datetime="{}" data-local>{}</time>', machine, moment.strftime(form))


@register.filter
def number(value: Any, places: int = 3) -> str:
    """A plain number, or a dash."""
    return "–" if value is None else f"{float(value):,.{places}f}"


@register.filter
def odds(signal: SignalLog) -> dict[str, float | None]:
    """Widths of the probability bar, in percent."""
    win, neither, lose = (
        round(100 * (chance or 0.0), 2) for chance in (signal.p_take_profit, signal.p_neither, signal.p_stop_loss)
    )
    even = signal.p_break_even
    return {
        "take_profit": win,
        "neither": neither,
        "stop_loss": lose,
        "loss_from": round(win + neither, 2),
        "break_even": None if even is None else round(100 * min(1.0, max(0.0, even)), 2),
    }


@register.filter
def points(value: Decimal | float | None) -> str:
    """A signed number that is a percentage already."""
    return "–" if value is None else wording.percent_text(float(value) / 100, signed=True)
