"""The engine as one process: the real supervisor, its sockets and the worker's tasks, on virtual time and wires."""

import asyncio
import threading
from collections import Counter
from contextlib import suppress

from django.db import DatabaseError

from marketdata import clock, rest, services, stream
from marketdata.errors import ExchangeUnavailable
from marketdata.inbox import Inbox
from marketdata.intervals import INTERVAL_MS, last_closed_open
from marketdata.sockets import Pace, Sockets
from marketdata.tasks import re_read_history, sweep_quality
from signals import publisher, worklist
from signals.services import advance
from tests.simulation.storage import Crash, drop_connection
from tests.simulation.world import VirtualLoop

IDLE = 0.5  # what the supervisor waits for when it expects nothing
DOZE = 120.0  # what that may become while all is well
NAP = 2.0  # and while something is waited for
PACE = Pace(clock_period=120.0)
TASKS = {
    "advance": advance,
    "sweep_quality": sweep_quality,
    "sweep_outbox": publisher.drain,
    "re_read_history": re_read_history,
}


class VirtualInbox(Inbox):
    """The inbox whose waiting lets the world go on."""

    process = None

    def wait(self, seconds):
        if not self._stirred:
            self.process.doze(seconds)
        self._stirred = False

    def _wake(self):
        super()._wake()
        self.process.rouse()


class VirtualSockets(Sockets):
    """The real sockets in the process's own loop instead of a thread."""

    def __init__(self, inbox, pace, loop):
        super().__init__(inbox, pace)
        self._loop.close()
        self._loop = loop

    def start(self):
        pass

    def follow(self, symbols):
        self._loop.run_until_complete(self._follow(list(symbols)))


class VirtualRunner:
    """What `asyncio.Runner` is to a line: here the sockets go on while a request is waited for."""

    loop = None

    def run(self, work):
        return VirtualRunner.loop.run_until_complete(work)

    def close(self):
        pass


class Process:
    """Booted, it turns until a `Crash` ends it; its memory goes with it.

    Parameters
    ----------
    world : World
        Time.
    forget : callable
        Empties what a new process would not know.
    """

    def __init__(self, world, forget):
        self.world, self._forget = world, forget
        self.fuse = None  # effects until a crash
        self.is_dead = True
        self.due = []  # names of tasks to run
        self.failures = []
        self.boots, self.ran = 0, Counter()
        self._dice = world.dice("process")
        self._waiter = None
        self._is_interrupted = False

    # --- life ---

    def boot(self):
        self.world.note("boots")
        self.boots += 1
        self._forget()
        drop_connection()
        self.is_dead, self.fuse, self.due = False, None, []
        self.loop = VirtualRunner.loop = VirtualLoop(self.world)
        self.loop.set_exception_handler(lambda *_: None)
        asyncio.set_event_loop(self.loop)
        inbox = VirtualInbox()
        inbox.process = self
        self.feed = stream.Supervisor(
            services.enabled_markets, self._on_closed, None, PACE, VirtualSockets(inbox, PACE, self.loop)
        )

    def turn(self):
        """One turn of the feed's thread, and of the worker's."""
        self.feed.lookout.turn()
        self.feed.turn()
        while self.due:
            self._run_task(self.due.pop(0))

    def bury(self):
        """End everything that was going on; nothing of it may touch the world any more."""
        self.world.note("is killed")
        self.is_dead = True
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            burial = asyncio.gather(*tasks, return_exceptions=True)
            burial.add_done_callback(lambda _: self.loop.stop())
            # The loop may have been told to stop in the very turn the process died in: that ends no burial.
            while not burial.done():
                with suppress(Crash):
                    self.loop.run_forever()
        self.loop.close()
        drop_connection()

    # --- what others call ---

    def effect(self, name):
        """Something is about to leave the process: here it may end."""
        if self.is_dead:
            raise Crash(name)
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                self.is_dead = True
                self.world.note("dies at", name)
                raise Crash(name)

    def meanwhile(self, is_free):
        """Between two statements another thread gets its turn: the sockets' one, or the worker's."""
        if self.is_dead or asyncio._get_running_loop() is not None:
            return
        lot = self._dice.random()
        if lot < 0.01:
            self._pump(self._dice.expovariate(5.0))
        elif lot < 0.02 and is_free and self.due and not self._is_interrupted:
            self._is_interrupted = True
            try:
                self._run_task(self.due.pop(0))
            finally:
                self._is_interrupted = False

    def kill(self, effects):
        """End the process after so many more effects."""
        if not self.is_dead:
            self.fuse = effects
            self.rouse()

    def ask_for(self, name):
        if not self.is_dead:
            self.due.append(name)
            self.rouse()

    def rouse(self):
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def doze(self, seconds):
        """Wait; longer than asked when nothing can be missed by it, for the sake of a fast day."""
        if self.due or self.fuse is not None:
            seconds = 0.0
        elif seconds == IDLE:
            late_ms = clock.market_ms() - stream.LATE_MS
            is_well = last_closed_open(late_ms) <= self.feed._complete_until and not self.feed._repair_due
            seconds = min(DOZE, (INTERVAL_MS - late_ms % INTERVAL_MS) / 1000 + IDLE) if is_well else NAP
        self._pump(seconds)
        if self.fuse is not None:
            self.effect("turn")

    def _pump(self, seconds):
        self._waiter = self.loop.create_future()
        handle = self.loop.call_later(seconds, self.rouse)
        self.loop.run_until_complete(self._waiter)
        handle.cancel()

    # --- the worker ---

    def _on_closed(self, frames):
        self.world.note("round", *(f"{symbol}:{len(rows)}" for symbol, rows in frames.items()))
        report = advance(frames=frames)
        self.world.note("advanced", report.signals, report.sent)

    def _run_task(self, name):
        """A task that fails is forgotten; the next one comes."""
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
    """Turn the lines' loop over to the process; nothing else of the engine is replaced."""
    rest.Runner = VirtualRunner
    worklist.reset_sweep()


assert threading.current_thread() is threading.main_thread()
