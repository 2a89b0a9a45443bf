"""File cache of long stretches of candles, validated by stamps in the database.

A block is 30 days of one market. Every statement that inserts, updates, deletes or truncates candles in PostgreSQL,
from the engine or by hand, gives the affected blocks new random stamps in the same transaction (triggers of migration
0005). A file name contains the stamp that was read in one statement with its candles, so equal stamps mean equal
candles; a read whose files exist needs only the query for the stamps. The files are copies: any of them may be deleted
at any time.
"""

import zlib
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import numpy as np
import numpy.typing as npt
import structlog
from django.conf import settings
from django.db import connection

from marketdata.intervals import INTERVAL_MS
from marketdata.models import CandleBlock
from marketdata.storage.columns import COLUMNS, fetch_binary, packed, unpacked

LENGTH = 8_640
LENGTH_MS = LENGTH * INTERVAL_MS
Numbers = npt.NDArray[np.float64]
Key = tuple[int, int]
"""A market and the number of a block since 1970."""
_BLOCKS_PER_QUERY = 200

log = structlog.get_logger(__name__)


def is_used(market_ids: Sequence[int], n_candles: int, length_ms: int) -> bool:
    """Whether the cache is used: the read is long enough and the database keeps stamps."""
    return connection.vendor == "postgresql" and n_candles >= LENGTH and length_ms == INTERVAL_MS and bool(market_ids)


def read_blocks(market_ids: Sequence[int], start: int, n_candles: int, columns: Sequence[str] = COLUMNS) -> Numbers:
    """Columns of candles from `start` on, shape (columns, markets, candles); missing ones are NaN."""
    values = np.full((len(columns), len(market_ids), n_candles), np.nan)
    until = start + n_candles * INTERVAL_MS
    rows = {market_id: row for row, market_id in enumerate(market_ids)}
    stamps = _stamps(market_ids, start // LENGTH_MS, (until - 1) // LENGTH_MS)
    unknown: list[Key] = []
    for key, stamp in stamps.items():
        block = _read_file(key, stamp, columns)
        if block is None:
            unknown.append(key)
        else:
            _copy_into(values[:, rows[key[0]]], block, key[1], start)
    for at in range(0, len(unknown), _BLOCKS_PER_QUERY):
        for key, stamp, block in _read_database(unknown[at : at + _BLOCKS_PER_QUERY], columns):
            _copy_into(values[:, rows[key[0]]], block, key[1], start)
            _write_file(key, stamp, block, columns)
    return values


def _stamps(market_ids: Sequence[int], first: int, last: int) -> dict[Key, UUID]:
    """Stamps of the blocks that hold candles; a block without a stamp never had any."""
    blocks = CandleBlock.objects.filter(market_id__in=market_ids, block__gte=first, block__lte=last)
    return {(market_id, block): stamp for market_id, block, stamp in blocks.values_list("market_id", "block", "stamp")}


def _read_database(keys: Sequence[Key], columns: Sequence[str]) -> list[tuple[Key, UUID, Numbers]]:
    """Candles and stamps of blocks, read in one statement."""
    wanted = ", ".join(f"({int(market_id)}, {int(block)})" for market_id, block in keys)
    rows = fetch_binary(
        f"SELECT market_id, block, stamp, (SELECT {packed(columns)} FROM candles "  # noqa: S608
        "WHERE candles.market_id = candle_blocks.market_id "
        f"AND open_time >= block * {LENGTH_MS} AND open_time < (block + 1) * {LENGTH_MS}) "
        f"FROM candle_blocks WHERE (market_id, block) IN ({wanted})"
    )
    found = []
    for market_id, block, stamp, value in rows:
        candles = unpacked(value, columns)
        numbers = np.full((len(columns), LENGTH), np.nan)
        position = (candles["open_time"].astype(np.int64) - block * LENGTH_MS) // INTERVAL_MS
        for index, name in enumerate(columns):
            numbers[index, position] = candles[name]
        found.append(((market_id, block), stamp, numbers))
    return found


def _copy_into(values: Numbers, block: Numbers, number: int, start: int) -> None:
    """Copy the overlapping part of a block into the values of a span."""
    offset = (number * LENGTH_MS - start) // INTERVAL_MS
    first, last = max(offset, 0), min(offset + LENGTH, values.shape[1])
    values[:, first:last] = block[:, first - offset : last - offset]


def _folder() -> Path:
    return Path(settings.STATE_DIR) / "candle_blocks"


def _path(key: Key, stamp: UUID, columns: Sequence[str]) -> Path:
    name = "-".join([str(key[0]), str(key[1]), stamp.hex, *columns[len(COLUMNS) :]])
    return _folder() / f"{name}.f8"


def _checksum(key: Key, stamp: UUID, content: bytes) -> bytes:
    return zlib.crc32(content, zlib.crc32(f"{key} {stamp}".encode())).to_bytes(4, "little")


def _read_file(key: Key, stamp: UUID, columns: Sequence[str]) -> Numbers | None:
    """Numbers cached under this stamp; None if there are none or the file is corrupt."""
    try:
        content = _path(key, stamp, columns).read_bytes()
    except OSError:
        return None
    if len(content) != 8 * len(columns) * LENGTH + 4 or content[-4:] != _checksum(key, stamp, content[:-4]):
        log.warning("candle_block_is_torn", market=key[0], block=key[1])
        return None
    return np.frombuffer(content, dtype="<f8", count=len(columns) * LENGTH).reshape(len(columns), LENGTH)


def _write_file(key: Key, stamp: UUID, block: Numbers, columns: Sequence[str]) -> None:
    """Cache numbers for the next read and delete older files; write errors are only logged."""
    path, content = _path(key, stamp, columns), block.astype("<f8").tobytes()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_bytes(content + _checksum(key, stamp, content))
        partial.replace(path)
        for old in path.parent.glob(f"{key[0]}-{key[1]}-*"):
            if old != path:
                old.unlink(missing_ok=True)
    except OSError as error:
        log.warning("candle_block_not_kept", reason=str(error)[:200])
