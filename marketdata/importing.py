"""Candle files into markets: which market a file belongs to, and all of it or nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.db import transaction

from marketdata import closes, halts
from marketdata.bulk import save_table
from marketdata.dump_files import SUFFIXES, DumpError
from marketdata.dumps import Rejected, check_symbol, read_dump, symbol_of_name
from marketdata.errors import MarketDataError
from marketdata.models import Candle, Market
from marketdata.services import seed_markets
from marketdata.store import SaveResult


class BadRows(MarketDataError):
    """A file with rows that break a rule, of which nothing was stored."""

    def __init__(self, path: Path, rejected: Sequence[Rejected], n_good: int) -> None:
        super().__init__(f"{path.name}: {len(rejected)} rows are bad, {n_good} are good, nothing was imported")
        self.rejected = rejected


@dataclass(frozen=True)
class Imported:
    """What became of one file."""

    path: Path
    market: Market
    saved: SaveResult
    rejected: list[Rejected]
    cut_short: int = 0
    """Good rows a halt of the exchange ended early."""
    off_grid: int = 0
    """Rows that fit no place of the grid; their stretch is absent."""


def expand(paths: Sequence[Path]) -> list[Path]:
    """Files as given, folders as the candle files in them and in their folders, in order of name.

    A folder is taken as the exchange publishes it: dumps by market and month, checksum files beside them.
    """
    files: list[Path] = []
    for path in paths:
        inside = (
            sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        )
        if not inside:
            raise DumpError(f"{path} holds no file ending in {', '.join(SUFFIXES)}")
        files += inside
    return files


def import_file(
    path: Path,
    source: str,
    symbol: str = "",
    *,
    skip_bad: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Imported:
    """Store one candle file in one transaction, its market created if it is new.

    Raises
    ------
    BadRows
        If rows break a rule and `skip_bad` is not given.
    MarketDataError
        If the file cannot be read.
    """
    named = check_symbol(symbol) if symbol else check_symbol(symbol_of_name(path))
    table = read_dump(path, closes.last_open_to_import(source), closes.describe_clock(source))
    if table.rejected and not skip_bad:
        raise BadRows(path, table.rejected, len(table))
    if not len(table) and not table.off_grid:
        raise DumpError(f"{path.name} holds no candle")
    seed_markets([named], source)
    market = Market.objects.get(symbol=named, source=source)
    with transaction.atomic():
        saved = save_table(market, table, Candle.Origin.IMPORT, progress)
        halts.keep_marks(market, table.cut_short, Candle.Origin.IMPORT)
        halts.note_off_grid(market, path.name, table.off_grid)
    return Imported(path, market, saved, table.rejected, len(table.cut_short), len(table.off_grid))
