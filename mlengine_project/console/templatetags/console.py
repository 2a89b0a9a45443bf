"""Template filters for prices, ratios, spans and times."""

from datetime import datetime
from decimal import Decimal

from django import template
from django.utils.dates import MONTHS_3
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext

from marketdata import clock
from mlengine_project.console import wording
from mlengine_project.console.card_drawing import Held
from mlengine_project.console.stored_texts import stored_text
from modelregistry.models import Kind, ModelVersion
from modelregistry.registry.version_state import VersionState, state_of
from predictions import reasons
from signals.models import SignalLog

register = template.Library()


@register.filter
def price(value: Decimal | str | None, places: int | None = None) -> str:
    """A price with thousands separators and the decimals of its market."""
    return wording.price_text(value, places)


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
def version_state(version: ModelVersion) -> VersionState:
    """Stage of a version and the gate's verdict on it."""
    return state_of(version)


@register.filter
def whole(value: float) -> str:
    """A ratio as a percentage without decimals."""
    return wording.percent_text(value, places=0)


@register.filter
def age(seconds: float) -> str:
    """An age or a wait in words."""
    return wording.age_text(seconds)


@register.filter
def span(candles: int) -> str:
    """A horizon as a span of time."""
    return wording.horizon_text(candles)


@register.filter
def reason(code: str) -> str:
    """The text of a reason code."""
    return gettext(reasons.REASON_TEXTS[code]) if code in reasons.REASON_TEXTS else code


@register.filter
def verdict(signal: SignalLog) -> str:
    """Buy, sell or hold."""
    return gettext(SignalLog.Type(signal.signal_type).label)


@register.filter
def outcome(signal: SignalLog) -> str:
    """What became of a signal."""
    return gettext(SignalLog.Outcome(signal.outcome).label) if signal.outcome else ""


@register.filter
def side(name: str) -> str:
    """The side of a bracket."""
    return gettext(name) if name else "–"


@register.filter
def milliseconds(moment: datetime | str | None) -> str:
    """An instant for scripts."""
    return str(clock.to_ms(moment)) if isinstance(moment, datetime) else ""


@register.filter
def utc(moment: datetime | None, form: str = "") -> SafeString | str:
    """A time in UTC, with its date if that is not today; scripts may show it as local time."""
    if moment is None:
        return "–"
    machine = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    is_today = moment.date() == clock.market_now().date()
    form = form or ("%H:%M" if is_today else "%d %b %H:%M")
    month = str(MONTHS_3[moment.month])
    if get_language() == "en":
        month = month.capitalize()
    written = moment.strftime(form.replace("%b", month))
    shows_date, shows_seconds = ("1" if sign in form else "0" for sign in ("%d", "%S"))
    attributes = (machine, shows_date, shows_seconds, written)
    return format_html('<time datetime="{}" data-local data-date="{}" data-seconds="{}">{}</time>', *attributes)


@register.filter
def held_sentence(held: Held) -> str:
    """Live coverage as a sentence, with what was expected and how uncertain that is."""
    return wording.held_sentence(held.horizon, held.high, held.low, held.outcomes, held.independent)


@register.filter
def held_short(held: Held) -> str:
    """Live coverage in one line."""
    return gettext("80 %% bands held %(high)s / %(low)s of %(count)s (high / low, %(horizon)s)") % {
        "high": wording.percent_text(held.high, places=1),
        "low": wording.percent_text(held.low, places=1),
        "count": held.outcomes,
        "horizon": wording.horizon_text(held.horizon),
    }


@register.filter
def number(value: float | Decimal | None, places: int = 3) -> str:
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


@register.filter
def whole_percent(level: float) -> str:
    """A level as a whole percentage."""
    return wording.percent_text(level, places=0)


@register.filter
def with_code(text: str) -> SafeString:
    """A text in which commands between backticks are shown as code."""
    parts = enumerate(text.split("`"))
    return format_html_join("", "{}", ((format_html("<code>{}</code>", part) if i % 2 else part,) for i, part in parts))


@register.filter
def held_sign(held: bool) -> str:
    """A sign and a word for a band that held or did not."""
    return "✓ " + gettext("held") if held else "✕ " + gettext("missed")


@register.filter
def kind(name: str) -> str:
    """The name of a kind of estimator."""
    return gettext(str(Kind(name).label)) if name in Kind.values else name


@register.filter
def stored(text: str) -> str:
    """A text that the engine stores in English, in the language of the page."""
    return stored_text(text)


@register.filter
def family(name: str) -> str:
    """The name of a family of indicators."""
    return gettext(name).capitalize()
