"""Retention of model files; versions used by any process keep their files."""

from marketdata.models import Source
from mlengine_project.operations.models import Heartbeat
from modelregistry.registry import retention
from modelregistry.registry.retention import Progress, Removal
from predictions.challengers.silent import candidates_of


def prune(*, dry_run: bool = False, progress: Progress | None = None) -> list[Removal]:
    """Remove the files of versions beyond retention; see `modelregistry.registry.retention`."""
    return retention.prune(versions_in_use(), dry_run=dry_run, progress=progress)


def versions_in_use() -> set[str]:
    """Ids of versions loaded by a process or used as challengers."""
    used = {str(candidate.pk) for source in Source.values for candidate, _ in candidates_of(source)}
    for detail in Heartbeat.objects.values_list("detail", flat=True):
        for kinds in (detail or {}).get("loaded", {}).values():
            used.update(kinds.values())
    return used
