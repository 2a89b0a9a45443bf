"""Contexts of the pages of models: all kinds, one version, two versions side by side."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.utils.translation import gettext, gettext_noop

from marketdata import clock
from mlengine_project.console.engine_state import HEARTBEAT_TIMEOUT_SECONDS
from mlengine_project.console.versions import comparisons
from mlengine_project.console.versions.charts import Chart, Panel
from mlengine_project.console.versions.probability_charts import charts_of
from mlengine_project.console.versions.skill import skill_of, skill_parts, with_skill_parts
from mlengine_project.console.wording import SkillText
from mlengine_project.operations.jobs.control import ACTIVE_STATES
from mlengine_project.operations.models import Heartbeat, Job
from modelregistry.evaluation.reports.tables import baseline_table, differences, tables_of
from modelregistry.models import Kind, ModelVersion, PromotionEvent
from modelregistry.registry.status import default_source
from modelregistry.registry.version_state import LOG, Gate, VersionState, state_of
from modelregistry.search.trial_ledger import ledger_report

MAX_EVENTS = 30
MAX_VERSIONS = 300
OVERVIEW_CHARTS = {Kind.RANGE: 3, Kind.TPSL: 4, Kind.SIGNAL: 2}
"""Charts of the overview: skill over time, coverage or reliability, net result."""
PURPOSES = {
    Kind.RANGE: gettext_noop(
        "How high and how low a market will trade: seven quantiles of the highest high and the lowest low."
    ),
    Kind.TPSL: gettext_noop("Whether a take-profit is reached before a stop-loss, for any bracket, horizon and side."),
    Kind.SIGNAL: gettext_noop("Whether a market will rise or fall at the decision horizon, after costs."),
}


@dataclass(frozen=True)
class ShownVersion:
    """A version with its state and skill in words."""

    version: ModelVersion
    state: VersionState
    skill: SkillText
    skill_value: float | None
    test_days: int | None

    @property
    def proven(self) -> bool:
        """Whether the gate accepted it."""
        return self.state.gate == Gate.ACCEPTED


@dataclass(frozen=True)
class ActiveVersion:
    """One kind of estimator and its active version."""

    kind: str
    label: str
    purpose: str
    champion: ShownVersion | None
    since: datetime | None
    candidates: int
    loaded_by: int
    processes: int
    can_roll_back: bool
    charts: int

    @property
    def sentence(self) -> str:
        """What is so: kind, proven or not, skill.

        It calls proven only what the gate accepted and whose skill is surely above zero.
        """
        if self.champion is None:
            return gettext("%(kind)s: no active version.") % {"kind": self.label}
        is_sure = self.champion.skill.tone == "better"
        accepted = gettext("%(kind)s: proven. %(skill)s.")
        unproven_refresh = gettext("%(kind)s: not proven, refreshed on newer candles. %(skill)s.")
        refreshed = gettext("%(kind)s: refreshed on newer candles. %(skill)s.")
        unsure = gettext("%(kind)s: accepted by the gate, gain not sure. %(skill)s.")
        verdicts = {
            Gate.ACCEPTED: accepted if is_sure else unsure,
            Gate.REFRESH: unproven_refresh if self.champion.version.unproven else refreshed,
            Gate.OVERRIDDEN: gettext("%(kind)s: not proven, promoted by override. %(skill)s."),
        }
        words = verdicts.get(self.champion.state.gate, gettext("%(kind)s: not proven. %(skill)s."))
        return words % {"kind": self.label, "skill": self.champion.skill.text}


def context() -> dict[str, Any]:
    """Context of the page of all models."""
    source = default_source()
    versions = with_skill_parts(ModelVersion.objects.filter(source=source)).prefetch_related(*LOG)
    champions = {one.kind: _shown(one) for one in versions.filter(stage=ModelVersion.Stage.CHAMPION)}
    listed = [_shown(one) for one in versions[:MAX_VERSIONS]]
    waiting = ModelVersion.objects.filter(source=source, stage=ModelVersion.Stage.CANDIDATE)
    candidates = Counter(waiting.values_list("kind", flat=True))
    events = PromotionEvent.objects.filter(source=source).select_related("from_version", "to_version")
    events = events.defer("from_version__report", "to_version__report")
    since: dict[str, datetime] = dict(events.order_by("at").values_list("kind", "at"))
    undoable = {
        event.kind: event for event in events.filter(undone_by__isnull=True).exclude(action="rollback").order_by("pk")
    }
    loaded, processes = _loaded()
    return {
        "kinds": [
            ActiveVersion(
                kind=kind.value,
                label=gettext(str(kind.label)),
                purpose=gettext(PURPOSES[kind]),
                champion=champion,
                since=since.get(kind.value),
                candidates=candidates[kind.value],
                loaded_by=loaded[str(champion.version.pk)] if champion else 0,
                processes=processes,
                can_roll_back=kind.value in undoable and undoable[kind.value].from_version_id is not None,
                charts=OVERVIEW_CHARTS[kind],
            )
            for kind in Kind
            for champion in [champions.get(kind.value)]
        ],
        "versions": listed,
        "more": versions.count() - len(listed),
        "events": list(events[:MAX_EVENTS]),
        "trainings": list(Job.objects.filter(kind=Job.Kind.TRAINING, state__in=ACTIVE_STATES)),
    }


def version_context(version: ModelVersion) -> dict[str, Any]:
    """Context of the page of one version: its report."""
    report = version.report
    tables = [table for table in (baseline_table(report), *tables_of(report)) if table is not None]
    return {
        "shown": shown_whole(version),
        "tested": [
            (clock.to_datetime(fold["from_ms"]), clock.to_datetime(fold["to_ms"])) for fold in report.get("folds") or []
        ],
        "tables": tables,
        "comparisons": comparisons.listed(version),
        "ledger": ledger_report(version.kind, version.source),
        "source_label": gettext(version.get_source_display()),
    }


def comparison(first: ModelVersion, second: ModelVersion) -> dict[str, Any]:
    """Context of two versions of one kind side by side."""
    return {
        "pair": [shown_whole(first), shown_whole(second)],
        "differences": differences(first.report, second.report),
        "comparisons": comparisons.listed(first, second),
    }


def compared_charts(first: ModelVersion, second: ModelVersion) -> list[Chart]:
    """Charts that both reports have, panel beside panel on one scale."""
    others = {chart.title: chart for chart in charts_of(second.kind, second.report) if chart.panels}
    merged = []
    for chart in charts_of(first.kind, first.report):
        other = others.get(chart.title)
        if not chart.panels or other is None:
            continue
        pairs = [*_named(chart.panels, first), *_named(other.panels, second)]
        ends = (min(chart.ends[0], other.ends[0]), max(chart.ends[1], other.ends[1]))
        # A horizon's two panels stand beside each other.
        merged.append(replace(chart, panels=[panel for _, panel in sorted(pairs, key=lambda one: one[0])], ends=ends))
    return merged


def shown_whole(version: ModelVersion) -> ShownVersion:
    """A version with its whole report in memory."""
    skill = skill_of(version.kind, version.report)
    return ShownVersion(version, state_of(version), skill, version.report.get("skill"), version.report.get("test_days"))


def _shown(version: ModelVersion) -> ShownVersion:
    parts = skill_parts(version)
    skill = skill_of(version.kind, parts)
    return ShownVersion(version, state_of(version), skill, parts["skill"], parts["test_days"])


def _named(panels: Sequence[Panel], version: ModelVersion) -> list[tuple[int, Panel]]:
    return [(i, replace(panel, title=f"{version.digest[:8]}: {panel.title}")) for i, panel in enumerate(panels)]


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
