"""Bulk storage of candle files, under the same rules as any other candle.

Stored candles stay; differing ones become revisions; flows that an earlier source lacked are filled in.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from django.db import IntegrityError, connection, transaction

from marketdata import clock
from marketdata.errors import MarketDataError
from marketdata.files.tables import FLOWS, PRICES, CandleTable
from marketdata.models import Candle, Market
from marketdata.storage import candles
from marketdata.storage.candles import FIELDS, SaveResult, revise_differing

CHUNK = 20_000
MIN_OVERLAP = 2
"""Stored candles a file must overlap with before their agreement is checked."""
NUMERIC = ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_base", "taker_buy_quote")
_COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END = b"\xff\xff"
_DIGITS = 7


class MostlyRevised(MarketDataError):
    """A file that differs from most of the stored candles; the message follows its name."""


def save_table(
    market: Market,
    table: CandleTable,
    origin: str,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    *,
    revise: bool = False,
) -> SaveResult:
    """Store all rows of a file in one transaction.

    Raises
    ------
    MostlyRevised
        If more than half of at least two stored candles would become revisions and `revise` is false.
    """
    with transaction.atomic():
        if _copy_directly(market, table, origin, progress):
            return SaveResult(inserted=len(table))
        _stage(table, progress)
        inserted = _insert_new(market, origin)
        revised = 0
        if inserted < len(table):
            different = _different(market)
            _check_agreement(different, overlap=len(table) - inserted, revise=revise)
            revised = _revise(market, table, origin, different)
            _fill_flows(market)
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE candle_staging")
    return SaveResult(inserted, len(table) - inserted - revised, revised)


def _copy_directly(market: Market, table: CandleTable, origin: str, progress: Callable[[int, int], None]) -> bool:
    """Store a file without a staging table; False if some of its candles exist already."""
    if connection.vendor != "postgresql":
        return False
    if candles.count_stored(market, int(table.open_time.min(initial=0)), int(table.open_time.max(initial=0)) + 1):
        return False
    epoch = datetime(2000, 1, 1, tzinfo=UTC)
    constants = {
        "market_id": struct.pack(">q", market.pk),
        "origin": origin.encode(),
        "revision": struct.pack(">h", 0),
        "received_at": struct.pack(">q", (clock.wall_now() - epoch) // timedelta(microseconds=1)),
    }
    try:
        with transaction.atomic():
            _disable_statement_timeout()
            _copy_postgresql(table, progress, "candles", constants)
    except IntegrityError:  # the feed stored a candle meanwhile; a broken rule is reported by the other path
        return False
    return True


def _disable_statement_timeout() -> None:
    """Disable the statement timeout for this transaction: a file may hold many years."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")


def _stage(table: CandleTable, progress: Callable[[int, int], None]) -> None:
    postgresql = connection.vendor == "postgresql"
    kind = "numeric" if postgresql else "text"
    types = [f"{name} {kind if name in NUMERIC else 'bigint'}" for name in FIELDS]
    with connection.cursor() as cursor:
        if postgresql:
            _disable_statement_timeout()
        cursor.execute("DROP TABLE IF EXISTS candle_staging")
        cursor.execute(f"CREATE TEMPORARY TABLE candle_staging ({', '.join(types)})")
    (_copy_postgresql if postgresql else _insert_sqlite)(table, progress)
    with connection.cursor() as cursor:
        cursor.execute(
            "ANALYZE candle_staging" if postgresql else "CREATE UNIQUE INDEX temp.staged ON candle_staging (open_time)"
        )


def _chunks(table: CandleTable) -> Iterator[tuple[int, list[str], npt.NDArray[np.int64]]]:
    """Yield chunks of rows that lack the same flows: rows done so far, columns, positions."""
    lacking = sum(table.columns[name].missing.astype(np.int64) << bit for bit, name in enumerate(FLOWS))
    done = 0
    for pattern in np.unique(lacking):
        present = [name for bit, name in enumerate(FLOWS) if not pattern >> bit & 1]
        rows = np.flatnonzero(lacking == pattern)
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            done += len(part)
            yield done, [*PRICES, "volume", *present], part


def _copy_postgresql(
    table: CandleTable,
    progress: Callable[[int, int], None],
    target: str = "candle_staging",
    constants: Mapping[str, bytes] = MappingProxyType({}),
) -> None:
    """Binary COPY from the columns; `constants` are encoded fields equal in every row."""
    for done, names, rows in _chunks(table):
        columns = ", ".join([*constants, "open_time", *names])
        statement = f"COPY {target} ({columns}) FROM STDIN (FORMAT BINARY)"
        with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(statement) as copy:
            copy.write(_COPY_HEAD + _copy_rows(table, names, rows, constants).tobytes() + _COPY_END)
        progress(done, len(table))


def _copy_rows(
    table: CandleTable, names: list[str], rows: npt.NDArray[np.int64], constants: Mapping[str, bytes]
) -> npt.NDArray[np.void]:
    """Rows of the binary COPY protocol: field count, then length and bytes of each field."""
    prefix = b"".join(struct.pack(">i", len(content)) + content for content in constants.values())
    layout: list[tuple[str, str] | tuple[str, str, int]] = [
        ("count", ">i2"),
        ("constants", f"V{len(prefix)}"),
        ("time_size", ">i4"),
        ("open_time", ">i8"),
    ]
    for name in names:
        if name == "trades":
            layout += [("trades_size", ">i4"), ("trades", ">i8")]
        else:
            layout += [(f"{name}_size", ">i4"), (f"{name}_head", ">i2", 4), (name, ">i2", _DIGITS)]
    encoded = np.zeros(len(rows), dtype=np.dtype(layout))
    encoded["count"], encoded["time_size"], encoded["open_time"] = (
        len(constants) + len(names) + 1,
        8,
        table.open_time[rows],
    )
    if prefix:
        encoded["constants"] = np.void(prefix)
    for name in names:
        column = table.columns[name].take(rows)
        if name == "trades":
            encoded["trades_size"], encoded["trades"] = 8, column.whole
            continue
        digits, weight = column.to_numeric_digits()
        encoded[f"{name}_size"] = 8 + 2 * _DIGITS
        encoded[f"{name}_head"] = [_DIGITS, weight, 0, 8]
        encoded[name] = digits
    return encoded


def _insert_sqlite(table: CandleTable, progress: Callable[[int, int], None]) -> None:
    for done, names, rows in _chunks(table):
        cells = [table.open_time[rows].tolist()]
        for name in names:
            column = table.columns[name].take(rows)
            digits = int(Candle._meta.get_field(name).max_digits or 0) if name in NUMERIC else 0  # type: ignore[union-attr]  # noqa: SLF001
            cells.append(column.to_text(digits) if digits else column.whole.tolist())
        marks = ", ".join(["%s"] * len(cells))
        with connection.cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO candle_staging (open_time, {', '.join(names)}) VALUES ({marks})",  # noqa: S608
                list(zip(*cells, strict=True)),
            )
        progress(done, len(table))


def _insert_new(market: Market, origin: str) -> int:
    columns = ", ".join(FIELDS)
    received = Candle._meta.get_field("received_at").get_db_prep_save(clock.wall_now(), connection)  # noqa: SLF001
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO candles (market_id, {columns}, origin, revision, received_at) "  # noqa: S608
            f"SELECT %s, {columns}, %s, 0, %s FROM candle_staging WHERE true ORDER BY open_time "
            "ON CONFLICT (market_id, open_time) DO NOTHING",
            [market.pk, origin, received],
        )
        return int(cursor.rowcount)


def _different(market: Market) -> list[int]:
    """Opens of stored candles with different values; a null on either side is no difference."""
    differs = " OR ".join(f"stored.{name} <> staged.{name}" for name in FIELDS[1:])
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT staged.open_time FROM candle_staging staged JOIN candles stored "  # noqa: S608
            f"ON stored.market_id = %s AND stored.open_time = staged.open_time WHERE {differs}",
            [market.pk],
        )
        return sorted(row[0] for row in cursor.fetchall())


def _check_agreement(different: list[int], overlap: int, *, revise: bool) -> None:
    """Refuse a file that differs from most stored candles, as of another market would."""
    if revise or overlap < MIN_OVERLAP or 2 * len(different) <= overlap:
        return
    begun = f"{datetime.fromtimestamp(different[0] / 1000, UTC):%Y-%m-%d %H:%M} UTC"
    raise MostlyRevised(
        f"differs from {len(different):,} of the {overlap:,} candles that are stored already (first at {begun}), "
        "as a dump of futures, of a mark price or of another market would; nothing was imported. "
        "--revise makes its rows revisions"
    )


def _revise(market: Market, table: CandleTable, origin: str, different: list[int]) -> int:
    """Revise the stored candles that differ; return how many."""
    positions = dict(zip(table.open_time.tolist(), range(len(table)), strict=True)) if different else {}
    revised = 0
    for start in range(0, len(different), 500):
        keys = [(market.pk, open_time) for open_time in different[start : start + 500]]
        revised += revise_differing(keys, {key: table.row(positions[key[1]]) for key in keys}, origin)
    return revised


def _fill_flows(market: Market) -> None:
    lacking = " OR ".join(f"(candles.{name} IS NULL AND staged.{name} IS NOT NULL)" for name in FLOWS)
    filled = ", ".join(f"{name} = COALESCE(candles.{name}, staged.{name})" for name in FLOWS)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE candles SET {filled} FROM candle_staging staged "  # noqa: S608
            f"WHERE candles.market_id = %s AND candles.open_time = staged.open_time AND ({lacking})",
            [market.pk],
        )
