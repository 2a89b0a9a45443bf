"""Queries of published messages: heads, newest signals and ranges of a symbol's sequence.

Symbol and seq are looked up in the signal log, which has a unique index on them; sent messages have none.
"""

from collections.abc import Iterable, Mapping, Sequence

from django.db import connection
from django.db.models import Min

from marketdata.models import Market
from marketdata.storage.value_lists import table_of
from signals.log.archive import last_archived_seq
from signals.models import OutboxMessage, SymbolSequence

PAGE = 500

Entry = tuple[int, str]
"""Seq and payload."""


def known_symbols(symbols: Sequence[str]) -> set[str]:
    """Symbols among the given ones that have a market."""
    named = [symbol for symbol in symbols if "\x00" not in symbol]  # PostgreSQL rejects NUL in text
    return set(Market.objects.filter(symbol__in=named).values_list("symbol", flat=True))


def heads_of(symbols: Iterable[str]) -> dict[str, int]:
    """Newest seq of each symbol, 0 without any signal."""
    wanted = list(symbols)
    found = dict(SymbolSequence.objects.filter(symbol__in=wanted).values_list("symbol", "head"))
    return {symbol: found.get(symbol, 0) for symbol in wanted}


def first_seq(symbol: str) -> int | None:
    """Oldest seq from which a complete replay is possible; None without any signal."""
    # A symbol may have had two markets: rows of one from before the archive cut of the other are followed by gaps.
    kept = OutboxMessage.objects.filter(signal__symbol=symbol, signal__seq__gt=last_archived_seq(symbol))
    first: int | None = kept.aggregate(first=Min("signal__seq"))["first"]
    return first


def newest(heads: dict[str, int]) -> dict[str, Entry]:
    """Newest signal of each symbol."""
    found: dict[str, Entry] = {}
    rows = OutboxMessage.objects.filter(signal__symbol__in=list(heads), signal__seq__in=set(heads.values()))
    for symbol, seq, payload in rows.values_list("symbol", "seq", "payload"):
        if heads[symbol] == seq:
            found[symbol] = (seq, payload)
    return found


def newest_beyond(known: Mapping[str, int]) -> dict[str, tuple[int, str | None]]:
    """Head of each symbol in one query, with its payload if beyond the known seq."""
    if not known:
        return {}
    beyond, parameters = table_of("known", ("text", list(known)), ("bigint", list(known.values())))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sequence.symbol, head, payload "  # noqa: S608
            f"FROM {beyond} JOIN symbol_sequences AS sequence ON sequence.symbol = known.column1 "
            "LEFT JOIN signal_logs AS signal "
            "ON signal.symbol = sequence.symbol AND signal.seq = head AND head > known.column2 "
            "LEFT JOIN outbox_messages AS message ON message.signal_id = signal.id",
            parameters,
        )
        return {symbol: (head, payload) for symbol, head, payload in cursor.fetchall()}


def entries_after(symbol: str, after: int, until: int | None = None, most: int = PAGE) -> list[Entry]:
    """Up to `most` signals after a seq (exclusive) up to another (inclusive), in order."""
    rows = OutboxMessage.objects.filter(signal__symbol=symbol, signal__seq__gt=after)
    if until is not None:
        rows = rows.filter(signal__seq__lte=until)
    return list(rows.order_by("signal__seq").values_list("seq", "payload")[:most])
