"""State of the engine for every page: clock, notices, running processes."""

from dataclasses import dataclass, field

from django.db.models import Count, Q
from django.urls import reverse
from django.utils.translation import gettext

from marketdata import clock
from marketdata.models import ExchangeState, Market, Source
from mlengine_project.console.stored_texts import stored_text
from mlengine_project.console.wording import percent_text
from mlengine_project.operations.models import Heartbeat, Job
from modelregistry import registry
from modelregistry.models import Kind, ModelVersion
from signals.models import SignalSwitch

HEARTBEAT_TIMEOUT_SECONDS = 60
WALL_APART_MS = 2_000
PARTS = {
    "web": "web server",
    "worker": "worker",
    "trainer": "trainer",
    "beat": "scheduler",
    "stream": "price feed",
}


@dataclass(frozen=True)
class Notice:
    """An important notice at the top of every page."""

    tone: str
    text: str
    detail: str = ""
    progress: float | None = None
    link: str = ""


@dataclass(frozen=True)
class EngineState:
    """Current state of the engine."""

    market_ms: int
    rate: float
    simulated: bool
    market_count: int
    notices: list[Notice] = field(default_factory=list)
    missing_kinds: list[str] = field(default_factory=list)
    training: Job | None = None
    process_states: list[tuple[str, bool]] = field(default_factory=list)
    wall_apart: bool = False
    """Whether market time differs visibly from wall time, so that both are shown."""

    @property
    def active_kinds(self) -> int:
        """How many of the three kinds have a champion."""
        return len(Kind) - len(self.missing_kinds)


def current_state() -> EngineState:
    """Read the state; four small queries."""
    by_source = Market.objects.enabled().aggregate(
        all=Count("id"), simulated=Count("id", filter=Q(source=Source.SIMULATED))
    )
    simulated = bool(by_source["simulated"])
    source = Source.SIMULATED if simulated else Source.EXCHANGE
    active = set(
        ModelVersion.objects.filter(stage=ModelVersion.Stage.CHAMPION, source=source).values_list("kind", flat=True)
    )
    missing = [gettext(str(kind.label)) for kind in Kind if kind.value not in active]
    market_ms, rate = clock.market_ms(), clock.market_rate()
    jobs = list(Job.objects.filter(state__in=[Job.State.PENDING, Job.State.RUNNING]).order_by("created_at")[:5])
    return EngineState(
        market_ms=market_ms,
        rate=rate,
        wall_apart=rate != 1.0 or abs(market_ms - clock.wall_ms()) > WALL_APART_MS,
        simulated=simulated,
        market_count=by_source["all"],
        notices=[
            *_simulated_notice(simulated),
            *_switch_notices(),
            *_feed_notices(),
            *_model_notices(source),
            *map(_job_notice, jobs),
        ],
        missing_kinds=missing,
        training=next((job for job in jobs if job.kind == Job.Kind.TRAINING), None),
        process_states=process_states(),
    )


def process_states() -> list[tuple[str, bool]]:
    """Every part with a heartbeat, and whether it still runs."""
    now = clock.wall_now()
    newest: dict[str, bool] = {}
    for part, at in Heartbeat.objects.values_list("part", "at"):
        fresh = (
            abs((now - at).total_seconds()) < HEARTBEAT_TIMEOUT_SECONDS
        )  # a heartbeat ahead of now is not valid either
        newest[part] = newest.get(part, False) or fresh
    return [(PARTS.get(part, part), newest[part]) for part in sorted(newest)]


def _simulated_notice(simulated: bool) -> list[Notice]:
    if not simulated:
        return []
    return [
        Notice(
            "simulated",
            gettext("Prices are simulated"),
            gettext("Nothing on this page is a real market. Do not trade on it."),
        )
    ]


def _switch_notices() -> list[Notice]:
    thrown = SignalSwitch.objects.filter(off=True).order_by("symbol")
    return [
        Notice(
            "stopped",
            gettext("Signals are switched off for %(market)s") % {"market": switch.symbol or gettext("all markets")},
            switch.reason + (f" ({switch.changed_by})" if switch.changed_by else ""),
            link=reverse("console:operations"),
        )
        for switch in thrown
    ]


def _feed_notices() -> list[Notice]:
    exchange = ExchangeState.objects.filter(pk=1).first()
    if exchange is None or not exchange.banned_until_ms or exchange.banned_until_ms <= clock.wall_ms():
        return []
    until = clock.to_datetime(exchange.banned_until_ms)
    return [
        Notice(
            "stopped",
            gettext("The exchange refuses requests"),
            gettext("until %(time)s UTC") % {"time": f"{until:%H:%M}"},
        )
    ]


def _model_notices(source: str) -> list[Notice]:
    """Notices of active champions that this process could not load."""
    link = reverse("console:models")
    return [
        Notice(
            "stopped",
            gettext("%(kind)s is not serving") % {"kind": gettext(str(Kind(failure.kind).label))},
            failure.message,
            link=link,
        )
        for failure in registry.load_failures()
        if failure.source == source
    ]


def _job_notice(job: Job) -> Notice:
    verbs = {
        "training": gettext("Models are training"),
        "backfill": gettext("History is being fetched"),
        "bootstrap": gettext("History is being fetched"),
        "retention": gettext("Old models are being removed"),
    }
    verb = verbs.get(job.kind, job.kind)
    waiting, waits = job.state == Job.State.PENDING, gettext("waiting to start")
    return Notice(
        "working",
        f"{verb}: {waits}" if waiting else f"{verb}: {percent_text(job.progress, places=0)}",
        stored_text(job.message),
        progress=0.0 if waiting else job.progress,
        link=reverse("console:models" if job.kind == Job.Kind.TRAINING else "console:operations"),
    )
