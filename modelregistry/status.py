"""Who answers, now or then, as one object for REST and the console."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from marketdata import clock
from marketdata.models import Market, Source
from modelregistry import registry
from modelregistry.models import Kind, ModelVersion
from modelregistry.report_json import published


def usual_source() -> str:
    """The source of the enabled markets; the exchange while there are none."""
    simulated = Market.objects.enabled().filter(source=Source.SIMULATED).exists()
    return str(Source.SIMULATED if simulated else Source.EXCHANGE)


def status_at(at: datetime | None, source: str | None, loaded_by: Mapping[str, list[str]]) -> dict[str, Any]:
    """The champion of each kind with its report; `loaded_by` counts only for the present."""
    source = source or usual_source()
    crowned = registry.champions(source) if at is None else registry.champions_at(at, source)
    present = loaded_by if at is None else {}
    said: dict[str, Any] = {"at": at or clock.wall_now(), "source": source}
    for kind in Kind.values:
        said[kind] = champion_object(crowned.get(kind), present)
    return said


def champion_object(version: ModelVersion | None, loaded_by: Mapping[str, list[str]]) -> dict[str, Any]:
    """One champion, or the absence of one."""
    if version is None:
        return {
            "champion": None,
            "digest": None,
            "unproven": None,
            "trained_until": None,
            "symbols": [],
            "horizons": [],
            "metrics": None,
            "loaded_by": [],
        }
    return {
        "champion": str(version.pk),
        "digest": version.digest,
        "unproven": version.unproven,
        "trained_until": version.trained_until,
        "symbols": version.symbols,
        "horizons": version.horizons,
        "metrics": published(version.report),
        "loaded_by": list(loaded_by.get(str(version.pk), [])),
    }


def accuracy_of(report: Mapping[str, Any]) -> float | None:
    """1 - loss / best baseline's loss of a version, None where its report does not say."""
    skill = report.get("skill")
    return float(skill) if isinstance(skill, int | float) else None
