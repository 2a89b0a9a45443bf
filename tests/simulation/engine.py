"""The engine as one process: the real feed and tasks with virtual time and network."""

import asyncio
import threading
from collections import Counter
from contextlib import suppress

from django.db import DatabaseError

from marketdata import clock, services
from marketdata.errors import ExchangeUnavailable
from marketdata.exchange import rest
from marketdata.feed import supervisor
from marketdata.feed.inbox import Inbox
from marketdata.feed.sockets import FeedTimings, Sockets
from marketdata.intervals import INTERVAL_MS, last_closed_open
from marketdata.process_state import process_state
from marketdata.tasks import re_read_history, sweep_quality
from signals.backlog import Sweep
from signals.delivery import publisher
from signals.services import advance
from tests.simulation.storage import Crash, drop_connection
from tests.simulation.world import VirtualLoop

IDLE = 0.5  # wait of the supervisor when nothing is due
LONG_WAIT = 120.0  # its replacement while everything is complete
SHORT_WAIT = 2.0  # its replacement while something is missing
PACE = FeedTimings(clock_period=120.0)
TASKS = {
    "advance": advance,
    "sweep_quality": sweep_quality,
    "sweep_outbox": publisher.drain,
    "re_read_history": re_read_history,
}


class VirtualInbox(Inbox):
    """An inbox whose `wait` advances virtual time."""

    process = None

    def wait(self, seconds):
        if not self._is_notified:
            self.process.wait(seconds)
        self._is_notified = False

    def _notify(self):
        super()._notify()
        self.process.wake()


class VirtualSockets(Sockets):
    """The real sockets in the process's own event loop instead of a thread."""

    def __init__(self, inbox, pace, loop):
        super().__init__(inbox, pace)
        self._loop.close()
        self._loop = loop

    def start(self):
        pass

    def follow(self, symbols):
        self._loop.run_until_complete(self._follow(list(symbols)))


class VirtualRunner:
    """Replacement of `asyncio.Runner` that also runs the sockets during a request."""

    loop = None

    def run(self, work):
        return VirtualRunner.loop.run_until_complete(work)

    def close(self):
        pass


class Process:
    """A process of the engine that runs from `boot` until a `Crash` ends it.

    Parameters
    ----------
    world : World
        Source of time and events.
    forget : callable
        Clears the state that a new process would not have.
    """

    def __init__(self, world, forget):
        self.world, self._forget = world, forget
        self.fuse = None  # effects until a crash
        self.has_crashed = True
        self.due = []  # names of tasks to run
        self.failures = []
        self.boots, self.ran = 0, Counter()
        self._rng = world.rng("process")
        self._waiter = None
        self._is_interrupted = False

    # --- start and end ---

    def boot(self):
        self.world.note("boots")
        self.boots += 1
        self._forget()
        drop_connection()
        self.has_crashed, self.fuse, self.due = False, None, []
        self.loop = VirtualRunner.loop = VirtualLoop(self.world)
        self.loop.set_exception_handler(lambda *_: None)
        asyncio.set_event_loop(self.loop)
        inbox = VirtualInbox()
        inbox.process = self
        self.feed = supervisor.Supervisor(
            services.enabled_markets, self._on_closed, None, PACE, VirtualSockets(inbox, PACE, self.loop)
        )

    def turn(self):
        """Run one iteration of the feed, and the due tasks of the worker."""
        self.feed.status_poller.poll()
        self.feed.run_once()
        while self.due:
            self._run_task(self.due.pop(0))

    def end(self):
        """Cancel everything in progress; nothing of it may have further effects."""
        self.world.note("is killed")
        self.has_crashed = True
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            cancelled = asyncio.gather(*tasks, return_exceptions=True)
            cancelled.add_done_callback(lambda _: self.loop.stop())
            # The loop may already have been stopped in the iteration of the crash, so it is run until all have ended.
            while not cancelled.done():
                with suppress(Crash):
                    self.loop.run_forever()
        self.loop.close()
        drop_connection()

    # --- called by the virtual environment ---

    def effect(self, name):
        """Called before every external effect; the process may crash here."""
        if self.has_crashed:
            raise Crash(name)
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                self.has_crashed = True
                self.world.note("dies at", name)
                raise Crash(name)

    def meanwhile(self, is_free):
        """Between two statements, sometimes run the sockets or a task as another thread would."""
        if self.has_crashed or asyncio._get_running_loop() is not None:
            return
        draw = self._rng.random()
        if draw < 0.01:
            self._pump(self._rng.expovariate(5.0))
        elif draw < 0.02 and is_free and self.due and not self._is_interrupted:
            self._is_interrupted = True
            try:
                self._run_task(self.due.pop(0))
            finally:
                self._is_interrupted = False

    def kill(self, effects):
        """Crash the process after this many more effects."""
        if not self.has_crashed:
            self.fuse = effects
            self.wake()

    def enqueue(self, name):
        if not self.has_crashed:
            self.due.append(name)
            self.wake()

    def wake(self):
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def wait(self, seconds):
        """Wait, longer than requested when nothing is due, to speed up the simulation."""
        if self.due or self.fuse is not None:
            seconds = 0.0
        elif seconds == IDLE:
            late_ms = clock.market_ms() - supervisor.LATE_MS
            is_well = last_closed_open(late_ms) <= self.feed._complete_until and not self.feed._repair_due
            seconds = min(LONG_WAIT, (INTERVAL_MS - late_ms % INTERVAL_MS) / 1000 + IDLE) if is_well else SHORT_WAIT
        self._pump(seconds)
        if self.fuse is not None:
            self.effect("turn")

    def _pump(self, seconds):
        self._waiter = self.loop.create_future()
        handle = self.loop.call_later(seconds, self.wake)
        self.loop.run_until_complete(self._waiter)
        handle.cancel()

    # --- the worker ---

    def _on_closed(self, frames):
        self.world.note("round", *(f"{symbol}:{len(rows)}" for symbol, rows in frames.items()))
        report = advance(frames=frames)
        self.world.note("advanced", report.signals, report.sent)

    def _run_task(self, name):
        """Run a task; unexpected failures are collected."""
        self.world.note("task", name)
        self.ran[name] += 1
        try:
            TASKS[name]()
        except Exception as error:
            self.world.note("task failed", name, type(error).__name__)
            if not _is_expected(error):
                self.failures.append(error)


def _is_expected(error):
    return isinstance(error, DatabaseError | ExchangeUnavailable)


def install():
    """Replace the runner of REST sessions; nothing else of the engine is replaced."""
    rest.Runner = VirtualRunner
    process_state.drop(Sweep)


assert threading.current_thread() is threading.main_thread()
