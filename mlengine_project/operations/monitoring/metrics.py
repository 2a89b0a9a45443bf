"""Prometheus metrics: counts from shared rows, everything else computed at the scrape.

So every process returns the same values, and none is lost when a process ends.
"""

from collections import Counter as Tally
from collections.abc import Iterator, Mapping
from datetime import timedelta

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
    champions = registry.champions(default_source())
    accuracies = {kind: accuracy_of(version.report) for kind, version in sorted(champions.items())}
    yield _gauges("ml_model_accuracy", "1 - loss / best baseline's loss, on rows never seen.", "model_name", accuracies)
    present = {kind: int(kind in champions) for kind in Kind.values}
    yield _gauges("ml_model_has_champion", "1 when the kind has a champion.", "model_name", present)
    loaded = GaugeMetricFamily(
        "ml_model_loaded_is_promoted",
        "1 when the process has the champion in memory.",
        labels=["process", "model_name"],
    )
    running = Heartbeat.objects.filter(at__gte=clock.wall_now() - HEARTBEAT_WINDOW).order_by("name")
    for name, detail in running.values_list("name", "detail"):
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
    ages = dict(sorted(market_health.data_age_seconds().items()))
    yield _gauges("ml_data_age_seconds", "Market time minus the close of the newest stored candle.", "symbol", ages)
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
    refused: Tally[str] = Tally()
    newest: dict[str, SignalLog] = {}
    rows = SignalLog.objects.filter(created_at__gte=clock.wall_now() - REFUSAL_WINDOW).order_by("seq")
    for row in rows.only("symbol", "seq", "candle_time", "made_at", "reasons", "signal_type"):
        newest[row.symbol] = row
        refused.update(row.reasons[:1])
    delays = {symbol: (row.made_at - row.candle_time).total_seconds() - 300 for symbol, row in sorted(newest.items())}
    delayed = "From the newest signal's candle close to the signal."
    yield _gauges("ml_candle_to_signal_seconds", delayed, "symbol", delays)
    held = "Signals held in the last hour, by most important reason."
    yield _gauges("ml_signal_holds_last_hour", held, "reason", dict(sorted(refused.items())))
    degraded = dict(sorted(prediction_log.degraded_counts(REFUSAL_WINDOW).items()))
    why = "Degraded predictions of the last hour, by reason."
    yield _gauges("ml_degraded_predictions_last_hour", why, "reason", degraded)
    suppressed = dict(sorted(prediction_log.suppressed_counts(REFUSAL_WINDOW).items()))
    why = "Predictions of the last hour out of distribution by a measure that the guard suppresses."
    yield _gauges("ml_unbelieved_out_of_distribution_last_hour", why, "symbol", suppressed)
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
    yield _gauges("ml_queue_depth", "Tasks waiting in a queue.", "queue", queue_depths())
    jobs = {str(state): Job.objects.filter(state=state).count() for state in (Job.State.PENDING, Job.State.RUNNING)}
    yield _gauges("ml_jobs", "Jobs that have not ended.", "state", jobs)
    now, beats = clock.wall_now(), Heartbeat.objects.order_by("name").values_list("name", "at")
    ages = {name: max(0.0, (now - at).total_seconds()) for name, at in beats}
    yield _gauges("ml_heartbeat_age_seconds", "Seconds since the last heartbeat.", "process", ages)
    yield _gauge("ml_rate_limit", "Calls a key may make to /predictions a minute; 0 is no limit.", settings.RATE_LIMIT)


def checks() -> Iterator[Metric]:
    """Status of each part, as in `/health/detailed`."""
    values = {
        name: {"healthy": 1.0, "degraded": 0.5}.get(report["status"], 0.0) for name, report in health.parts().items()
    }
    meaning = "1 when the part is healthy, 0.5 when degraded, 0 when unhealthy."
    yield _gauges("ml_part_healthy", meaning, "part", values)


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)


def _gauges(name: str, documentation: str, label: str, values: Mapping[str, float | None]) -> Metric:
    """One gauge for each value of a label; None is left out."""
    family = GaugeMetricFamily(name, documentation, labels=[label])
    for key, value in values.items():
        if value is not None:
            family.add_metric([key], value)
    return family


def queue_depths() -> dict[str, int]:
    """Waiting tasks by queue; empty when the broker is unavailable."""
    if settings.EMBEDDED:
        from kombu.transport.memory import Channel

        return {queue: Channel.queues[queue].qsize() if queue in Channel.queues else 0 for queue in QUEUES}
    prefix = settings.CELERY_BROKER_TRANSPORT_OPTIONS.get("global_keyprefix", "")
    try:
        with Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=1) as broker:
            return {queue: int(broker.llen(prefix + queue)) for queue in QUEUES}  # type: ignore[arg-type]
    except (RedisError, OSError):
        return {}
