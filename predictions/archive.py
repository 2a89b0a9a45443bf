"""Putting away rows older than the hot period: into a file first, then a cut in the chain, then out of the table.

Every step may be the last one before a crash. A file without its cut is written again; a cut whose
rows are still there has them removed by the next run, after its file proved to be whole.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.db.models import Q, QuerySet

from marketdata import clock, store
from marketdata.models import Market
from predictions import archive_files, chain
from predictions.cursor import reading
from predictions.errors import ArchiveError, BrokenChain
from predictions.models import ChainCut, ChainHead, PredictionLog
from predictions.seal import GENESIS
from predictions.windows import aftermath

logger = logging.getLogger(__name__)

MOST_ROWS = 50_000
"""Rows of one file."""
BATCH = 2_000
"""Rows removed in one transaction."""


@dataclass(frozen=True)
class Ledger:
    """A sealed log, and what the archive must know about it."""

    log: str
    model: type[models.Model]
    columns: tuple[str, ...]
    scorable: Q
    """Rows that get an outcome at all."""
    held: Q
    """Rows something else still needs."""
    remove: Callable[[list[Any]], object]
    """Delete the rows with these keys and what hangs on them."""
    has_seq: bool = False

    def rows(self, market: Market) -> QuerySet[Any]:
        """The market's rows in the order of the chain."""
        return self.model._default_manager.filter(market=market).order_by("chain_index")  # noqa: SLF001


@dataclass(frozen=True)
class Archived:
    """What a run did."""

    rows: int = 0
    files: int = 0
    failures: int = 0


def archive_predictions() -> Archived:
    """Put away old predictions."""
    return put_away(PREDICTIONS)


def put_away(ledger: Ledger) -> Archived:
    """Move every market's finished rows older than the hot period into files; a second run finds nothing to do."""
    rows = files = failures = 0
    with archive_files.exclusively(settings.ARCHIVE_PATH) as mine:
        for market in Market.objects.order_by("pk") if mine else ():
            try:
                moved, written = _put_away(ledger, market)
            except (OSError, ArchiveError, BrokenChain, IntegrityError) as error:
                failures += 1
                logger.exception("old %s of %s stay where they are: %s", ledger.log, market, error)  # noqa: TRY401
            else:
                rows, files = rows + moved, files + written
    return Archived(rows, files, failures)


def newest_cut(market: Market, log: str) -> ChainCut | None:
    """Where the market's chain in the table begins; None while nothing was archived."""
    return ChainCut.objects.filter(market=market, log=log).order_by("-first_index").first()


def start_of(cut: ChainCut | None) -> tuple[int, str]:
    """Place and seal that the first row after a cut must follow."""
    return (cut.index, cut.seal) if cut is not None else (0, GENESIS)


def file_of(cut: ChainCut) -> Path:
    """The file of a cut, which must be the one that was written.

    Raises
    ------
    ArchiveError
        If it is missing or differs.
    """
    path = Path(settings.ARCHIVE_PATH) / cut.file
    if archive_files.digest_of(path) != cut.sha256:
        raise ArchiveError(f"{cut.file} is not the file that was written: its SHA-256 differs")
    return path


def _put_away(ledger: Ledger, market: Market) -> tuple[int, int]:
    cut = newest_cut(market, ledger.log)
    moved, written = (_remove(ledger, market, cut) if cut is not None else 0), 0
    while (last := _last_to_go(ledger, market, cut)) is not None:
        cut = _cut(ledger, market, cut, last)
        moved, written = moved + _remove(ledger, market, cut), written + 1
    return moved, written


def _last_to_go(ledger: Ledger, market: Market, cut: ChainCut | None) -> int | None:
    """Place of the newest row that may go: all rows up to it are old, finished and needed by nobody."""
    start, _ = start_of(cut)
    newest = store.newest_open([market])[market.pk]
    if newest is None:
        return None
    # Counted from the newest candle where the feed stands still, so that what is worked on is never put away.
    limit = clock.to_datetime(min(clock.market_ms(), newest)) - timedelta(days=settings.SIGNAL_RETENTION_DAYS)
    rows = ledger.rows(market).filter(chain_index__gt=start)
    places = rows.values_list("chain_index", flat=True)
    kept = places.filter(Q(candle_time__gte=limit) | Q(made_at__gte=limit) | ledger.held).first()
    last = kept - 1 if kept is not None else rows.aggregate(last=models.Max("chain_index"))["last"] or start
    last = min(last, start + MOST_ROWS)
    unfinished = _first_unfinished(market, rows.filter(ledger.scorable, chain_index__lte=last, outcome_final=False))
    last = last if unfinished is None else unfinished - 1
    return last if last > start else None


def _first_unfinished(market: Market, rows: QuerySet[Any]) -> int | None:
    """Place of the first row whose outcome is still to be written.

    Where candles of its horizon are missing after all this time, nothing fetches them any more: it never will be.
    """
    waiting = list(rows.values_list("chain_index", "candle_time", "horizon"))
    if not waiting:
        return None
    opens = [clock.to_ms(candle_time) for _, candle_time, _ in waiting]
    after = aftermath(market, opens, max(horizon for *_, horizon in waiting))
    for (place, _, horizon), open_ms in zip(waiting, opens, strict=True):
        if after.state(open_ms, horizon) != "waiting":
            return int(place)
    return None


def _cut(ledger: Ledger, market: Market, cut: ChainCut | None, last: int) -> ChainCut:
    """Write the rows after `cut` up to the place `last` into a file, then the cut's row."""
    start = start_of(cut)
    rows = ledger.rows(market).filter(chain_index__gt=start[0], chain_index__lte=last)
    name = f"{ledger.log}/{market.pk}-{market.source}-{re.sub(r'[^A-Za-z0-9]', '_', market.symbol)}"
    file = f"{name}/{start[0] + 1:012d}.parquet"
    end: list[Any] = []

    def check(found: Any) -> None:
        chain.check_chain(_ending(found, end), ledger.columns, None, start)
        if not end or end[0].chain_index != last:
            raise ArchiveError(f"{file} ends before place {last} of the chain")

    path = Path(settings.ARCHIVE_PATH) / file
    with reading(rows, archive_files.CHUNK) as found:
        digest = archive_files.write_rows(path, ledger.model, found, check)
    return ChainCut.objects.create(
        market=market,
        log=ledger.log,
        first_index=start[0] + 1,
        index=last,
        seal=end[0].seal,
        last_seq=end[0].seq if ledger.has_seq else None,
        file=file,
        sha256=digest,
        written_at=clock.wall_now(),
    )


def _ending(rows: Any, end: list[Any]) -> Any:
    """Hand rows on and keep the last one."""
    for row in rows:
        end[:] = [row]
        yield row


def _remove(ledger: Ledger, market: Market, cut: ChainCut) -> int:
    """Delete rows that a file holds, oldest first, a batch a transaction."""
    rows = ledger.rows(market).filter(chain_index__lte=cut.index)
    removed = 0
    if not rows.exists():
        return removed
    file_of(cut)
    while True:
        with transaction.atomic():
            keys = list(rows.values_list("pk", flat=True)[:BATCH])
            if not keys:
                return removed
            ledger.remove(keys)
        removed += len(keys)


PREDICTIONS = Ledger(
    log=ChainHead.Log.PREDICTIONS,
    model=PredictionLog,
    columns=chain.PREDICTION_COLUMNS,
    scorable=Q(),
    held=Q(pk__in=[]),
    remove=lambda keys: PredictionLog.objects.filter(pk__in=keys).delete(),
)
