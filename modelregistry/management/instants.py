"""Parsing of times on the command line."""

from datetime import UTC, datetime

from django.core.management.base import CommandError

from marketdata import clock


def read_instant(text: str | None) -> int | None:
    """Parse an ISO 8601 time (UTC by default) or milliseconds to milliseconds since 1970.

    None gives None.

    Examples
    --------
    >>> read_instant("1970-01-02"), read_instant("300000"), read_instant(None)
    (86400000, 300000, None)
    """
    if text is None:
        return None
    try:
        if text.isascii() and text.isdigit():
            return int(text)
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"{text!r} is neither an ISO 8601 time nor milliseconds") from error
    return clock.to_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
