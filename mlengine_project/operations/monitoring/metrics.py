"""Prometheus metrics: counts from shared rows, everything else computed at the scrape.

So every process returns the same values, and none is lost when a process ends.
"""

from collections import Counter as Tally
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from redis import Redis, RedisError

from indicators.calendar.releases import KNOWN_UNTIL
from marketdata import clock
from marketdata import health as market_health
from marketdata.models import ExchangeState
from mlengine_project.operations.models import Heartbeat, Job
from mlengine_project.operations.monitoring import health
from mlengine_project.operations.monitoring.counters import (
    BUCKETS,
    LATENCY,
    PREDICTIONS,
    REFUSALS,
    WINDOWS,
    Series,
    measures,
)
from modelregistry import registry
from modelregistry.models import Kind
from modelregistry.registry.status import accuracy_of, default_source
from predictions.log import queries as prediction_log
from signals import health as signal_health
from signals.models import SignalLog

CONTENT_TYPE = CONTENT_TYPE_LATEST
HEARTBEAT_WINDOW = timedelta(seconds=60)
REFUSAL_WINDOW = timedelta(hours=1)
QUEUES = ("live", "default", "training")


def exposition() -> bytes:
    """All metrics as text."""
    registry_of_scrape = CollectorRegistry()
    registry_of_scrape.register(EngineCollector())
    return bytes(generate_latest(registry_of_scrape))


class EngineCollector:
    """Collector of one scrape; without a database only the counts of this process."""

    def collect(self) -> Iterator[Metric]:
        """All metric families."""
        families: list[Metric] = []
        up = 1
        try:
            families += request_metrics(measures.totals())
            for gather in (models, market_data, signals, coverage, work, checks):
                families += gather()
        except (DatabaseError, InterfaceError):
            up, families = 0, list(request_metrics(measures.pending()))
        yield GaugeMetricFamily("ml_database_up", "Whether the database answered this scrape.", value=up)
        yield from families


def request_metrics(totals: dict[Series, float]) -> Iterator[Metric]:
    """Prediction requests: number, latency, refusals by reason."""
    answers = CounterMetricFamily(
        PREDICTIONS.removesuffix("_total"), "Predictions answered over REST.", labels=["symbol", "horizon"]
    )
    refusals = CounterMetricFamily(
        REFUSALS.removesuffix("_total"), "Predictions refused over REST, by most important reason.", labels=["reason"]
    )
    windows = CounterMetricFamily(
        WINDOWS.removesuffix("_total"),
        "Windows held in memory: filled, fed, reread; rows compared with the batch, and those different.",
        labels=["event"],
    )
    for (name, text), value in sorted(totals.items()):
        labels = dict(pair.split("=", 1) for pair in text.split(",") if pair)
        if name == PREDICTIONS:
            answers.add_metric([labels["symbol"], labels["horizon"]], value)
        elif name == REFUSALS:
            refusals.add_metric([labels["reason"]], value)
        elif name == WINDOWS:
            windows.add_metric([labels["event"]], value)
    yield answers
    yield refusals
    yield windows
    yield latency(totals)


def latency(totals: dict[Series, float]) -> Metric:
    """Latency histogram of POST /predictions."""
    histogram = HistogramMetricFamily(LATENCY, "Seconds from the request to the answer of POST /predictions.")
    below, buckets = 0.0, []
    for edge in [*map(str, BUCKETS), "+Inf"]:
        below += totals.get((f"{LATENCY}_bucket", f"le={edge}"), 0.0)
        buckets.append((edge, below))
    histogram.add_metric([], buckets=buckets, sum_value=totals.get((f"{LATENCY}_sum", ""), 0.0))
    return histogram


def models() -> Iterator[Metric]:
    """Accuracy of the champions, and whether every process has loaded them."""
    accuracy = GaugeMetricFamily(
        "ml_model_accuracy", "1 - loss / best baseline's loss, on rows never seen.", labels=["model_name"]
    )
    champions = registry.champions(default_source())
    for kind, version in sorted(champions.items()):
        value = accuracy_of(version.report)
        if value is not None:
            accuracy.add_metric([kind], value)
    yield accuracy
    champion = GaugeMetricFamily("ml_model_has_champion", "1 when the kind has a champion.", labels=["model_name"])
    for kind in Kind.values:
        champion.add_metric([kind], int(kind in champions))
    yield champion
    loaded = GaugeMetricFamily(
        "ml_model_loaded_is_promoted",
        "1 when the process has the champion in memory.",
        labels=["process", "model_name"],
    )
    for name, detail in _running_processes():
        loaded_versions = {
            kind: version for kinds in detail.get("loaded", {}).values() for kind, version in kinds.items()
        }
        for kind in sorted(set(loaded_versions) & set(champions)):
            loaded.add_metric([name, kind], int(loaded_versions[kind] == str(champions[kind].pk)))
    yield loaded
    ahead = (KNOWN_UNTIL - clock.wall_ms()) / 1000
    yield _gauge("ml_release_calendar_seconds", "Seconds until the release calendar of the features ends.", ahead)


def market_data() -> Iterator[Metric]:
    """Age of candles and use of the exchange."""
    ages = GaugeMetricFamily(
        "ml_data_age_seconds", "Market time minus the close of the newest stored candle.", labels=["symbol"]
    )
    for symbol, age in sorted(market_health.data_age_seconds().items()):
        if age is not None:
            ages.add_metric([symbol], age)
    yield ages
    state = ExchangeState.objects.filter(pk=1).first() or ExchangeState()
    yield _gauge("ml_exchange_used_weight", "Request weight of the last minute seen.", state.used_weight)
    yield _gauge("ml_exchange_weight_limit", "Request weight the exchange allows a minute.", state.weight_limit)
    banned = bool(state.banned_until_ms and state.banned_until_ms > clock.wall_ms())
    yield _gauge("ml_exchange_banned", "1 while the exchange bans requests.", banned)
    yield _gauge("ml_exchange_reconnects", "Reconnects of the feed.", state.reconnects)
    offset = 0 if state.clock_wall_ms is None else (state.clock_market_ms or 0) - state.clock_wall_ms
    yield _gauge("ml_exchange_clock_offset_seconds", "Exchange time minus wall time.", offset / 1000)


def signals() -> Iterator[Metric]:
    """Signals: delay after the close, outbox, holds by reason."""
    delay = GaugeMetricFamily(
        "ml_candle_to_signal_seconds", "From the newest signal's candle close to the signal.", labels=["symbol"]
    )
    refused: Tally[str] = Tally()
    newest: dict[str, SignalLog] = {}
    rows = SignalLog.objects.filter(created_at__gte=clock.wall_now() - REFUSAL_WINDOW).order_by("seq")
    for row in rows.only("symbol", "seq", "candle_time", "made_at", "reasons", "signal_type"):
        newest[row.symbol] = row
        refused.update(row.reasons[:1])
    for symbol, row in sorted(newest.items()):
        delay.add_metric([symbol], (row.made_at - row.candle_time).total_seconds() - 300)
    yield delay
    reasons = GaugeMetricFamily(
        "ml_signal_holds_last_hour", "Signals held in the last hour, by most important reason.", labels=["reason"]
    )
    for reason, count in sorted(refused.items()):
        reasons.add_metric([reason], count)
    yield reasons
    degraded = GaugeMetricFamily(
        "ml_degraded_predictions_last_hour", "Degraded predictions of the last hour, by reason.", labels=["reason"]
    )
    for reason, count in sorted(prediction_log.degraded_counts(REFUSAL_WINDOW).items()):
        degraded.add_metric([reason], count)
    yield degraded
    suppressed = GaugeMetricFamily(
        "ml_unbelieved_out_of_distribution_last_hour",
        "Predictions of the last hour out of distribution by a measure that the guard suppresses.",
        labels=["symbol"],
    )
    for symbol, count in sorted(prediction_log.suppressed_counts(REFUSAL_WINDOW).items()):
        suppressed.add_metric([symbol], count)
    yield suppressed
    unsent, age = signal_health.outbox()
    yield _gauge("ml_outbox_unsent", "Signals waiting to be published.", unsent)
    yield _gauge("ml_outbox_age_seconds", "How long the oldest of them has waited.", age or 0.0)


def coverage() -> Iterator[Metric]:
    """Recent coverage of the predicted bands, from the newest predictions."""
    ratios = GaugeMetricFamily(
        "ml_band_coverage_ratio",
        "Share of outcomes inside the band, trailing month.",
        labels=["symbol", "horizon", "level", "target"],
    )
    for row in prediction_log.newest():
        for band in row.coverage:
            for target in ("high", "low"):
                if band[target] is not None:
                    ratios.add_metric([row.symbol, str(row.horizon), str(band["level"]), target], band[target])
    yield ratios


def work() -> Iterator[Metric]:
    """Queues, jobs and heartbeats."""
    depths = GaugeMetricFamily("ml_queue_depth", "Tasks waiting in a queue.", labels=["queue"])
    for queue, depth in queue_depths().items():
        depths.add_metric([queue], depth)
    yield depths
    jobs = GaugeMetricFamily("ml_jobs", "Jobs that have not ended.", labels=["state"])
    for state in (Job.State.PENDING, Job.State.RUNNING):
        jobs.add_metric([state], Job.objects.filter(state=state).count())
    yield jobs
    beat_ages = GaugeMetricFamily("ml_heartbeat_age_seconds", "Seconds since the last heartbeat.", labels=["process"])
    now = clock.wall_now()
    for name, at in Heartbeat.objects.order_by("name").values_list("name", "at"):
        beat_ages.add_metric([name], max(0.0, (now - at).total_seconds()))
    yield beat_ages
    yield _gauge("ml_rate_limit", "Calls a key may make to /predictions a minute; 0 is no limit.", settings.RATE_LIMIT)


def checks() -> Iterator[Metric]:
    """Status of each part, as in `/health/detailed`."""
    healthy = GaugeMetricFamily(
        "ml_part_healthy", "1 when the part is healthy, 0.5 when degraded, 0 when unhealthy.", labels=["part"]
    )
    for name, report in health.parts().items():
        healthy.add_metric([name], {"healthy": 1.0, "degraded": 0.5}.get(report["status"], 0.0))
    yield healthy


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)


def _running_processes() -> Iterable[tuple[str, dict[str, Any]]]:
    since = clock.wall_now() - HEARTBEAT_WINDOW
    return Heartbeat.objects.filter(at__gte=since).order_by("name").values_list("name", "detail")


def queue_depths() -> dict[str, int]:
    """Waiting tasks by queue; empty when the broker is unavailable."""
    return _in_process() if settings.EMBEDDED else _in_redis()


def _in_redis() -> dict[str, int]:
    prefix = settings.CELERY_BROKER_TRANSPORT_OPTIONS.get("global_keyprefix", "")
    try:
        with Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=1) as broker:
            return {queue: int(broker.llen(prefix + queue)) for queue in QUEUES}  # type: ignore[arg-type]
    except (RedisError, OSError):
        return {}


def _in_process() -> dict[str, int]:
    from kombu.transport.memory import Channel

    return {queue: Channel.queues[queue].qsize() if queue in Channel.queues else 0 for queue in QUEUES}
