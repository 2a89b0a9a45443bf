"""Champions now or at a past time, as one object for REST."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson
from django.db.models import TextField
from django.db.models.functions import MD5, Cast

from marketdata import clock
from marketdata.models import Market, Source
from modelregistry import registry
from modelregistry.evaluation.reports.as_json import published
from modelregistry.models import Kind, ModelVersion


def default_source() -> str:
    """Source of the enabled markets; the exchange if there are none."""
    simulated = Market.objects.enabled().filter(source=Source.SIMULATED).exists()
    return str(Source.SIMULATED if simulated else Source.EXCHANGE)


@lru_cache(maxsize=64)
def report_json(version_id: UUID, digest: str) -> orjson.Fragment:  # noqa: ARG001  # another digest is another entry
    """Published report of a version as JSON, kept for as long as its digest is the same."""
    report = ModelVersion.objects.values_list("report", flat=True).get(pk=version_id)
    return orjson.Fragment(orjson.dumps(published(report), option=orjson.OPT_NON_STR_KEYS))


def report_digests(version_ids: list[UUID]) -> dict[UUID, str]:
    """MD5 of the stored report of each version, computed by the database."""
    versions = ModelVersion.objects.filter(pk__in=version_ids)
    return dict(versions.values_list("pk", MD5(Cast("report", TextField()))))


def status_at(at: datetime | None, source: str | None, loaded_by: Mapping[str, list[str]]) -> dict[str, Any]:
    """Champion of each kind with its report; `loaded_by` is used only without `at`."""
    source = source or default_source()
    champions = registry.champions(source) if at is None else registry.champions_at(at, source)
    digests = report_digests([version.pk for version in champions.values()])
    present = loaded_by if at is None else {}
    status: dict[str, Any] = {"at": at or clock.wall_now(), "source": source}
    for kind in Kind.values:
        version = champions.get(kind)
        metrics = None if version is None else report_json(version.pk, digests[version.pk])
        status[kind] = champion_object(version, metrics, present)
    return status


def etag_of(status: Mapping[str, Any]) -> str:
    """Weak ETag of a status, the same at every time while champions, reports and processes are."""
    content = orjson.dumps({name: part for name, part in status.items() if name != "at"})
    return f'W/"{hashlib.blake2b(content, digest_size=16).hexdigest()}"'


def champion_object(
    version: ModelVersion | None, metrics: orjson.Fragment | None, loaded_by: Mapping[str, list[str]]
) -> dict[str, Any]:
    """One champion with its report as a JSON object, with nulls where there is none."""
    if version is None:
        unknown = dict.fromkeys(("champion", "digest", "unproven", "trained_until"))
        return {**unknown, "symbols": [], "horizons": [], "metrics": None, "loaded_by": []}
    return {
        "champion": str(version.pk),
        "digest": version.digest,
        "unproven": version.unproven,
        "trained_until": version.trained_until,
        "symbols": version.symbols,
        "horizons": version.horizons,
        "metrics": metrics,
        "loaded_by": list(loaded_by.get(str(version.pk), [])),
    }


def accuracy_of(report: Mapping[str, Any]) -> float | None:
    """Skill of a version (1 - loss / best baseline's loss), or None."""
    skill = report.get("skill")
    return float(skill) if isinstance(skill, int | float) else None
