"""Formatting of prices, percentages, horizons and ages as text."""

from decimal import Decimal

MINUTES_PER_CANDLE = 5


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


def price_text(price: Decimal | str | None) -> str:
    """Write a price with thousands separators and the decimals of its size.

    >>> price_text("64210.50000000"), price_text(Decimal("0.00001234")), price_text(None)
    ('64,210.50', '0.00001234', '–')
    """
    if price is None:
        return "–"
    amount = Decimal(price)
    return f"{amount:,.{price_places(amount)}f}"


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


def horizon_text(candles: int) -> str:
    """Write a horizon as a span of time.

    >>> [horizon_text(candles) for candles in (6, 18, 36, 72, 288, 432)]
    ['30 min', '90 min', '3 h', '6 h', '24 h', '36 h']
    """
    minutes = candles * MINUTES_PER_CANDLE
    return f"{minutes} min" if minutes < 120 or minutes % 60 else f"{minutes // 60} h"


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
