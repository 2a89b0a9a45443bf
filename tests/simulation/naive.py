"""Control experiment: a simple feed as in tutorials, on python-binance's own socket and history helper.

It loads an hour of history at start, including the open candle, accepts every frame marked as closed, stores candles
with `update_or_create`, and publishes a signal for each. It is restarted when it ends, as a container would be.
"""

import asyncio
import time
from contextlib import ExitStack

from marketdata.simulator.faults import FaultPlan
from marketdata.simulator.ledger import Ledger
from marketdata.simulator.market_clock import MarketClock
from marketdata.simulator.venue import Venue
from tests.simulation.checker import COLUMNS, PROMPT_SECONDS, RECOVERY_SECONDS, STEP, values_of
from tests.simulation.network import Network, wired
from tests.simulation.plan import DAY_SECONDS, SYMBOLS, draw
from tests.simulation.world import VirtualClock, VirtualLoop, World

RESTART_SECONDS = 5.0
HISTORY_MS = 3_600_000


class NaiveFeed:
    """A feed as in tutorials; its rows are kept across restarts."""

    def __init__(self, rows, published, now_ms, venue):
        self.venue = venue
        self.rows, self.published, self._now_ms = rows, published, now_ms
        self.early = set()

    def update_or_create(self, symbol, open_time, values):
        if open_time + STEP > self.venue.clock.now_ms():  # only for the evaluation
            self.early.add((symbol, open_time))
        self.rows[symbol, open_time] = values

    async def run(self):
        from binance import AsyncClient, BinanceSocketManager

        client = AsyncClient()
        for symbol in SYMBOLS:
            for row in await client.get_historical_klines(symbol, "5m", self._now_ms() - HISTORY_MS):
                self.update_or_create(symbol, row[0], tuple(float(row[at]) for at in (1, 2, 3, 4, 5, 7, 8, 9, 10)))
        manager = BinanceSocketManager(client)
        async with manager.multiplex_socket([f"{symbol.lower()}@kline_5m" for symbol in SYMBOLS]) as socket:
            while True:
                message = await socket.recv()
                if message.get("e") == "error":  # the documentation advises to close and restart the socket
                    return
                kline = message["data"]["k"]
                if kline["x"]:
                    symbol = kline["s"]
                    self.update_or_create(symbol, kline["t"], tuple(float(kline[key]) for key in "ohlcvqnVQ"))
                    self.published.append((symbol, kline["t"], self.venue.clock.now_ms()))


def simulate_naive(seed, plan=None):
    """Run the day of a seed and count the errors by comparison with the ledger."""
    from marketdata import clock

    plan = plan or draw(seed)
    world = World(seed)
    rows, published, ledger = {}, [], Ledger()
    virtual = VirtualClock(world, plan.wall_ms)
    with ExitStack() as stack:
        stack.enter_context(clock.use(virtual))
        venue = Venue(_source(), MarketClock(plan.begin_ms), FaultPlan(plan.faults, seed), ledger)
        network = Network(world, venue)
        stack.enter_context(wired(network))
        real_time, time.time = time.time, lambda: virtual.wall_ms() / 1000
        stack.callback(setattr, time, "time", real_time)
        killed = [episode for episode in plan.episodes if episode.kind == "crash"]
        feed = NaiveFeed(rows, published, virtual.wall_ms, venue)
        _run_day(world, network, killed, feed)
    return _count_errors(rows, published, ledger, feed.early, plan)


def _source():
    from tests.simulation.setting import source

    return source()


def _run_day(world, network, killed, feed):
    """Run the feed and restart it after each end; only its rows are kept."""
    begun = 0.0
    while begun < DAY_SECONDS:
        world.advance(begun)
        loop = VirtualLoop(world)
        loop.set_exception_handler(lambda *_: None)
        asyncio.set_event_loop(loop)
        end = next((episode for episode in killed if episode.at > world.now), None)
        until = end.at if end else DAY_SECONDS
        task = loop.create_task(feed.run())
        loop.call_at(until, task.cancel)
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        killed_now = end is not None and world.now >= end.at
        network.cut()
        left = asyncio.all_tasks(loop)
        for one in left:
            one.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=1.0))
        loop.close()
        begun = max(world.now + RESTART_SECONDS, end.until if killed_now else 0.0)


def _count_errors(rows, published, ledger, early, plan):
    """Count the same errors as the engine's checker."""
    end_ms = plan.begin_ms + DAY_SECONDS * 1000 - PROMPT_SECONDS * 1000
    counts = dict.fromkeys(("lost", "duplicated", "wrong", "open_as_closed", "late", "unsignalled"), 0)
    first_published = {}
    for symbol, at, published_ms in published:
        first_published.setdefault((symbol, at), published_ms)
    quiet_ms = plan.begin_ms + (plan.last + RECOVERY_SECONDS) * 1000
    counts["open_as_closed"] = len(early)
    counts["duplicated"] = len(published) - len(first_published)
    for symbol in SYMBOLS:
        for at, kline in ledger.final(symbol).items():
            if at + STEP > end_ms:
                continue
            expected = tuple(float(value) for value in values_of(kline))
            held = rows.get((symbol, at))
            counts["lost"] += held is None
            counts["unsignalled"] += (symbol, at) not in first_published
            due_ms = at + STEP + PROMPT_SECONDS * 1000
            counts["late"] += at + STEP >= quiet_ms and first_published.get((symbol, at), due_ms + 1) > due_ms
            counts["wrong"] += held is not None and held != expected
    assert len(COLUMNS) == 9
    return counts
