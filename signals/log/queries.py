"""Queries of the signal log."""

from datetime import datetime

from django.db.models import Q, QuerySet

from predictions.errors import InvalidRequest
from predictions.log.queries import in_period, require_symbol
from signals.log.archive import last_archived_seq
from signals.models import SignalLog


def logged(
    symbol: str | None, signal_type: str | None, since: datetime | None, until: datetime | None
) -> QuerySet[SignalLog]:
    """Rows of the log, newest first."""
    wanted = Q()
    if symbol is not None:
        require_symbol(symbol)
        wanted &= Q(symbol=symbol)
    if signal_type is not None:
        wanted &= Q(signal_type=signal_type)
    return SignalLog.objects.filter(wanted & in_period(since, until)).order_by("-candle_time", "symbol", "-seq")


def replayed(rows: QuerySet[SignalLog], symbol: str | None, after: int) -> QuerySet[SignalLog]:
    """Rows of one symbol with a seq above `after`, in order of seq.

    Raises
    ------
    InvalidRequest
        Without a symbol, since every symbol has its own sequence; or if the rows after `after` were archived.
    """
    if symbol is None:
        raise InvalidRequest({"after": ["Needs `symbol`: every symbol has a sequence of its own."]})
    archived = last_archived_seq(symbol)
    if after < archived:
        raise InvalidRequest({"after": [f"Older signals are archived; the first signal is {archived + 1}."]})
    return rows.filter(seq__gt=after).order_by("seq")
