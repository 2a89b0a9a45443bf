"""Champions now or at a past time, as one object for REST."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any
from uuid import UUID

import orjson
from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import MD5

from marketdata import clock
from marketdata.models import Source
from marketdata.storage.selections import Selection
from marketdata.storage.text_rows import TextColumns, json_of, select
from modelregistry import registry
from modelregistry.evaluation.reports.as_json import published
from modelregistry.models import Kind, ModelVersion


@dataclass(frozen=True)
class ReportJson:
    """Published report of a version as JSON, and the digest of that JSON."""

    content: orjson.Fragment
    digest: str


def default_source() -> str:
    """Source of the enabled markets; the exchange if there are none."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT 1 FROM markets WHERE enabled AND source = %s)", [Source.SIMULATED])
        simulated = bool(cursor.fetchone()[0])
    return str(Source.SIMULATED if simulated else Source.EXCHANGE)


@lru_cache(maxsize=64)
def report_json(version_id: UUID, mark: str) -> ReportJson:  # noqa: ARG001  # another mark is another entry
    """Published report of a version, kept for as long as its mark is the same."""
    report = ModelVersion.objects.values_list("report", flat=True).get(pk=version_id)
    content = orjson.dumps(published(report), option=orjson.OPT_NON_STR_KEYS)
    return ReportJson(orjson.Fragment(content), hashlib.blake2b(content, digest_size=16).hexdigest())


class MarkedVersions:
    """Versions as the status shows them, each with a mark that differs after every change of its report.

    PostgreSQL knows the place of a row and the transaction that wrote it; on SQLite the mark is the MD5 of the report.
    """

    columns = TextColumns(ModelVersion, ("id", "kind", "digest", "unproven", "trained_until", "symbols", "horizons"))
    names = (*columns.names, "mark")

    @cached_property
    def expressions(self) -> str:
        """SQL expressions of the values on PostgreSQL."""
        return f"{self.columns.expressions}, model_versions.ctid::text || ' ' || model_versions.xmin::text"

    def read(self, rows: QuerySet[Any]) -> list[tuple[Any, ...]]:
        """The rows of a query, each with its values."""
        if connection.vendor == "postgresql":
            return select(self.expressions, rows)
        marks = dict(rows.values_list("pk", MD5("report")))
        return [(*row, marks[UUID(row[0])]) for row in self.columns.read(rows)]


MARKED = MarkedVersions()
CURRENT = Selection(ModelVersion, ("kind", "id")).where(stage=ModelVersion.Stage.CHAMPION)
"""Champions of all sources."""


def marked_champions(at: datetime | None, source: str) -> dict[str, dict[str, Any]]:
    """Values of the champions of a source by kind, now or at a time."""
    if at is None:
        found = CURRENT.where(source=source).page(MARKED, None, backwards=False, n_rows=len(Kind))
    else:
        then = [version.pk for version in registry.champions_at(at, source).values()]
        found = MARKED.read(ModelVersion.objects.filter(pk__in=then))
    values = [dict(zip(MARKED.names, row, strict=True)) for row in found]
    return {value["kind"]: value for value in values}


def status_at(
    at: datetime | None, source: str | None, loaded_by: Mapping[str, list[str]]
) -> tuple[dict[str, Any], str]:
    """Champion of each kind with its report, and an ETag; `loaded_by` is used only without `at`.

    The ETag is weak and does not depend on the time: it is the same while champions, reports and processes are.
    """
    source = source or default_source()
    found = marked_champions(at, source)
    status: dict[str, Any] = {"at": at or clock.wall_now(), "source": source}
    marks: dict[str, Any] = {"source": source}
    for kind in Kind.values:
        version = found.get(kind)
        report = None if version is None else report_json(UUID(version["id"]), version["mark"])
        content, digest = (None, None) if report is None else (report.content, report.digest)
        status[kind] = champion_object(version, content, loaded_by if at is None else {})
        marks[kind] = {**status[kind], "metrics": digest}
    return status, f'W/"{hashlib.blake2b(orjson.dumps(marks), digest_size=16).hexdigest()}"'


def champion_object(
    version: Mapping[str, Any] | None, metrics: orjson.Fragment | None, loaded_by: Mapping[str, list[str]]
) -> dict[str, Any]:
    """One champion with its report as a JSON object, with nulls where there is none."""
    if version is None:
        unknown = dict.fromkeys(("champion", "digest", "unproven", "trained_until"))
        return {**unknown, "symbols": [], "horizons": [], "metrics": None, "loaded_by": []}
    return {
        "champion": version["id"],
        "digest": version["digest"],
        "unproven": version["unproven"],
        "trained_until": version["trained_until"],
        "symbols": json_of(version["symbols"]),
        "horizons": json_of(version["horizons"]),
        "metrics": metrics,
        "loaded_by": list(loaded_by.get(version["id"], [])),
    }


def accuracy_of(report: Mapping[str, Any]) -> float | None:
    """Skill of a version (1 - loss / best baseline's loss), or None."""
    skill = report.get("skill")
    return float(skill) if isinstance(skill, int | float) else None
