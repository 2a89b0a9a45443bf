"""Retention of model files: removes files of old versions; rows and reports stay.

For each kind and source these keep their files: the champion, the newest 20 promoted versions, the versions replaced
by the newest 20 promotions that are not undone (a rollback needs them), the newest `MODEL_RETENTION` candidates, and
versions in use by a process. The row is marked and the folder renamed under the locks of a promotion, so a version
cannot be promoted while its files are removed.
"""

import os
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import transaction

from indicators.errors import MLEngineError
from marketdata import clock
from modelregistry.artifacts import model_root, reading, removal
from modelregistry.models import ModelVersion, PromotionEvent

KEPT_PROMOTED = 20

Progress = Callable[[int, int, str], None]


class RetentionRefused(MLEngineError):
    """Files cannot be removed by this process."""


@dataclass(frozen=True)
class Removal:
    """One folder that was removed, or would be in a dry run."""

    folder: str
    reason: str
    size_bytes: int


def prune(in_use: Collection[str], *, dry_run: bool = False, progress: Progress | None = None) -> list[Removal]:
    """Remove files of versions outside the retention rules, and leftovers of interrupted work.

    `in_use` are ids of versions that a process uses.

    Raises
    ------
    RetentionRefused
        If the model folder is read-only for this process, or belongs to another database.
    """
    root = model_root()
    if not root.is_dir():
        return []
    _refuse_unsuitable(root, dry_run=dry_run)
    for kind, digest in () if dry_run else removal.marked_artifacts(root):
        if _is_needed(kind, digest):  # interrupted before its row was marked
            removal.restore(root, kind, digest)
        removal.delete_marked(root, kind, digest)
    groups = list(ModelVersion.objects.order_by("kind", "source").values_list("kind", "source").distinct())
    removed: list[Removal] = []
    for done, (kind, source) in enumerate(groups):
        removed += _prune_group(root, kind, source, in_use, dry_run=dry_run)
        if progress is not None:
            progress(done + 1, len(groups) + 1, f"{kind} of {source} candles")
    return removed + _sweep(root, dry_run=dry_run)


def _refuse_unsuitable(root: Path, *, dry_run: bool) -> None:
    if not dry_run and not os.access(root, os.W_OK):
        raise RetentionRefused(f"{root} is read-only here; the worker of the training queue removes files there")
    champions = ModelVersion.objects.filter(stage=ModelVersion.Stage.CHAMPION)
    for version in champions:
        if not reading.artifact_folder(root, version.kind, version.digest).is_dir():
            raise RetentionRefused(
                f"{root} lacks the files of the champion {version}: it is not the model folder of this database, or "
                "must be restored from a backup first; nothing was removed"
            )


def _prune_group(root: Path, kind: str, source: str, in_use: Collection[str], *, dry_run: bool) -> list[Removal]:
    """Remove the files of one kind and source, under the locks of a promotion."""
    removed = []
    mark_for_removal = []
    with transaction.atomic():
        rows = ModelVersion.objects.filter(kind=kind, source=source)
        list(rows.order_by("pk").select_for_update().values_list("pk"))
        kept = versions_kept(kind, source) | set(in_use)
        for version in rows.filter(files_removed_at__isnull=True).order_by("created_at", "pk"):
            if str(version.pk) in kept:
                continue
            reason = _reason(version)
            size = removal.size_bytes(reading.artifact_folder(root, kind, version.digest))
            removed.append(Removal(f"{kind}/{version.digest}", reason, size))
            if dry_run:
                continue
            version.files_removed_at, version.files_removed_reason = clock.wall_now(), reason
            version.save(update_fields=["files_removed_at", "files_removed_reason"])
            if not _is_needed(kind, version.digest) and removal.mark_for_removal(root, kind, version.digest):
                mark_for_removal.append(version.digest)
    for digest in mark_for_removal:
        removal.delete_marked(root, kind, digest)
    return removed


def versions_kept(kind: str, source: str) -> set[str]:
    """Ids of the versions of a kind and source that keep their files."""
    rows = ModelVersion.objects.filter(kind=kind, source=source)
    champion = rows.filter(stage=ModelVersion.Stage.CHAMPION).values_list("pk", flat=True)
    candidates = rows.filter(stage=ModelVersion.Stage.CANDIDATE).order_by("-created_at", "-pk")
    events = PromotionEvent.objects.filter(kind=kind, source=source).order_by("-id")
    not_undone = events.filter(undone_by__isnull=True).exclude(action=PromotionEvent.Action.ROLLBACK)
    promoted = dict.fromkeys(events.values_list("to_version", flat=True))
    replaced = not_undone.values_list("from_version", flat=True)
    kept = [
        *champion,
        *candidates.values_list("pk", flat=True)[: settings.MODEL_RETENTION],
        *list(promoted)[:KEPT_PROMOTED],
        *replaced[:KEPT_PROMOTED],
    ]
    return {str(pk) for pk in kept if pk is not None}


def _reason(version: ModelVersion) -> str:
    if version.stage == ModelVersion.Stage.CANDIDATE:
        return f"not among the newest {settings.MODEL_RETENTION} candidates (MODEL_RETENTION)"
    return f"retired, and not among the newest {KEPT_PROMOTED} promoted"


def _is_needed(kind: str, digest: str) -> bool:
    """Whether any version keeps these files; two sources may share them."""
    return ModelVersion.objects.filter(kind=kind, digest=digest, files_removed_at__isnull=True).exists()


def _sweep(root: Path, *, dry_run: bool) -> list[Removal]:
    """Remove unfinished folders and those no version keeps, unchanged for a day."""
    now = clock.wall_ms() / 1000
    found = []
    # Without a champion the database cannot verify that this folder belongs to it.
    if ModelVersion.objects.filter(stage=ModelVersion.Stage.CHAMPION).exists():
        for kind, digest in removal.stored_artifacts(root):
            folder = reading.artifact_folder(root, kind, digest)
            if not removal.is_abandoned(folder, now) or _is_needed(kind, digest):
                continue
            found.append(Removal(f"{kind}/{digest}", "no version keeps it", removal.size_bytes(folder)))
            if not dry_run and removal.mark_for_removal(root, kind, digest):
                removal.delete_marked(root, kind, digest)
    for folder in removal.abandoned_folders(root, now):
        found.append(Removal(str(folder), "left by an interrupted training", removal.size_bytes(root / folder)))
        if not dry_run:
            shutil.rmtree(root / folder, ignore_errors=True)
    return found
