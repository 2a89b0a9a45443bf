"""The embedded engine of `up`: simulator, history, models, feed, worker and beat.

The web server runs in the main thread from the start; everything here is prepared in other threads.
Each step can be repeated: a restart runs the same steps and finds them done.
"""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
from django.db import connections

from indicators.candles import DAY_CANDLES
from indicators.errors import MLEngineError
from indicators.features import WARMUP
from marketdata import clock, services
from marketdata.exchange.rest import RestSession
from marketdata.feed import supervisor
from marketdata.feed.inbox import Frames
from marketdata.intervals import INTERVAL_MS
from marketdata.models import Market
from marketdata.storage import candles
from mlengine_project.celery import app
from mlengine_project.embedded import price_sources
from mlengine_project.embedded.price_sources import Feed
from mlengine_project.embedded.workers import EmbeddedBeat, EmbeddedWorker
from mlengine_project.operations.jobs import control, runs
from mlengine_project.operations.models import Job
from mlengine_project.operations.monitoring import heartbeats
from modelregistry import registry
from modelregistry.models import Kind
from signals import services as signals

TRAINING_DAYS = 50
"""History fetched for the first, small models; enough to learn the daily seasonality."""
POLL_SECONDS = 0.5
JOIN_SECONDS = 8.0

log = structlog.get_logger(__name__)
ReportLine = Callable[[str], None]


class EmbeddedEngine:
    """All parts of `up` except the web server."""

    def __init__(self, feed: Feed, symbols: list[str], *, changed: bool, train: bool, report_line: ReportLine) -> None:
        self.feed = feed
        self.symbols = symbols
        self.changed = changed
        self.train = train
        self.report_line = report_line
        self.stopping = threading.Event()
        self.simulator: Any = None
        self.worker: EmbeddedWorker | None = None
        self.beat: EmbeddedBeat | None = None
        self.threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start in the background, without delaying the web server."""
        self._launch("engine", self._prepare)

    def stop(self) -> None:
        """Stop feed, beat, worker and simulator, each before what it depends on."""
        self.stopping.set()
        for thread in self.threads:
            thread.join(JOIN_SECONDS)
        if self.beat is not None:
            self.beat.stop()
        runs.interrupt_all()
        if self.worker is not None:
            self.worker.stop()
        if self.simulator is not None:
            price_sources.record(replace(self.feed, market_ms=self.simulator.clock.now_ms()))
            self.simulator.stop()

    def _launch(self, name: str, body: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._guarded, args=(name, body), name=name, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _guarded(self, name: str, body: Callable[[], None]) -> None:
        try:
            body()
        except MLEngineError as error:
            if not self.stopping.is_set():
                self.report_line(f"{name} stopped: {error}")
        except Exception:
            if not self.stopping.is_set():
                log.exception("part_of_the_engine_failed", part=name)
                self.report_line(f"{name} failed; see the log above. The pages and the API stay up.")
        finally:
            connections.close_all()

    def _prepare(self) -> None:
        if self.feed.kind == "simulator":
            self.feed = replace(self.feed, market_ms=max(self.feed.market_ms, newest_close_ms(self.feed)))
            self.simulator = open_simulator(self.feed, self.symbols)
            self.symbols = list(self.simulator.source.symbols)
            price_sources.point_at(self.simulator.base_url, self.simulator.stream_url)
        price_sources.record(self.feed)
        markets = price_sources.enable_markets(self.feed, self.symbols, changed=self.changed)
        control.release_all_running()
        self.worker, self.beat = EmbeddedWorker(app), EmbeddedBeat(app)
        self.worker.start()
        with RestSession(patient=True) as line:
            line.market_ms()
        self._fill_history(markets)
        if self.stopping.is_set():
            return
        self._launch("feed", self._follow_feed)
        self.beat.start()
        control.requeue_pending()
        if self.train and not registry.champions(self.feed.source):
            self._train_first_models()
        else:
            self.report_line(
                "models are active" if registry.champions(self.feed.source) else "no models; --no-train was given"
            )

    def _follow_feed(self) -> None:
        supervisor.run(
            services.enabled_markets, on_closed=self._on_closed, stop=self.stopping, beat=heartbeats.record_stream
        )
        heartbeats.remove("stream")

    def _on_closed(self, frames: Frames) -> None:
        signals.advance(frames=frames)

    def _fill_history(self, markets: list[Market]) -> None:
        needed = WARMUP + TRAINING_DAYS * DAY_CANDLES
        until_ms = clock.market_ms()
        for market in markets:
            newest = candles.newest_open([market]).get(market.id)
            from_ms = until_ms - needed * INTERVAL_MS if newest is None else newest + INTERVAL_MS
            if until_ms - from_ms < 2 * INTERVAL_MS or self.stopping.is_set():
                continue
            count = (until_ms - from_ms) // INTERVAL_MS
            self.report_line(f"fetching {count} candles of {market.symbol}")
            services.backfill(market, from_ms, until_ms, cancelled=self.stopping.is_set)

    def _train_first_models(self) -> None:
        job = control.request_training("up", {"small": True, "symbols": self.symbols}, slot=f"first-{self.feed.source}")
        if job.state in {Job.State.FAILED, Job.State.CANCELLED}:
            Job.objects.filter(id=job.id).update(slot=None)
            job = control.request_training("up", job.arguments, slot=f"first-{self.feed.source}")
        self.report_line(
            "training the first models in a process of their own; predictions answer 503 NO_CHAMPION until then"
        )
        self._watch(job)

    def _watch(self, job: Job) -> None:
        """Report the progress of a job in steps of 10 % until it ends."""
        reported = -1
        while not self.stopping.wait(POLL_SECONDS):
            job.refresh_from_db()
            if job.state not in {Job.State.PENDING, Job.State.RUNNING}:
                break
            tenth = int(job.progress * 10)
            if tenth > reported:
                reported = tenth
                self.report_line(f"training {job.progress:4.0%}  {job.message}")
        if job.state == Job.State.SUCCEEDED:
            kinds = ", ".join(sorted(registry.champions(self.feed.source)))
            self.report_line(
                f"models are active: {kinds}" if len(kinds.split(", ")) == len(Kind.values) else f"trained: {kinds}"
            )
        elif job.state == Job.State.FAILED:
            self.report_line(f"training failed: {job.message}; `manage.py train_models` shows why")


def newest_close_ms(feed: Feed) -> int:
    """Close of the newest stored candle of this feed, ms; 0 without candles."""
    opens = candles.newest_open(list(Market.objects.filter(source=feed.source)))
    return max((open_ms + INTERVAL_MS for open_ms in opens.values() if open_ms is not None), default=0)


def open_simulator(feed: Feed, symbols: list[str]) -> Any:
    """Start the simulated exchange of a feed where it stopped."""
    from marketdata.simulator import open_exchange

    return open_exchange(
        paths=[Path(feed.path)] if feed.path else [],
        symbols=() if feed.path else symbols,
        then_invent=True,
        seed=feed.seed,
        speed=feed.speed,
        began_at_ms=feed.began_at_ms,
        market_ms=feed.market_ms,
    ).start()
