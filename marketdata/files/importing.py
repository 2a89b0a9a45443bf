"""Importing candle files into markets, each file in one transaction."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from django.db import transaction

from marketdata.coverage import halts
from marketdata.errors import MarketDataError
from marketdata.exchange import closes
from marketdata.files.bulk_load import MostlyRevised, save_table
from marketdata.files.readers import SUFFIXES, DumpError, symbol_of_name
from marketdata.files.tables import CandleTable, Rejected, check_symbol, read_dump
from marketdata.models import Candle, Market
from marketdata.services import seed_markets
from marketdata.storage.candles import SaveResult

_NOT_SPOT = re.compile(
    r"/futures/(um|cm)/|/(markprice|indexprice|premiumindex)klines/|-5m-(futures|mark|index|premium)\b", re.IGNORECASE
)
"""Folders and names that the exchange's archive and freqtrade use for prices not of the spot market."""


class BadRows(MarketDataError):
    """A file with rows that break a rule; none of its rows were stored."""

    def __init__(self, path: Path, table: CandleTable) -> None:
        first = table.rejected[0]
        super().__init__(
            f"{path.name}: {len(table.rejected)} rows are bad, {len(table)} are good, nothing was imported; "
            f"{table.place} {first.line}: {first.reason}"
        )
        self.rejected = table.rejected
        self.place = table.place


@dataclass(frozen=True)
class Imported:
    """Result of importing one file."""

    path: Path
    market: Market
    saved: SaveResult
    rejected: list[Rejected]
    cut_short: int = 0
    """Good rows a halt of the exchange ended early."""
    off_grid: int = 0
    """Rows that are not on the grid; their stretch is absent."""
    place: str = "line"
    ignored: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def expand(paths: Sequence[Path]) -> list[Path]:
    """List the given files and the candle files in given folders, recursively, by name.

    A folder may be as the exchange publishes it: dumps by market and month with checksum files.
    """
    files: list[Path] = []
    for path in paths:
        inside = sorted(filter(_is_candle_file, path.rglob("*"))) if path.is_dir() else [path]
        if not inside:
            raise DumpError(f"{path} holds no file ending in {', '.join(SUFFIXES)}")
        files += inside
    return files


def _is_candle_file(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES) and not path.name.startswith("._") and "__MACOSX" not in path.parts


def import_file(
    path: Path,
    source: str,
    symbol: str = "",
    *,
    skip_bad: bool = False,
    revise: bool = False,
    utc: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Imported:
    """Store one candle file in one transaction, creating its market if necessary.

    A file that looks like a dump of another kind of price, or would revise most of the stored candles, is refused
    unless `revise`. Times without a zone are refused unless `utc`.

    Raises
    ------
    BadRows
        If rows break a rule and `skip_bad` is not given.
    MarketDataError
        If the file cannot be read.
    """
    named = check_symbol(symbol) if symbol else symbol_of_name(path.name)
    if not revise and _NOT_SPOT.search(f"/{path.as_posix()}"):
        raise DumpError(f"{path} is named as candles of futures or of mark or index prices; --revise imports it")
    table = read_dump(
        path,
        named,
        utc=utc,
        force=revise,
        last_open=closes.last_open_to_import(source),
        clock_says=closes.describe_clock(source),
    )
    if table.rejected and not skip_bad:
        raise BadRows(path, table)
    if not len(table) and not table.off_grid:
        raise DumpError(f"{path.name} holds no candle")
    seed_markets([named], source)
    market = Market.objects.get(symbol=named, source=source)
    try:
        with transaction.atomic():
            saved = save_table(market, table, Candle.Origin.IMPORT, progress, revise=revise)
            halts.save_marks(market, table.cut_short, Candle.Origin.IMPORT)
            halts.record_off_grid(market, path.name, table.off_grid)
    except MostlyRevised as error:
        raise DumpError(f"{path.name} {error}") from error
    return Imported(
        path=path,
        market=market,
        saved=saved,
        rejected=table.rejected,
        cut_short=len(table.cut_short),
        off_grid=len(table.off_grid),
        place=table.place,
        ignored=table.ignored,
        notes=table.notes,
    )
