"""Many processes do one training run: every part is claimed in the database and left in a file of the model folder.

Parts are the rows of a market, then the fits of a stretch. Whoever does them is a *hand*: the run itself, and as many
as follow its invitation on any machine that sees the database and `MODEL_PATH`. The rows are the truth; an invitation
that is lost, late or doubled does no harm. A part whose hand fell silent is claimed anew, one that failed elsewhere is
done by the run itself, and a hand whose part is no longer its own stops at its next step.
"""

import logging
import os
import shutil
import socket
import uuid
from collections.abc import Callable, Generator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from django.db.models import Q

from marketdata import chance, clock
from modelregistry import artifacts
from modelregistry.errors import TrainingError
from modelregistry.models import TrainingPart
from modelregistry.training import part_files
from modelregistry.training.dataset import Dataset, MarketCandles
from modelregistry.training.parts import Part, Tick, Workload, fit_part

SILENT_SECONDS = 300
"""A claimed part of which nothing was heard for so long has lost its hand."""
WAIT_SECONDS = 0.5
FOLDER = "parts"

Invite = Callable[[str, int], Callable[[], None]]
"""Asks so many hands to help with a run; what it returns sends them away."""
logger = logging.getLogger(__name__)


class Superseded(TrainingError):
    """The part is another's now, or the run is over."""


Source = Workload | MarketCandles


class _Craft(NamedTuple):
    """How a part is done, and how what it needs and what it makes are carried by files."""

    write_source: Callable[[Path, Any], str]
    read_source: Callable[[Path, str], Source]
    make: Callable[[Any, TrainingPart, Tick], Any]
    write: Callable[[Path, Any], str]
    read: Callable[[Path, str, Any], Any]


_ROWS = _Craft(
    part_files.write_market,
    part_files.read_market,
    lambda market, _row, _tick: market.build(),
    part_files.write_rows,
    part_files.read_rows,
)
_FITS = _Craft(
    part_files.write_workload,
    part_files.read_workload,
    lambda workload, row, tick: fit_part(workload, Part(row.fold, tuple(row.kinds)), tick),
    part_files.write_estimators,
    lambda folder, digest, _workload: part_files.read_estimators(folder, digest),
)


def _craft(row: TrainingPart) -> _Craft:
    return _ROWS if row.market else _FITS


def build_together(markets: Sequence[MarketCandles], tick: Tick, *, hands: int, invite: Invite) -> Generator[Dataset]:
    """Build the rows of every market with so many hands beside this one; give them in the order of the markets."""
    rows = [TrainingPart(market=market.symbol, kinds=[]) for market in markets]
    yield from _share(rows, markets, [f"rows of {market.symbol}" for market in markets], tick, hands, invite)


def fit_together(
    workload: Workload, parts: Sequence[Part], tick: Tick, *, hands: int, invite: Invite
) -> Generator[dict[str, Any]]:
    """Fit the parts with so many hands beside this one; give the estimators in the order of the parts."""
    rows = [TrainingPart(fold=part.fold, kinds=list(part.kinds)) for part in parts]
    yield from _share(rows, [workload] * len(parts), [f"{part.name}: done" for part in parts], tick, hands, invite)


def _share(
    rows: Sequence[TrainingPart],
    needed: Sequence[Source],
    names: Sequence[str],
    tick: Tick,
    hands: int,
    invite: Invite,
) -> Generator[Any]:
    """Have every part done by somebody; give what it made, in order, and leave nothing behind."""
    run, me = chance.new_id(), _name()
    folder = _folder(run)
    folder.mkdir(parents=True)
    send_away: Callable[[], None] = _nothing
    try:
        digests: dict[int, str] = {}
        sources: dict[str, Source] = {}
        for number, (row, source) in enumerate(zip(rows, needed, strict=True)):
            if id(source) not in digests:
                digests[id(source)] = _craft(row).write_source(folder, source)
                sources[digests[id(source)]] = source
            row.run, row.number, row.workload = run, number, digests[id(source)]
        TrainingPart.objects.bulk_create(rows)
        send_away = invite(str(run), hands)
        for number, (source, name) in enumerate(zip(needed, names, strict=True)):
            while (made := _collect(run, number, folder, source)) is None:
                _work_or_wait(run, me, sources, tick)
            tick(name)
            yield made
    finally:
        TrainingPart.objects.filter(run=run).delete()
        send_away()
        shutil.rmtree(folder, ignore_errors=True)


def _work_or_wait(run: uuid.UUID, me: str, sources: dict[str, Source], tick: Tick) -> None:
    try:
        worked = _do_next(run, me, sources, lambda _: tick(""), failed_too=True)
    except Superseded:
        return
    if not worked:
        tick("")
        clock.sleep(WAIT_SECONDS)


def lend_hand(run: str) -> int:
    """Do parts of a run until none is left to claim; return how many were done."""
    me, done = _name(), 0
    sources: dict[str, Source] = {}
    try:
        # From the end: the part over all candles takes longest, and the run itself begins at the other end.
        while _do_next(run, me, sources, _nothing, newest_first=True):
            done += 1
    except Superseded:
        logger.info("run %s needs no more hands", run)
    return done


def _do_next(
    run: uuid.UUID | str,
    me: str,
    sources: dict[str, Source],
    tick: Tick,
    *,
    newest_first: bool = False,
    failed_too: bool = False,
) -> bool:
    """Claim and do one part; False when none is left to claim. What it needs is read once and kept in `sources`."""
    row = _claim(run, me, newest_first=newest_first, failed_too=failed_too)
    if row is None:
        return False
    mine = TrainingPart.objects.filter(pk=row.pk, hand=me, digest="")

    def heard(message: str) -> None:
        tick(message)
        if not mine.update(heartbeat_at=clock.wall_now()):
            raise Superseded(f"part {row.number} of run {run} is no longer mine")

    craft, folder = _craft(row), _folder(run)
    try:
        if row.workload not in sources:
            sources.clear()
            sources[row.workload] = craft.read_source(folder, row.workload)
        made = craft.make(sources[row.workload], row, heard)
        heard("")  # a run that is over has no folder to write to
        mine.update(digest=craft.write(folder, made))
    except BaseException:
        mine.update(hand="", heartbeat_at=None, failures=row.failures + 1)
        raise
    return True


def _claim(run: uuid.UUID | str, me: str, *, newest_first: bool, failed_too: bool) -> TrainingPart | None:
    now = clock.wall_now()
    silence = timedelta(seconds=SILENT_SECONDS)
    # Ahead of now by as much: the clock was set back, and a part whose process still runs has been touched since.
    free = Q(heartbeat_at=None) | Q(heartbeat_at__lt=now - silence) | Q(heartbeat_at__gt=now + silence)
    open_parts = TrainingPart.objects.filter(free, run=run, digest="")
    if not failed_too:
        open_parts = open_parts.filter(failures=0)
    for row in open_parts.order_by("-number" if newest_first else "number"):
        if open_parts.filter(pk=row.pk).update(hand=me, heartbeat_at=now):
            return row
    return None


def _collect(run: uuid.UUID, number: int, folder: Path, source: Source) -> Any:
    """What a part made; None while it is not done, or when its file is not what was written."""
    row = TrainingPart.objects.get(run=run, number=number)
    if not row.digest:
        return None
    try:
        return _craft(row).read(folder, row.digest, source)
    except TrainingError as error:
        logger.warning("part %s of run %s is done again: %s", number, run, error)
        TrainingPart.objects.filter(pk=row.pk).update(digest="", hand="", heartbeat_at=None)
        return None


def _folder(run: uuid.UUID | str) -> Path:
    return artifacts.model_root() / FOLDER / str(uuid.UUID(str(run)))


def _name() -> str:
    return f"{socket.gethostname()[:60]} {os.getpid()} {chance.new_id().hex[-8:]}"


def _nothing(*_: Any) -> None:
    """Tell nobody, send nobody away."""
