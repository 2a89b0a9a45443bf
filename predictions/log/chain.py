"""Hash chain through a log: one head per market, locked while rows are appended."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from django.db import connection
from django.db.models import Model

from marketdata.storage.value_lists import among, table_of
from predictions.errors import BrokenChain
from predictions.log.seal import GENESIS, seal_of
from predictions.models import ChainHead

PREDICTION_COLUMNS = (
    "id", "market_id", "symbol", "horizon", "candle_time", "ensemble", "model_versions", "made_at", "valid_until",
    "late", "current_price", "predicted_high", "predicted_low", "high_quantiles", "low_quantiles", "coverage",
    "data_age_seconds", "degraded", "reasons", "reason_details", "simulated", "chain_index",
)  # fmt: skip
"""Columns covered by the seal of a prediction: all but the outcome and `created_at`."""
SIGNAL_COLUMNS = (
    "id", "market_id", "symbol", "seq", "candle_time", "made_at", "valid_until", "signal_type", "confidence", "horizon",
    "entry_price", "considered_side", "take_profit", "stop_loss", "p_take_profit", "p_stop_loss", "p_neither",
    "p_break_even", "expected_net_return", "fee_rate", "reasons", "reason_details", "model_versions", "simulated",
    "chain_index",
)  # fmt: skip
"""Columns covered by the seal of a signal."""


class Sealed(Protocol):
    """Row with an index and seals of a chain."""

    chain_index: Any
    seal: Any
    previous_seal: Any


def lock_heads(log: str, market_ids: Iterable[int]) -> dict[int, ChainHead]:
    """Lock the chain heads of these markets in a fixed order; missing ones are created."""
    wanted = sorted(set(market_ids))
    found = _locked(log, wanted)
    missing = [ChainHead(market_id=market_id, log=log) for market_id in wanted if market_id not in found]
    if missing:
        ChainHead.objects.bulk_create(missing, ignore_conflicts=True)
        found = _locked(log, wanted)
    return found


def _locked(log: str, market_ids: Sequence[int]) -> dict[int, ChainHead]:
    # Before every candle's rows: building this through the ORM costs several times what the database does.
    lock = connection.ops.for_update_sql() if connection.features.has_select_for_update else ""
    condition, parameters = among("market_id", "bigint", market_ids)
    with connection.cursor() as cursor:
        cursor.execute(
            'SELECT id, market_id, "index", seal FROM chain_heads '  # noqa: S608
            f"WHERE log = %s AND {condition} ORDER BY market_id {lock}",
            [log, *parameters],
        )
        names = "id", "market_id", "index", "seal"
        heads = [ChainHead(log=log, **dict(zip(names, row, strict=True))) for row in cursor.fetchall()]
    return {head.market_id: head for head in heads}


def has_rows(log: type[Model], market_ids: Sequence[int], candle_time: datetime) -> bool:
    """Whether a log has rows of these markets and this candle; call while their heads are locked."""
    condition, parameters = among("market_id", "bigint", market_ids)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT 1 FROM {log._meta.db_table} WHERE {condition} AND candle_time = %s LIMIT 1",  # noqa: S608, SLF001
            [*parameters, connection.ops.adapt_datetimefield_value(candle_time)],
        )
        return cursor.fetchone() is not None


def append(head: ChainHead, row: Sealed, columns: Sequence[str]) -> None:
    """Append a new row to the chain and advance the head."""
    row.chain_index = head.index + 1
    row.previous_seal = head.seal
    kept = row.__dict__
    row.seal = seal_of(head.seal, {name: kept[name] for name in columns})
    head.index, head.seal = row.chain_index, row.seal


def save_heads(heads: Mapping[int, ChainHead]) -> None:
    """Save advanced heads; call in the transaction that writes the rows."""
    ids, indexes, seals = zip(*((head.pk, head.index, head.seal) for head in heads.values()), strict=True)
    moved, parameters = table_of("moved", ("bigint", ids), ("bigint", indexes), ("text", seals))
    with connection.cursor() as cursor:
        cursor.execute(
            'UPDATE chain_heads SET "index" = moved.column2, seal = moved.column3 '  # noqa: S608
            f"FROM {moved} WHERE chain_heads.id = moved.column1",
            parameters,
        )


def check_chain(
    rows: Iterable[Any], columns: Sequence[str], head: ChainHead | None, start: tuple[int, str] = (0, GENESIS)
) -> int:
    """Verify a market's chain, rows ordered by `chain_index`, and return the number of rows.

    `start` is the index and seal the first row must follow: those of the last archived row, if any.

    Raises
    ------
    BrokenChain
        Naming the first row that does not fit.
    """
    index, seal = start
    for row in rows:
        if row.chain_index != index + 1:
            raise BrokenChain(f"row {row.pk}: place {index + 1} of the chain is missing")
        if row.previous_seal != seal:
            raise BrokenChain(f"row {row.pk}: it does not follow the row before it")
        if row.seal != seal_of(seal, {name: getattr(row, name) for name in columns}):
            raise BrokenChain(f"row {row.pk}: its columns were changed after it was sealed")
        index, seal = row.chain_index, row.seal
    if head is not None and (head.index, head.seal) != (index, seal):
        raise BrokenChain(f"market {head.market_id}: the newest {head.log} row is not the head of the chain")
    return index - start[0]
