"""Archive of log rows older than the hot period: file, chain cut, deletion.

A crash may follow any step. A file without its cut is written again; a cut whose rows are still
in the table has them deleted by the next run, after its file was verified.
"""

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.db.models import Q, QuerySet

from marketdata import clock
from marketdata.models import Market
from marketdata.storage import candles
from predictions.errors import ArchiveError, BrokenChain
from predictions.log import archive_files, chain
from predictions.log.cursor import streamed_rows
from predictions.log.seal import GENESIS
from predictions.market_windows import following_candles
from predictions.models import ChainCut, ChainHead, PredictionLog

logger = logging.getLogger(__name__)

MAX_FILE_ROWS = 50_000
"""Rows of one file."""
DELETE_BATCH_ROWS = 2_000
"""Rows deleted in one transaction."""


@dataclass(frozen=True)
class SealedLog:
    """Description of a sealed log for the archive."""

    log: str
    model: type[models.Model]
    columns: tuple[str, ...]
    scorable: Q
    """Rows that get an outcome."""
    still_needed: Q
    """Rows that must stay in the table."""
    remove: Callable[[list[Any]], object]
    """Deletes the rows with these keys and the rows that refer to them."""
    has_seq: bool = False

    def rows(self, market: Market) -> QuerySet[Any]:
        """Rows of the market in the order of the chain."""
        return self.model._default_manager.filter(market=market).order_by("chain_index")  # noqa: SLF001


@dataclass(frozen=True)
class ArchiveReport:
    """Rows, files and failed markets of one run."""

    rows: int = 0
    files: int = 0
    failures: int = 0


def archive_log(sealed_log: SealedLog) -> ArchiveReport:
    """Move finished rows older than the hot period into files, for every market.

    Idempotent: a second run finds nothing to do.
    """
    rows = files = failures = 0
    with archive_files.exclusive_lock(settings.ARCHIVE_PATH) as locked:
        for market in Market.objects.order_by("pk") if locked else ():
            try:
                moved, written = _archive_market(sealed_log, market)
            except (OSError, ArchiveError, BrokenChain, IntegrityError) as error:
                failures += 1
                logger.exception("old %s of %s could not be archived: %s", sealed_log.log, market, error)  # noqa: TRY401
            else:
                rows, files = rows + moved, files + written
    return ArchiveReport(rows, files, failures)


def newest_cut(market: Market, log: str) -> ChainCut | None:
    """Newest cut of a market's chain; None while nothing was archived."""
    return ChainCut.objects.filter(market=market, log=log).order_by("-first_index").first()


def start_of(cut: ChainCut | None) -> tuple[int, str]:
    """Chain index and seal that the first row after a cut must follow."""
    return (cut.index, cut.seal) if cut is not None else (0, GENESIS)


def file_of(cut: ChainCut) -> Path:
    """Path of the file of a cut, after its SHA-256 was checked.

    Raises
    ------
    ArchiveError
        If it is missing or differs.
    """
    path = Path(settings.ARCHIVE_PATH) / cut.file
    if archive_files.digest_of(path) != cut.sha256:
        raise ArchiveError(f"{cut.file} is not the file that was written: its SHA-256 differs")
    return path


def _archive_market(sealed_log: SealedLog, market: Market) -> tuple[int, int]:
    cut = newest_cut(market, sealed_log.log)
    moved, written = (_remove(sealed_log, market, cut) if cut is not None else 0), 0
    while (last := _last_archivable(sealed_log, market, cut)) is not None:
        cut = _cut(sealed_log, market, cut, last)
        moved, written = moved + _remove(sealed_log, market, cut), written + 1
    return moved, written


def _last_archivable(sealed_log: SealedLog, market: Market, cut: ChainCut | None) -> int | None:
    """Chain index of the newest row that may be archived; None if there is none.

    All rows up to it are old, finished and not needed in the table.
    """
    start, _ = start_of(cut)
    newest = candles.newest_open([market])[market.pk]
    if newest is None:
        return None
    # Counted from the newest candle where the feed stands still, so that rows in use are never archived.
    limit = clock.to_datetime(min(clock.market_ms(), newest)) - timedelta(days=settings.SIGNAL_RETENTION_DAYS)
    rows = sealed_log.rows(market).filter(chain_index__gt=start)
    places = rows.values_list("chain_index", flat=True)
    kept = places.filter(Q(candle_time__gte=limit) | Q(made_at__gte=limit) | sealed_log.still_needed).first()
    last = kept - 1 if kept is not None else rows.aggregate(last=models.Max("chain_index"))["last"] or start
    last = min(last, start + MAX_FILE_ROWS)
    unfinished = _first_unfinished(market, rows.filter(sealed_log.scorable, chain_index__lte=last, outcome_final=False))
    last = last if unfinished is None else unfinished - 1
    return last if last > start else None


def _first_unfinished(market: Market, rows: QuerySet[Any]) -> int | None:
    """Chain index of the first row whose outcome is still to be written.

    Rows whose horizon lacks candles after all this time are skipped: those candles are not fetched any more.
    """
    waiting = list(rows.values_list("chain_index", "candle_time", "horizon"))
    if not waiting:
        return None
    opens = [clock.to_ms(candle_time) for _, candle_time, _ in waiting]
    after = following_candles(market, opens, max(horizon for *_, horizon in waiting))
    for (place, _, horizon), open_ms in zip(waiting, opens, strict=True):
        if after.state(open_ms, horizon) != "waiting":
            return int(place)
    return None


def _cut(sealed_log: SealedLog, market: Market, cut: ChainCut | None, last: int) -> ChainCut:
    """Write the rows after `cut` up to `last` to a file and store the cut."""
    start = start_of(cut)
    rows = sealed_log.rows(market).filter(chain_index__gt=start[0], chain_index__lte=last)
    name = f"{sealed_log.log}/{market.pk}-{market.source}-{re.sub(r'[^A-Za-z0-9]', '_', market.symbol)}"
    file = f"{name}/{start[0] + 1:012d}.parquet"
    end: list[Any] = []

    def check(found: Iterable[Any]) -> None:
        chain.check_chain(_keeping_last(found, end), sealed_log.columns, None, start)
        if not end or end[0].chain_index != last:
            raise ArchiveError(f"{file} ends before place {last} of the chain")

    path = Path(settings.ARCHIVE_PATH) / file
    with streamed_rows(rows, archive_files.CHUNK) as found:
        digest = archive_files.write_rows(path, sealed_log.model, found, check)
    return ChainCut.objects.create(
        market=market,
        log=sealed_log.log,
        first_index=start[0] + 1,
        index=last,
        seal=end[0].seal,
        last_seq=end[0].seq if sealed_log.has_seq else None,
        file=file,
        sha256=digest,
        written_at=clock.wall_now(),
    )


def _keeping_last(rows: Iterable[Any], end: list[Any]) -> Iterator[Any]:
    """Yield the rows and keep the last one in `end`."""
    for row in rows:
        end[:] = [row]
        yield row


def _remove(sealed_log: SealedLog, market: Market, cut: ChainCut) -> int:
    """Delete the rows of an archived file, oldest first, one batch per transaction."""
    rows = sealed_log.rows(market).filter(chain_index__lte=cut.index)
    removed = 0
    if not rows.exists():
        return removed
    file_of(cut)
    while True:
        with transaction.atomic():
            keys = list(rows.values_list("pk", flat=True)[:DELETE_BATCH_ROWS])
            if not keys:
                return removed
            sealed_log.remove(keys)
        removed += len(keys)


PREDICTIONS = SealedLog(
    log=ChainHead.Log.PREDICTIONS,
    model=PredictionLog,
    columns=chain.PREDICTION_COLUMNS,
    scorable=Q(),
    still_needed=Q(pk__in=[]),
    remove=lambda keys: PredictionLog.objects.filter(pk__in=keys).delete(),
)
