"""Simulation of the day of one seed: set up, run, check the results."""

import random
import shutil
import sqlite3
import time
from collections import Counter
from contextlib import ExitStack, closing

from django.db import connection

from marketdata import clock, randomness
from marketdata.simulator.faults import FaultPlan
from marketdata.simulator.ledger import Ledger
from marketdata.simulator.market_clock import MarketClock
from marketdata.simulator.venue import Venue
from signals.delivery import publisher
from tests.champions import reset_process_state
from tests.simulation.checker import RECOVERY_SECONDS, STEP, Checker
from tests.simulation.engine import Process
from tests.simulation.network import Network, wired
from tests.simulation.outcome import Outcome
from tests.simulation.plan import CANDLE_SECONDS, CLOSE_PHASE, DAY_SECONDS, RE_READ_SECONDS, SYMBOLS, draw
from tests.simulation.setting import REDIS, source
from tests.simulation.storage import Crash, Storage, VirtualRedis
from tests.simulation.world import VirtualClock, World

RE_READS = (RE_READ_SECONDS, 80_000.0)


class CountedFaults(FaultPlan):
    """A fault plan that counts how often each kind was triggered."""

    def __init__(self, faults, seed):
        super().__init__(faults, seed)
        self.kinds = Counter()

    def trigger(self, kinds, market_ms, symbol=None, path=""):
        """The triggered fault, if any; a lasting one counts at every call."""
        fault = super().trigger(kinds, market_ms, symbol, path)
        if fault is not None:
            self.kinds[fault.kind] += 1
        return fault


class Day:
    """The simulated day of one seed."""

    def __init__(self, seed, path, plan, trace=None):
        self.seed, self.path, self.plan = seed, path, plan
        self.world = World(seed)
        self.world.trace = trace
        self.clock = VirtualClock(self.world, plan.wall_ms)
        self.missing_late = []
        self.early = []
        self.episode_counts = Counter()  # faults of the engine's own side by kind

    def run(self):
        """Run the day; return the checker's findings and figures."""
        world, plan = self.world, self.plan
        with ExitStack() as stack:
            stack.enter_context(clock.use(self.clock))
            stack.enter_context(randomness.use(world.rng("engine")))
            self.ledger = Ledger()
            faults = CountedFaults(plan.faults, self.seed)
            self.fault_counts = faults.kinds
            self.venue = Venue(source(), MarketClock(plan.begin_ms), faults, self.ledger)
            self.process = Process(world, reset_process_state)
            self.network = Network(world, self.venue, self.process.effect)
            self.storage = Storage(world, self.process.effect, self.process.meanwhile, self._check_newest)
            self.redis = publisher._clients[REDIS] = VirtualRedis(world, self.process.effect)
            stack.enter_context(wired(self.network))
            stack.enter_context(self.storage.installed())
            self.watch = stack.enter_context(closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)))
            self._schedule()
            while world.now < DAY_SECONDS:
                self._run_process()
            if not self.process.has_crashed:
                self.process.end()
        return self._check()

    def _run_process(self):
        """Run the process from a boot to its crash."""
        process, world = self.process, self.world
        world.advance(self.down_until)
        try:
            process.boot()
            while world.now < DAY_SECONDS:
                process.turn()
        except Crash:
            process.end()

    # --- scheduled events ---

    def _schedule(self):
        self.down_until = 0.0
        self.worker_is_away = False
        for episode in self.plan.episodes:
            self.world.at(episode.at, lambda episode=episode: self._begin(episode))
            if episode.kind in {"database", "redis", "worker"}:
                self.world.at(episode.until, lambda episode=episode: self._end(episode))
        for index in range(int(DAY_SECONDS // CANDLE_SECONDS) + 1):
            close = CLOSE_PHASE + CANDLE_SECONDS * index
            if index % 2:  # the real schedule has both at every close; half as often is a harder and faster test
                self.world.at(close + 3, lambda: self._enqueue("advance"))
                self.world.at(close + 60, lambda: self._enqueue("sweep_quality"))
        for moment in RE_READS:
            self.world.at(moment, lambda: self._enqueue("re_read_history"))
        for minute in range(int(DAY_SECONDS // 60)):
            self.world.at(60.0 * minute + 50, lambda: self._enqueue("sweep_outbox"))
        self.world.at(self.plan.last + RECOVERY_SECONDS, self._look_for_recovery)

    def _enqueue(self, name):
        """Enqueue a scheduled task; an outbox sweep without messages is omitted."""
        is_idle = name == "sweep_outbox" and not self._rows("SELECT 1 FROM outbox_messages WHERE sent_at IS NULL")
        if not self.worker_is_away and not is_idle:
            self.process.enqueue(name)

    def _begin(self, episode):
        self.world.note("begins", episode.kind, f"{episode.amount:.3f}")
        self.episode_counts[episode.kind] += 1
        match episode.kind:
            case "crash":
                self.down_until = max(self.down_until, episode.until)
                self.process.kill(int(episode.amount))
            case "database":
                self.storage.failing = episode.amount
            case "redis":
                self.redis.failing, self.redis.is_away = episode.amount, episode.amount == 1.0
            case "worker":
                self.worker_is_away = True
            case "blackhole":
                self.network.hole()
            case "clock":
                self.clock.skew_ms += round(episode.amount * 1000)

    def _end(self, episode):
        self.world.note("ends", episode.kind)
        match episode.kind:
            case "database":
                self.storage.failing = 0.0
            case "redis":
                self.redis.failing, self.redis.is_away = 0.0, False
            case "worker":
                self.worker_is_away = False

    # --- checks ---

    def _check_newest(self):
        """Check after every commit that no candle is stored before its close."""
        newest = self._rows(
            "SELECT max((SELECT max(open_time) FROM candles WHERE market_id = markets.id)) FROM markets"
        )[0][0]
        if newest is not None and newest + STEP > self.venue.clock.now_ms():
            self.early.append(f"{newest} was stored before its close")

    def _rows(self, sql):
        """Read committed rows with a separate connection.

        Inside a running event loop Django's own connection is another, empty one.
        """
        return self.watch.execute(sql).fetchall()

    def _look_for_recovery(self):
        self.missing_late = Checker(self.path, self.ledger, SYMBOLS, []).recovered(self.venue.clock.now_ms())

    def _check(self):
        checker = Checker(self.path, self.ledger, SYMBOLS, self.redis.published)
        checker.findings.open_as_closed += sorted(set(self.early))
        checker.findings.late += self.missing_late
        begin_ms = self.plan.begin_ms
        quiet_ms = begin_ms + round((self.plan.last + RECOVERY_SECONDS) * 1000)
        end_ms = begin_ms + round(DAY_SECONDS * 1000)
        checker.check_delays(quiet_ms, end_ms - STEP // 2, begin_ms)
        findings = checker.final(end_ms)
        findings.wrong += [f"a task failed: {error!r}" for error in self.process.failures]
        entries = self.ledger.entries()
        changed = {"absent": "hole", "appeared": "late_hole", "corrected": "correction"}
        candles = Counter(changed[entry.event] for entry in entries if entry.event in changed)
        figures = {
            "closes": sum(entry.event in {"closed", "appeared"} for entry in entries),
            "faults": dict(sorted((self.fault_counts + self.episode_counts + candles).items())),
            "rebuilds": self.network.accepted,
            "boots": self.process.boots,
            "tasks": dict(sorted(self.process.ran.items())),
            "events": self.world.events,
            "requests": self.network.requests,
            "highest_weight": self.network.meter.highest_used,
            "impolite": self.network.violations,
            "statements": self.storage.statements,
            "published": len(self.redis.published),
        }
        return findings, figures


def simulate(seed, template, trace=None, plan=None):
    """Run the day of a seed deterministically."""
    began = time.process_time()
    path = template.with_name(f"seed_{seed}.sqlite3")
    connection.close()
    shutil.copy(template, path)
    connection.settings_dict["NAME"] = path
    random.seed(seed)  # python-binance's own jitter
    day = Day(seed, path, plan or draw(seed), trace)
    try:
        findings, figures = day.run()
    finally:
        connection.close()
        for leftover in path.parent.glob(f"{path.name}*"):
            leftover.unlink()
    texts = [f"{kind}: {words}" for kind, found in vars(findings).items() for words in found]
    return Outcome(seed, day.world.hash, findings.counts(), texts, time.process_time() - began, figures)
