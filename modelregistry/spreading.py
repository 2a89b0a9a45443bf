"""Many processes fit one training run: every part is claimed in the database and left in a file of the model folder.

Whoever fits is a *hand*: the run itself, and as many as follow its invitation on any machine that sees the database
and `MODEL_PATH`. The rows are the truth; an invitation that is lost, late or doubled does no harm. A part whose hand
fell silent is claimed anew, one that failed elsewhere is fitted by the run itself, and a hand whose part is no longer
its own stops at its next step.
"""

import logging
import os
import shutil
import socket
import uuid
from collections.abc import Callable, Generator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db.models import Q

from marketdata import chance, clock
from modelregistry import artifacts
from modelregistry.errors import TrainingError
from modelregistry.models import TrainingPart
from modelregistry.training import part_files
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


def fit_together(
    workload: Workload, parts: Sequence[Part], tick: Tick, *, hands: int, invite: Invite
) -> Generator[dict[str, Any]]:
    """Fit the parts with so many hands beside this one; give the estimators in the order of the parts."""
    run, me = chance.new_id(), _name()
    folder = _folder(run)
    folder.mkdir(parents=True)
    send_away: Callable[[], None] = _nothing
    try:
        digest = part_files.write_workload(folder, workload)
        TrainingPart.objects.bulk_create(
            TrainingPart(run=run, number=number, fold=part.fold, kinds=list(part.kinds), workload=digest)
            for number, part in enumerate(parts)
        )
        send_away = invite(str(run), hands)
        for number in range(len(parts)):
            while (fitted := _collect(run, number, folder)) is None:
                _fit_or_wait(run, me, workload, tick)
            tick(f"{parts[number].name}: done")
            yield fitted
    finally:
        TrainingPart.objects.filter(run=run).delete()
        send_away()
        shutil.rmtree(folder, ignore_errors=True)


def _fit_or_wait(run: uuid.UUID, me: str, workload: Workload, tick: Tick) -> None:
    try:
        worked = _fit_next(run, me, workload, lambda _: tick(""), failed_too=True)
    except Superseded:
        return
    if not worked:
        tick("")
        clock.sleep(WAIT_SECONDS)


def lend_hand(run: str) -> int:
    """Fit parts of a run until none is left to claim; return how many were fitted."""
    first = TrainingPart.objects.filter(run=run).first()
    if first is None:
        return 0
    workload, me, done = part_files.read_workload(_folder(run), first.workload), _name(), 0
    try:
        # From the end: the part over all candles takes longest, and the run itself begins at the other end.
        while _fit_next(run, me, workload, _nothing, newest_first=True):
            done += 1
    except Superseded:
        logger.info("run %s needs no more hands", run)
    return done


def _fit_next(
    run: uuid.UUID | str,
    me: str,
    workload: Workload,
    tick: Tick,
    *,
    newest_first: bool = False,
    failed_too: bool = False,
) -> bool:
    """Claim and fit one part; False when none is left to claim."""
    row = _claim(run, me, newest_first=newest_first, failed_too=failed_too)
    if row is None:
        return False
    mine = TrainingPart.objects.filter(pk=row.pk, hand=me, digest="")

    def heard(message: str) -> None:
        tick(message)
        if not mine.update(heartbeat_at=clock.wall_now()):
            raise Superseded(f"part {row.number} of run {run} is no longer mine")

    try:
        fitted = fit_part(workload, Part(row.fold, tuple(row.kinds)), heard)
        mine.update(digest=part_files.write_estimators(_folder(run), fitted))
    except BaseException:
        mine.update(hand="", heartbeat_at=None, failures=row.failures + 1)
        raise
    return True


def _claim(run: uuid.UUID | str, me: str, *, newest_first: bool, failed_too: bool) -> TrainingPart | None:
    now = clock.wall_now()
    free = Q(heartbeat_at=None) | Q(heartbeat_at__lt=now - timedelta(seconds=SILENT_SECONDS))
    open_parts = TrainingPart.objects.filter(free, run=run, digest="")
    if not failed_too:
        open_parts = open_parts.filter(failures=0)
    for row in open_parts.order_by("-number" if newest_first else "number"):
        if open_parts.filter(pk=row.pk).update(hand=me, heartbeat_at=now):
            return row
    return None


def _collect(run: uuid.UUID, number: int, folder: Path) -> dict[str, Any] | None:
    """Estimators of a part; None while it is not fitted, or when its file is not what was written."""
    row = TrainingPart.objects.get(run=run, number=number)
    if not row.digest:
        return None
    try:
        return part_files.read_estimators(folder, row.digest)
    except TrainingError as error:
        logger.warning("part %s of run %s is fitted again: %s", number, run, error)
        TrainingPart.objects.filter(pk=row.pk).update(digest="", hand="", heartbeat_at=None)
        return None


def _folder(run: uuid.UUID | str) -> Path:
    return artifacts.model_root() / FOLDER / str(uuid.UUID(str(run)))


def _name() -> str:
    return f"{socket.gethostname()[:60]} {os.getpid()} {chance.new_id().hex[-8:]}"


def _nothing(*_: Any) -> None:
    """Tell nobody, send nobody away."""
