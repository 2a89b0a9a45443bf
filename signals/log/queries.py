"""Queries of the signal log."""

from dataclasses import replace
from datetime import datetime

from marketdata.storage.selections import Selection
from predictions.errors import InvalidRequest
from predictions.log.queries import in_period, require_symbol
from signals.log.archive import last_archived_seq
from signals.models import SignalLog

NEWEST_FIRST = Selection(SignalLog, ("-candle_time", "symbol", "-seq", "id"))
"""The whole log, newest first."""


def logged(symbol: str | None, signal_type: str | None, since: datetime | None, until: datetime | None) -> Selection:
    """Rows of the log, newest first."""
    found = NEWEST_FIRST
    if symbol is not None:
        require_symbol(symbol)
        found = found.where(symbol=symbol)
    if signal_type is not None:
        found = found.where(signal_type=signal_type)
    return in_period(found, since, until)


def replayed(rows: Selection, symbol: str | None, after: int) -> Selection:
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
    return replace(rows.where(seq__gt=after), order=("seq", "id"))
