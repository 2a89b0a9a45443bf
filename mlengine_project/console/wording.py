"""Formatting of prices, percentages, horizons, ages and skills as text."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from django.utils.translation import gettext, ngettext

MINUTES_PER_CANDLE = 5
SURE_FROM_OUTCOMES = 30
"""With fewer independent outcomes, or days of tests, no skill counts as sure."""


@dataclass(frozen=True)
class SkillText:
    """A skill in words, and whether it is surely better or worse than its baseline."""

    text: str
    tone: str
    """`better`, `worse` or `unsure`; only the first two may have a colour."""


def price_places(price: Decimal) -> int:
    """Decimals worth showing for a price of this size.

    >>> [price_places(Decimal(text)) for text in ("64210.5", "3.21", "0.0000123")]
    [2, 4, 8]
    """
    size = abs(price)
    if size >= 1000:
        return 2
    if size >= 1:
        return 4
    return 6 if size >= Decimal("0.01") else 8


def price_text(price: Decimal | str | None, places: int | None = None) -> str:
    """Write a price with thousands separators and its market's decimals, or those of its size.

    >>> price_text("64210.50000000", 1), price_text("64210.5"), price_text(Decimal("0.00001234")), price_text(None)
    ('64,210.5', '64,210.50', '0.00001234', '–')
    """
    if price is None:
        return "–"
    amount = Decimal(price)
    return f"{amount:,.{price_places(amount) if places is None else places}f}"


def percent_text(ratio: float | Decimal | None, places: int = 2, signed: bool = False) -> str:
    """Write a ratio as a percentage with a true minus sign.

    >>> percent_text(0.0123), percent_text(-0.005, signed=True), percent_text(0.002, signed=True), percent_text(None)
    ('1.23 %', '−0.50 %', '+0.20 %', '–')
    """
    if ratio is None:
        return "–"
    number = float(ratio) * 100
    written = f"{abs(number):.{places}f} %"
    if number < 0 and written != f"{0:.{places}f} %":
        return "−" + written
    return "+" + written if signed and number > 0 else written


def skill_sentence(
    skill: float | None, half_width: float | None, against: str, outcomes: int, unit: str = "outcomes"
) -> SkillText:
    """The one way to write a skill: percent, interval, baseline and number of independent outcomes.

    Parameters
    ----------
    skill : float or None
        Share of the baseline's loss that is saved.
    half_width : float or None
        Half of the 95 % interval of the skill, as a fraction; None if it is unknown.
    against : str
        Name of the baseline.
    outcomes : int
        Number of outcomes without overlap, or of days.
    unit : {"outcomes", "days"}
        What `outcomes` counts.

    Examples
    --------
    >>> skill_sentence(0.009, 0.015, "HAR", 412)
    SkillText(text='+0.90 % ± 1.50 against HAR, 412 independent outcomes', tone='unsure')
    >>> skill_sentence(0.031, 0.012, "EWM", 412).tone, skill_sentence(0.031, 0.012, "EWM", 6).tone
    ('better', 'unsure')
    >>> skill_sentence(0.031, 0.012, "EWM", 1607).text
    '+3.10 % ± 1.20 against EWM, 1,607 independent outcomes'
    >>> skill_sentence(-0.02, None, "EWM", 10, "days")
    SkillText(text='−2.00 %, interval unknown, against EWM, 10 days', tone='unsure')
    >>> skill_sentence(None, None, "EWM", 0).text
    'No skill against EWM is known yet'
    """
    if skill is None:
        return SkillText(gettext("No skill against %(against)s is known yet") % {"against": against}, "unsure")
    if unit == "days":
        counted = ngettext("%(count)s day", "%(count)s days", outcomes) % {"count": f"{outcomes:,}"}
    else:
        plural = ngettext("%(count)s independent outcome", "%(count)s independent outcomes", outcomes)
        counted = plural % {"count": f"{outcomes:,}"}
    words = {"skill": percent_text(skill, signed=True), "against": against, "counted": counted}
    if half_width is None:
        text = gettext("%(skill)s, interval unknown, against %(against)s, %(counted)s") % words
        return SkillText(text, "unsure")
    words["half_width"] = f"{100 * half_width:.2f}"
    text = gettext("%(skill)s ± %(half_width)s against %(against)s, %(counted)s") % words
    # The gate requires as many days of tests.
    sure = abs(skill) > half_width and outcomes >= SURE_FROM_OUTCOMES
    return SkillText(text, ("better" if skill > 0 else "worse") if sure else "unsure")


def half_width(skill: float | None, interval: Mapping[str, float] | None) -> float | None:
    """Larger distance of a skill from the ends of its interval; None without one.

    >>> round(half_width(0.03, {"lower": 0.01, "upper": 0.04}), 4), half_width(0.03, None)
    (0.02, None)
    """
    if skill is None or interval is None:
        return None
    return max(skill - interval["lower"], interval["upper"] - skill)


def held_sentence(horizon: int, high: float, low: float, outcomes: int, independent: int) -> str:
    """How often the 80 % bands of a horizon held, beside what chance alone would explain.

    >>> held_sentence(6, 0.791, 0.803, 412, 68)
    '80 % bands of the next 30 min held 79.1 % (high) and 80.3 % (low) of 412 outcomes (expected 80 ± 9.5 %)'
    """
    margin = 1.96 * (0.8 * 0.2 / independent) ** 0.5
    return gettext(
        "80 %% bands of the next %(horizon)s held %(high)s (high) and %(low)s (low) of %(count)d outcomes "
        "(expected 80 ± %(margin).1f %%)"
    ) % {
        "horizon": horizon_text(horizon),
        "high": percent_text(high, places=1),
        "low": percent_text(low, places=1),
        "count": outcomes,
        "margin": 100 * margin,
    }


def horizon_text(candles: int) -> str:
    """Write a horizon as a span of time.

    >>> [horizon_text(candles) for candles in (6, 18, 36, 72, 288, 432)]
    ['30 min', '1 h 30', '3 h', '6 h', '24 h', '36 h']
    """
    hours, minutes = divmod(candles * MINUTES_PER_CANDLE, 60)
    if not hours:
        return f"{minutes} min"
    return f"{hours} h {minutes:02d}" if minutes else f"{hours} h"


def age_text(seconds: float) -> str:
    """Write an age in the same form as the page scripts.

    >>> [age_text(seconds) for seconds in (7, 190, 7_500, 200_000)]
    ['7 s', '3 min 10 s', '2 h 5 min', '2 d 7 h']
    """
    whole = max(0, int(seconds))
    for unit, large, small, small_size in ((86_400, "d", "h", 3_600), (3_600, "h", "min", 60), (60, "min", "s", 1)):
        if whole >= unit:
            rest = whole % unit // small_size
            return f"{whole // unit} {large} {rest} {small}"
    return f"{whole} s"
