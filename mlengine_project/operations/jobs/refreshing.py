"""Refresh of champions by the nightly training (AUTO_PROMOTE)."""

import structlog
from django.conf import settings

from mlengine_project.operations.jobs.control import DAILY_TRAINING, SCHEDULE
from mlengine_project.operations.models import Job
from modelregistry import registry
from modelregistry.models import ModelVersion, PromotionEvent

log = structlog.get_logger(__name__)


def refresh_after(job_id: str) -> list[PromotionEvent]:
    """Promote the refreshes that a successful nightly training made; none unless AUTO_PROMOTE is on."""
    if not settings.AUTO_PROMOTE:
        return []
    nightly = Job.objects.filter(kind=Job.Kind.TRAINING, asked_by=SCHEDULE, slot__startswith=DAILY_TRAINING)
    job = nightly.filter(id=job_id, state=Job.State.SUCCEEDED).first()
    if job is None:
        return []
    ids = [one["id"] for one in job.result.get("versions", [])]
    versions = ModelVersion.objects.filter(pk__in=ids).order_by("kind")
    made = registry.refresh_champions(versions, SCHEDULE)
    for event in made:
        log.info("champion_refreshed", kind=event.kind, version=str(event.to_version_id), job=job_id)
    return made
