"""Champions now or at a past time, as one object for REST and the console."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from marketdata import clock
from marketdata.models import Market, Source
from modelregistry import registry
from modelregistry.evaluation.reports.as_json import published
from modelregistry.models import Kind, ModelVersion


def default_source() -> str:
    """Source of the enabled markets; the exchange if there are none."""
    simulated = Market.objects.enabled().filter(source=Source.SIMULATED).exists()
    return str(Source.SIMULATED if simulated else Source.EXCHANGE)


def status_at(at: datetime | None, source: str | None, loaded_by: Mapping[str, list[str]]) -> dict[str, Any]:
    """Champion of each kind with its report; `loaded_by` is used only without `at`."""
    source = source or default_source()
    champions = registry.champions(source) if at is None else registry.champions_at(at, source)
    present = loaded_by if at is None else {}
    status: dict[str, Any] = {"at": at or clock.wall_now(), "source": source}
    for kind in Kind.values:
        status[kind] = champion_object(champions.get(kind), present)
    return status


def champion_object(version: ModelVersion | None, loaded_by: Mapping[str, list[str]]) -> dict[str, Any]:
    """One champion as a JSON object, with nulls where there is none."""
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
        "metrics": published(version.report),
        "loaded_by": list(loaded_by.get(str(version.pk), [])),
    }


def accuracy_of(report: Mapping[str, Any]) -> float | None:
    """Skill of a version (1 - loss / best baseline's loss), or None."""
    skill = report.get("skill")
    return float(skill) if isinstance(skill, int | float) else None
