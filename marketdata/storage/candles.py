"""Storing candles as exact decimals and reading them as floats; changes leave revisions."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from django.db import IntegrityError, connection, transaction

from indicators.candles import CandleGrid
from marketdata import clock
from marketdata.errors import MarketDataError
from marketdata.exchange import closes
from marketdata.exchange.parsing import CandleRow
from marketdata.intervals import INTERVAL_MS, interval_ms
from marketdata.models import Candle, CandleRevision, Market, Source
from marketdata.storage import column_cache
from marketdata.storage.columns import COLUMNS, read_columns
from marketdata.storage.feature_inputs import feature_columns, other_market_ids

FIELDS = CandleRow._fields
FLOWS = ("quote_volume", "trades", "taker_buy_base", "taker_buy_quote")
_ARRAY_TYPES = {"open_time": "bigint", "trades": "bigint"}
_CHUNK = 500
CONFIRM_MINUTES = closes.SHOW_UNCONFIRMED_AFTER_MS // 60_000
Key = tuple[int, int]
"""A market and an open time."""


class SaveResult(NamedTuple):
    """Result of a save, in numbers of candles."""

    inserted: int = 0
    unchanged: int = 0
    revised: int = 0

    def __add__(self, other: "SaveResult") -> "SaveResult":  # type: ignore[override]
        return SaveResult(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


def save_candles(market: Market, rows: Sequence[CandleRow], origin: str) -> SaveResult:
    """Store closed candles of one market; a differing one becomes a revision."""
    return save_all({market: rows}, origin)


def save_all(rows_by_market: Mapping[Market, Sequence[CandleRow]], origin: str) -> SaveResult:
    """Store closed candles of many markets in one transaction with few statements."""
    wanted = {(market.id, row.open_time): row for market, rows in rows_by_market.items() for row in rows}
    keys = sorted(wanted)
    result = SaveResult()
    # Candles of the stream are usually new: then nothing needs to be compared.
    is_probably_new = origin == Candle.Origin.STREAM and connection.vendor == "postgresql"
    if is_probably_new and keys and _copy_new(keys, wanted, origin):
        return SaveResult(len(keys))
    with transaction.atomic():
        for start in range(0, len(keys), _CHUNK):
            chunk = keys[start : start + _CHUNK]
            insert = _insert_postgresql if connection.vendor == "postgresql" else _insert_sqlite
            inserted, to_compare = insert(chunk, wanted, origin)
            revised = revise_differing(to_compare, wanted, origin) if to_compare else 0
            result += SaveResult(inserted, len(chunk) - inserted - revised, revised)
    return result


def _copy_new(keys: list[Key], wanted: Mapping[Key, CandleRow], origin: str) -> bool:
    """Store candles that are all new; store none and return False if one exists or is invalid.

    One statement is its own transaction: on the live path each further round trip costs as much as a hundred candles.
    """
    constants = f"\t{origin}\t0\t{clock.wall_now().isoformat()}\n"
    lines = ("\t".join([str(key[0]), *("\\N" if cell is None else str(cell) for cell in wanted[key])]) for key in keys)
    statement = f"COPY candles (market_id, {', '.join(FIELDS)}, origin, revision, received_at) FROM STDIN"
    try:
        with (
            transaction.atomic() if connection.in_atomic_block else nullcontext(),
            connection.cursor() as cursor,
            connection.wrap_database_errors,
            cursor.copy(statement) as copy,
        ):
            copy.write("".join(line + constants for line in lines))
    except IntegrityError:
        return False
    return True


def _insert_postgresql(keys: list[Key], wanted: Mapping[Key, CandleRow], origin: str) -> tuple[int, list[Key]]:
    """Insert new candles and compare existing ones in one statement.

    Returns the number inserted and the keys to compare in detail. A candle stored by another process while this runs
    is neither inserted nor visible, so its key is returned as well.
    """
    arrays = ", ".join(f"%s::{_ARRAY_TYPES.get(name, 'numeric')}[]" for name in FIELDS)
    columns = [_array(column) for column in zip(*(wanted[key] for key in keys), strict=True)]
    differs = " OR ".join(f"stored.{name} <> staged.{name}" for name in FIELDS[1:])
    lacking = " OR ".join(f"(stored.{name} IS NULL AND staged.{name} IS NOT NULL)" for name in FLOWS)
    if origin != Candle.Origin.IMPORT:
        lacking += f" OR stored.origin = '{Candle.Origin.IMPORT.value}'"  # it may need this confirmation
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH staged AS (SELECT * FROM unnest(%s::bigint[], {arrays}) AS row (market_id, {', '.join(FIELDS)})), "  # noqa: S608
            f"fresh AS (INSERT INTO candles (market_id, {', '.join(FIELDS)}, origin, revision, received_at) "
            "SELECT staged.*, %s, 0, %s FROM staged ON CONFLICT (market_id, open_time) DO NOTHING "
            "RETURNING market_id, open_time) "
            "SELECT (SELECT count(*) FROM fresh), array(SELECT array[market_id, open_time] FROM staged "
            "LEFT JOIN fresh USING (market_id, open_time) LEFT JOIN candles stored USING (market_id, open_time) "
            f"WHERE fresh.* IS NULL AND (stored.id IS NULL OR {differs} OR {lacking}))",
            [_array(key[0] for key in keys), *columns, origin, clock.wall_now()],
        )
        inserted, to_compare = cursor.fetchone()
    return inserted, [(market_id, open_time) for market_id, open_time in to_compare]


def _array(cells: Iterable[Decimal | int | None]) -> str:
    """Numbers as the text of an array, much faster than the driver's own conversion."""
    return f"{{{','.join('NULL' if cell is None else str(cell) for cell in cells)}}}"


def _insert_sqlite(keys: list[Key], wanted: Mapping[Key, CandleRow], origin: str) -> tuple[int, list[Key]]:
    """Insert new candles and compare existing ones; the number inserted and the keys to compare."""
    encoders = [_encoder(name) for name in FIELDS]
    values = [
        [key[0], *(encode(cell, connection) for encode, cell in zip(encoders, wanted[key], strict=True))]
        for key in keys
    ]
    now = _encoder("received_at")(clock.wall_now(), connection)
    marks = ", ".join([f"({', '.join(['%s'] * (len(FIELDS) + 1))}, %s, 0, %s)"] * len(keys))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO candles (market_id, {', '.join(FIELDS)}, origin, revision, received_at) VALUES {marks} "  # noqa: S608
            "ON CONFLICT (market_id, open_time) DO NOTHING RETURNING market_id, open_time",
            [cell for row in values for cell in (*row, origin, now)],
        )
        fresh = set(cursor.fetchall())
    existing = {key: tuple(row[1:]) for key, row in zip(keys, values, strict=True) if key not in fresh}
    return len(fresh), _differing_sqlite(existing, origin) if existing else []


def _differing_sqlite(wanted: Mapping[Key, tuple[Any, ...]], origin: str) -> list[Key]:
    """Keys whose stored candle differs or is of a file; new nulls are not compared."""
    markets, opens = ({key[at] for key in wanted} for at in (0, 1))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT market_id, {', '.join(FIELDS)} FROM candles "  # noqa: S608
            f"WHERE (%s = 'import' OR origin <> 'import') AND market_id IN ({', '.join(['%s'] * len(markets))}) "
            f"AND open_time IN ({', '.join(['%s'] * len(opens))})",
            [origin, *markets, *opens],
        )
        stored = {(row[0], row[1]): row[1:] for row in cursor.fetchall()}
    alike = {
        key
        for key, cells in wanted.items()
        if key in stored and all(new is None or new == old for new, old in zip(cells, stored[key], strict=True))
    }
    return [key for key in wanted if key not in alike]


def _encoder(name: str) -> Callable[[Any, Any], Any]:
    encode: Callable[[Any, Any], Any] = Candle._meta.get_field(name).get_db_prep_save  # type: ignore[union-attr]  # noqa: SLF001
    return encode


def revise_differing(keys: list[Key], wanted: Mapping[Key, CandleRow], origin: str) -> int:
    """Compare stored candles with new ones; a difference updates the row and creates a revision.

    A candle of a file for which the exchange gives the same values is confirmed: its origin becomes the exchange.

    Raises
    ------
    MarketDataError
        If a file differs from the exchange in a candle so recent that a signal may be based on it.
    """
    stored = Candle.objects.select_for_update(of=("self",)).filter(
        market_id__in={key[0] for key in keys}, open_time__in={key[1] for key in keys}
    )
    revisions: list[CandleRevision] = []
    changed: list[Candle] = []
    completed: dict[int, Candle] = {}
    recent, unconfirmed = (
        {source.value: closes.first_open_to_confirm(source, after_ms) for source in Source}
        for after_ms in (closes.SHOW_UNCONFIRMED_AFTER_MS, closes.SIGNAL_UNCONFIRMED_AFTER_MS)
    )
    for candle in stored.select_related("market").order_by("market_id", "open_time"):
        row = wanted.get((candle.market_id, candle.open_time))
        if row is None:
            continue
        differs = differing(candle, row)
        source = candle.market.source
        for name in FLOWS:  # values that an earlier source lacked are filled in; existing ones are not changed
            if getattr(candle, name) is None and getattr(row, name) is not None and not differs:
                setattr(candle, name, getattr(row, name))
                completed[candle.pk] = candle
        if differs and origin == Candle.Origin.IMPORT != candle.origin and candle.open_time >= recent[source]:
            raise MarketDataError(
                f"the file differs from the exchange in the candle at {candle.open_time} "
                f"({', '.join(differs)}), which closed recently; import it in {CONFIRM_MINUTES} minutes"
            )
        if differs:
            revisions.append(revise(candle, row, origin))
            changed.append(candle)
        elif candle.origin == Candle.Origin.IMPORT != origin and candle.open_time >= unconfirmed[source]:
            candle.origin = origin
            completed[candle.pk] = candle
    if completed:
        Candle.objects.bulk_update(list(completed.values()), [*FLOWS, "origin"])
    if changed:
        Candle.objects.bulk_update(changed, [*FIELDS[1:], "origin", "revision"])
        CandleRevision.objects.bulk_create(revisions)
    return len(changed)


def differing(candle: Candle, row: CandleRow) -> list[str]:
    """Columns that are not null on either side and differ."""
    pairs = {name: (getattr(candle, name), getattr(row, name)) for name in FIELDS[1:]}
    return [name for name, (mine, theirs) in pairs.items() if None not in {mine, theirs} and mine != theirs]


def revise(candle: Candle, row: CandleRow, origin: str) -> CandleRevision:
    """Put new values into a stored candle and return the unsaved revision."""
    before = json_values(candle)
    for name in FIELDS[1:]:
        if getattr(row, name) is not None:
            setattr(candle, name, getattr(row, name))
    candle.origin, candle.revision = origin, candle.revision + 1
    return CandleRevision(
        market_id=candle.market_id, open_time=candle.open_time, before=before, after=json_values(candle), origin=origin
    )


def json_values(candle: Candle | CandleRow) -> dict[str, str | int | None]:
    """Columns of a candle as JSON values, decimals as text."""
    cells = {name: getattr(candle, name) for name in FIELDS[1:]}
    return {name: f"{cell:.8f}" if isinstance(cell, Decimal) else cell for name, cell in cells.items()}


def load_grid(markets: Sequence[Market], end_open_ms: int, rows: int) -> CandleGrid:
    """Read the `rows` candles up to the one opening at `end_open_ms`; missing ones are NaN."""
    length_ms = _shared_interval(markets)
    return load_span(markets, end_open_ms - (rows - 1) * length_ms, end_open_ms + length_ms)


def load_span(markets: Sequence[Market], from_ms: int, until_ms: int) -> CandleGrid:
    """Read the candles opening in ``[from_ms, until_ms)`` as a grid; missing ones are NaN.

    Beside them stand the other markets, and the further columns, that installed features read.
    """
    length_ms = _shared_interval(markets)
    start = -(-from_ms // length_ms) * length_ms
    open_time = np.arange(start, max(until_ms, start), length_ms, dtype=np.int64)
    ids = [market.id for market in markets]
    others = other_market_ids(markets[0].source if markets else "")
    read, columns = list(dict.fromkeys([*ids, *others.values()])), feature_columns()
    if column_cache.is_used(read, len(open_time), length_ms):
        values = column_cache.read_blocks(read, start, len(open_time), columns)
    else:
        values = read_rows(read, start, len(open_time), length_ms, columns)
    return as_grid(open_time, values, read, ids, others, length_ms, columns)


def as_grid(
    open_time: npt.NDArray[np.int64],
    values: Any,
    read: Sequence[int],
    ids: Sequence[int],
    others: Mapping[str, int],
    length_ms: int = INTERVAL_MS,
    columns: Sequence[str] = COLUMNS,
) -> CandleGrid:
    """Grid of some markets beside the others, from what was read of all of them.

    Parameters
    ----------
    open_time : int64 array of shape (n,)
    values : float64 array of shape (len(columns), len(read), n)
    read, ids : sequence of int
        Markets that were read, and those of the grid.
    others : mapping of symbol to id
    length_ms : int
    columns : sequence of str
        Those of every candle, then further ones.
    """
    plain = len(COLUMNS)
    beside = {
        symbol: CandleGrid(open_time, *values[:plain, [list(read).index(key)]], interval_ms=length_ms)  # type: ignore[misc]
        for symbol, key in others.items()
    }
    own = values if list(read) == list(ids) else values[:, [list(read).index(key) for key in ids]]
    further = dict(zip(columns[plain:], own[plain:], strict=True))
    return CandleGrid(open_time, *own[:plain], interval_ms=length_ms, others=beside, further=further)  # type: ignore[misc]


def read_rows(
    market_ids: Sequence[int],
    start: int,
    n_candles: int,
    length_ms: int = INTERVAL_MS,
    columns: Sequence[str] = COLUMNS,
) -> Any:
    """Columns of candles from `start` on, shape (columns, markets, candles), without the file cache."""
    ids = np.array(market_ids, dtype=np.int64)
    order = np.argsort(ids)
    found = read_columns(market_ids, start, start + n_candles * length_ms, length_ms, columns)
    row = order[np.searchsorted(ids, found["market_id"], sorter=order)]
    position = (found["open_time"] - start) // length_ms
    values = np.full((len(columns), len(ids), n_candles), np.nan)
    for index, name in enumerate(columns):
        values[index, row, position] = found[name]
    return values


def newest_open(markets: Sequence[Market]) -> dict[int, int | None]:
    """Open of the newest confirmed candle of each market, None without any.

    A row later than the market's clock does not count, nor does a new one of a file before the exchange confirms it.
    """
    return _newest(
        markets, closes.confirmed_sql("candles", "markets.source = 'exchange'", closes.SHOW_UNCONFIRMED_AFTER_MS)
    )


def newest_stored(markets: Sequence[Market]) -> dict[int, int | None]:
    """Open of the newest row of each market, including rows from the future."""
    return _newest(markets, "true")


def _newest(markets: Sequence[Market], condition: str) -> dict[int, int | None]:
    if not markets:
        return {}
    # Run at every iteration of the feed: the ORM would take several times as long as the database.
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, (SELECT open_time FROM candles "  # noqa: S608
            f"WHERE market_id = markets.id AND {condition} ORDER BY open_time DESC LIMIT 1) "
            f"FROM markets WHERE id IN ({_marks(markets)})",
            [market.id for market in markets],
        )
        return dict(cursor.fetchall())


def count_stored(market: Market, from_ms: int, until_ms: int) -> int:
    """Count the candles stored in a span."""
    return counts_stored([market], from_ms, until_ms)[market.id]


def counts_stored(
    markets: Sequence[Market], from_ms: int, until_ms: int, *, only_confirmed: bool = False
) -> dict[int, int]:
    """Count the stored candles of each market in a span, in one statement."""
    counts = dict.fromkeys((market.id for market in markets), 0)
    where = _within(markets, only_confirmed=only_confirmed)
    if markets:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT market_id, count(*) FROM candles WHERE {where} GROUP BY market_id",  # noqa: S608
                [*counts, from_ms, until_ms],
            )
            counts.update(cursor.fetchall())
    return counts


def _within(markets: Sequence[Market], *, only_confirmed: bool) -> str:
    """Condition on candles of the markets in a span; unconfirmed ones are excluded without a join of the markets."""
    condition = f"market_id IN ({_marks(markets)}) AND open_time >= %s AND open_time < %s"
    if not only_confirmed:
        return condition
    real = ", ".join(str(market.id) for market in markets if market.source == Source.EXCHANGE)
    is_real = f"candles.market_id IN ({real})" if real else "1 = 0"
    return f"{condition} AND {closes.confirmed_sql('candles', is_real, closes.SIGNAL_UNCONFIRMED_AFTER_MS)}"


def _marks(markets: Sequence[Market]) -> str:
    return ", ".join(["%s"] * len(markets))


def stored_opens(
    markets: Sequence[Market], from_ms: int, until_ms: int, *, only_confirmed: bool = False
) -> dict[int, list[int]]:
    """List the stored opens of each market in a span, ascending."""
    found: dict[int, list[int]] = {market.id: [] for market in markets}
    where = _within(markets, only_confirmed=only_confirmed)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT market_id, open_time FROM candles WHERE {where} ORDER BY market_id, open_time",  # noqa: S608
            [*found, from_ms, until_ms],
        )
        for market_id, at in cursor.fetchall():
            found[market_id].append(at)
    return found


def _shared_interval(markets: Sequence[Market]) -> int:
    lengths = {interval_ms(market.interval) for market in markets}
    if len(lengths) != 1:
        raise MarketDataError("a window needs at least one market, and all of one interval")
    return lengths.pop()
