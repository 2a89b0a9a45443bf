"""Context of the models page: active model of each kind, baselines, promotion log."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from marketdata import clock
from marketdata.models import Market, Source
from mlengine_project.console.engine_state import HEARTBEAT_TIMEOUT_SECONDS
from mlengine_project.operations.models import Heartbeat
from modelregistry.evaluation.reports.tables import Table, baseline_table, tables_of
from modelregistry.models import Kind, ModelVersion, PromotionEvent

MAX_EVENTS = 30
PURPOSES = {
    Kind.RANGE: "How high and how low a market will trade: seven quantiles of the highest high and the lowest low.",
    Kind.TPSL: "Whether a take-profit is reached before a stop-loss, for any bracket, horizon and side.",
    Kind.SIGNAL: "Whether a market will rise or fall at the decision horizon, after costs.",
}


@dataclass(frozen=True)
class ActiveVersion:
    """One kind of estimator and its active version."""

    kind: str
    label: str
    purpose: str
    champion: ModelVersion | None
    since: datetime | None
    candidates: int
    loaded_by: int
    processes: int
    skill: float | None
    """Skill against the best reference baseline: the share of its loss saved."""
    baselines: Table | None
    tables: list[Table]


def context() -> dict[str, Any]:
    """Context of the models page."""
    simulated = Market.objects.enabled().filter(source=Source.SIMULATED).exists()
    source = Source.SIMULATED if simulated else Source.EXCHANGE
    versions = ModelVersion.objects.filter(source=source)
    champions = {version.kind: version for version in versions.filter(stage=ModelVersion.Stage.CHAMPION)}
    candidates = Counter(versions.filter(stage=ModelVersion.Stage.CANDIDATE).values_list("kind", flat=True))
    events = PromotionEvent.objects.filter(source=source).select_related("from_version", "to_version")
    since: dict[str, datetime] = dict(events.order_by("at").values_list("kind", "at"))
    loaded, processes = _loaded()
    return {
        "kinds": [
            ActiveVersion(
                kind=kind.value,
                label=str(kind.label),
                purpose=PURPOSES[kind],
                champion=champion,
                since=since.get(kind.value),
                candidates=candidates[kind.value],
                loaded_by=loaded[str(champion.pk)] if champion else 0,
                processes=processes,
                skill=champion.report.get("skill") if champion else None,
                baselines=baseline_table(champion.report) if champion else None,
                tables=tables_of(champion.report) if champion else [],
            )
            for kind in Kind
            for champion in [champions.get(kind.value)]
        ],
        "events": list(events[:MAX_EVENTS]),
    }


def _loaded() -> tuple[Counter[str], int]:
    """Number of running processes by loaded version, and in total."""
    now = clock.wall_now()
    loaded: Counter[str] = Counter()
    processes = 0
    for at, detail in Heartbeat.objects.filter(part__in=["web", "worker"]).values_list("at", "detail"):
        if (now - at).total_seconds() < HEARTBEAT_TIMEOUT_SECONDS:
            processes += 1
            by_source = (detail or {}).get("loaded") or {}
            loaded.update({version for kinds in by_source.values() for version in kinds.values()})
    return loaded, processes
