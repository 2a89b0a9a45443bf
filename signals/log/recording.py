"""Writing of signals: row, seq, seal and outbox message in one transaction."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from marketdata import clock
from marketdata.storage import new_rows
from marketdata.storage.value_lists import among, table_of
from predictions.log import chain
from predictions.log.recording import price
from predictions.models import ChainHead
from predictions.validity import valid_until_ms
from signals.drafting import Draft
from signals.log.payloads import signal_bytes
from signals.models import OutboxMessage, SignalLog, SymbolSequence


def record(drafts: Sequence[Draft], made_at_ms: int) -> list[SignalLog]:
    """Store drafts and return the new rows; a candle that has a row keeps it."""
    if not drafts:
        return []
    with transaction.atomic(savepoint=False):
        sequences = _lock_sequences({one.market.symbol for one in drafts})
        heads = chain.lock_heads(ChainHead.Log.SIGNALS, [one.market.pk for one in drafts])
        known = _known(list(heads), [one.open_ms for one in drafts])
        wanted = [one for one in drafts if (one.market.pk, one.open_ms) not in known]
        fresh: list[SignalLog] = []
        new_rows.insert(_fresh_rows(wanted, made_at_ms, sequences, heads, fresh))
        if fresh:
            new_rows.insert(_messages(fresh))
            _save_sequences(sequences.values())
            chain.save_heads(heads)
    return fresh


def _known(market_ids: Sequence[int], opens: Sequence[int]) -> set[tuple[int, int]]:
    """Market ids and open times (ms) of the signals of a span; after a close none, which is asked without the ORM."""
    first, last = clock.to_datetime(min(opens)), clock.to_datetime(max(opens))
    if first == last and not chain.has_rows(SignalLog, market_ids, first):
        return set()
    known = SignalLog.objects.filter(market_id__in=market_ids, candle_time__gte=first, candle_time__lte=last)
    return {(market_id, clock.to_ms(at)) for market_id, at in known.values_list("market_id", "candle_time")}


def _fresh_rows(
    drafts: Sequence[Draft],
    made_at_ms: int,
    sequences: Mapping[str, SymbolSequence],
    heads: Mapping[int, ChainHead],
    fresh: list[SignalLog],
) -> Iterator[SignalLog]:
    """Sealed rows of drafts, oldest first, each added to `fresh`, its sequence and its chain when it is taken."""
    template = new_rows.Template(SignalLog)
    for one in sorted(drafts, key=lambda one: (one.open_ms, one.market.symbol)):
        sequence = sequences[one.market.symbol]
        sequence.head += 1
        row = template.row(_columns(one, sequence.head, made_at_ms))
        chain.append(heads[one.market.pk], row, chain.SIGNAL_COLUMNS)
        fresh.append(row)
        yield row


def _lock_sequences(symbols: Iterable[str]) -> dict[str, SymbolSequence]:
    """Lock the sequences of these symbols in a fixed order; missing ones are created."""
    wanted = sorted(symbols)
    found = _locked(wanted)
    missing = [SymbolSequence(symbol=symbol) for symbol in wanted if symbol not in found]
    if missing:
        SymbolSequence.objects.bulk_create(missing, ignore_conflicts=True)
        found = _locked(wanted)
    return found


def _locked(symbols: Sequence[str]) -> dict[str, SymbolSequence]:
    lock = connection.ops.for_update_sql() if connection.features.has_select_for_update else ""
    condition, parameters = among("symbol", "text", symbols)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT symbol, head FROM symbol_sequences WHERE {condition} ORDER BY symbol {lock}",  # noqa: S608
            parameters,
        )
        return {symbol: SymbolSequence(symbol=symbol, head=head) for symbol, head in cursor.fetchall()}


def _save_sequences(sequences: Collection[SymbolSequence]) -> None:
    symbols, heads = zip(*((sequence.symbol, sequence.head) for sequence in sequences), strict=True)
    moved, parameters = table_of("moved", ("text", symbols), ("bigint", heads))
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE symbol_sequences SET head = moved.column2 "  # noqa: S608
            f"FROM {moved} WHERE symbol = moved.column1",
            parameters,
        )


def _messages(rows: Iterable[SignalLog]) -> Iterator[OutboxMessage]:
    """Outbox messages of new signals."""
    template, now = new_rows.Template(OutboxMessage), clock.wall_now()
    for row in rows:
        payload = signal_bytes(row).decode()
        yield template.row(
            {"signal_id": row.pk, "symbol": row.symbol, "seq": row.seq, "payload": payload, "written_at": now}
        )


def _columns(one: Draft, seq: int, made_at_ms: int) -> dict[str, Any]:
    """Columns of one signal."""
    bracket = one.bracket
    actionable = one.signal_type != SignalLog.Type.HOLD
    return {
        "id": clock.new_id(),
        "market_id": one.market.pk,
        "symbol": one.market.symbol,
        "seq": seq,
        "candle_time": clock.to_datetime(one.open_ms),
        "made_at": clock.to_datetime(made_at_ms),
        "valid_until": clock.to_datetime(valid_until_ms(one.open_ms)),
        "signal_type": one.signal_type,
        "confidence": Decimal(f"{bracket['p_take_profit']:.4f}") if actionable else None,
        "horizon": one.horizon,
        "entry_price": price(one.close),
        "considered_side": one.considered_side,
        "take_profit": price(bracket["take_profit"]) if bracket else None,
        "stop_loss": price(bracket["stop_loss"]) if bracket else None,
        "p_take_profit": bracket.get("p_take_profit"),
        "p_stop_loss": bracket.get("p_stop_loss"),
        "p_neither": bracket.get("p_neither"),
        "p_break_even": bracket.get("p_break_even"),
        "expected_net_return": bracket.get("expected_net_return"),
        "fee_rate": settings.FEE_RATE,
        "reasons": one.reasons,
        "reason_details": one.reason_details,
        "model_versions": one.model_versions,
        "simulated": one.market.simulated,
    }
