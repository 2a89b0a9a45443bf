"""Plan of the faults of one virtual day, derived from its seed."""

import random
from dataclasses import dataclass

from indicators.candles import EPOCH_MONDAY_MS, WEEK_MS
from marketdata.intervals import INTERVAL_MS
from marketdata.simulator.faults import Fault

DAY_SECONDS = 86_400.0
FIRST_SECONDS, LAST_SECONDS = 600.0, 72_000.0  # faults lie between; the last four hours have none
WEEK = 2868  # 2024-12-23: the same generated week for all seeds, another day of it for each
RE_READ_SECONDS = 10_250.0
"""Time of the first re-read of old candles, during the faults; a second one follows at the end."""
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT")
CANDLE_SECONDS = INTERVAL_MS / 1000
CLOSE_PHASE = CANDLE_SECONDS - 10  # the day begins ten seconds into a candle

REQUEST_KINDS = [
    "rate_limited",
    "banned",
    "forbidden",
    "server_error",
    "html",
    "truncated",
    "slow",
    "dripping",
    "wrong_page",
    "unsorted",
    "repeated",
    "symbol_error",
    "refused",
    "microseconds",
    "open_candle",
]
MESSAGE_KINDS = ["garbled", "duplicate", "reorder", "unsent", "late_close"]


@dataclass(frozen=True)
class Episode:
    """A fault of the engine's own side, with times in seconds of the day."""

    kind: str
    at: float
    until: float
    amount: float = 0.0


@dataclass(frozen=True)
class Plan:
    """Plan of one day: faults of venue and engine, and clock differences."""

    begin_ms: int
    wall_ms: int
    faults: tuple[Fault, ...]
    episodes: tuple[Episode, ...]

    @property
    def last(self):
        """End of the last fault in seconds; faults of candles and messages end by themselves."""
        return LAST_SECONDS


def draw(seed):
    """Plan of the day of a seed."""
    rng = random.Random(f"{seed}:plan")
    begin_ms = EPOCH_MONDAY_MS + WEEK * WEEK_MS + (seed % 6) * 86_400_000 + 10_000
    drawer = _Drawer(rng, begin_ms)
    faults = [*drawer.of_requests(), *drawer.of_messages(), *drawer.of_sockets(), *drawer.of_candles()]
    faults += _Drawer(random.Random(f"{seed}:hidden"), begin_ms).of_hidden_holes()
    wall_ms = begin_ms + round(rng.choice([rng.gauss(0, 200), rng.uniform(-120_000, 120_000)]))
    return Plan(begin_ms, wall_ms, tuple(faults), tuple(sorted(drawer.of_engine(), key=lambda one: one.at)))


class _Drawer:
    def __init__(self, rng, begin_ms):
        self.rng, self._begin_ms = rng, begin_ms

    def ms(self, seconds):
        return self._begin_ms + round(seconds * 1000)

    def moment(self, last=LAST_SECONDS):
        """Random time; half of them are within two seconds of a close."""
        at = self.rng.uniform(FIRST_SECONDS, last)
        if self.rng.random() < 0.5:
            at = at // CANDLE_SECONDS * CANDLE_SECONDS + CLOSE_PHASE + self.rng.uniform(-2, 2)
        return min(at, last)

    def span(self, shortest, longest, tail=0.0):
        """Random time span, short ones more often, with `tail` seconds left after it."""
        length = shortest * (longest / shortest) ** self.rng.random()
        at = self.moment(LAST_SECONDS - tail - length)
        return at, at + length

    def of_requests(self):
        rng = self.rng
        for kind in rng.sample(REQUEST_KINDS, rng.randint(4, 9)):
            seconds = {
                "rate_limited": rng.uniform(1, 120),
                "banned": rng.uniform(5, 300),
                "slow": rng.uniform(1, 30),
                "dripping": rng.uniform(1, 30),
            }.get(kind, 1.0)
            for _ in range(rng.randint(1, 3)):
                at, until = self.span(5, 900, tail=seconds)
                yield Fault(
                    kind,
                    at=self.ms(at),
                    until=self.ms(until),
                    probability=rng.choice([0.3, 0.7, 1.0]),
                    times=rng.randint(1, 3) if kind in {"rate_limited", "banned"} else None,
                    symbol=rng.choice(SYMBOLS) if kind == "symbol_error" or rng.random() < 0.2 else None,
                    seconds=seconds,
                    status=rng.choice([500, 502, 503, 504]),
                    path=rng.choice(["", "klines", "time"]) if kind != "symbol_error" else "klines",
                )

    def of_messages(self):
        rng = self.rng
        for kind in rng.sample(MESSAGE_KINDS, rng.randint(2, 5)):
            seconds = rng.uniform(1, 600)
            at, until = self.span(1800, 60_000, tail=seconds + CANDLE_SECONDS)
            share = rng.choice([0.02, 0.1, 0.3])
            yield Fault(kind, at=self.ms(at), until=self.ms(until), probability=share, seconds=seconds)
        if rng.random() < 0.3:
            at = self.ms(self.moment() - CANDLE_SECONDS)
            yield Fault("burst", at=at, until=at + 2 * INTERVAL_MS, symbol=rng.choice(SYMBOLS), times=1)

    def of_sockets(self):
        rng = self.rng
        for _ in range(rng.randint(2, 8)):
            yield Fault("cut", at=self.ms(self.moment()))
        for kind, longest in (("silence", 600), ("refused_stream", 500), ("offline", 1200)):
            for _ in range(rng.randint(0, 2)):
                at, until = self.span(2, longest)
                yield Fault(kind, at=self.ms(at), until=self.ms(until))
        if rng.random() < 0.5:
            seconds = rng.uniform(1, 20)
            yield Fault("shutdown", at=self.ms(self.moment(LAST_SECONDS - seconds)), seconds=seconds)

    def of_candles(self):
        rng = self.rng
        first, last = self.ms(FIRST_SECONDS), self.ms(LAST_SECONDS - 4_000)
        if rng.random() < 0.7:
            at = self.ms(self.moment(LAST_SECONDS - 6_000)) // INTERVAL_MS * INTERVAL_MS
            until = at + rng.randint(1, 8) * INTERVAL_MS
            yield Fault("hole", at=at, until=until, symbol=rng.choice([*SYMBOLS, None]))
        if rng.random() < 0.5:
            yield Fault("hole", at=first, until=last, probability=0.003)
        if rng.random() < 0.6:
            yield Fault("late_hole", at=first, until=last, probability=0.004, seconds=rng.uniform(5, 2_400))
        if rng.random() < 0.7:
            yield Fault("correction", at=first, until=last, probability=0.02, seconds=rng.uniform(1, 600))

    def of_hidden_holes(self):
        """Holes before the newest candle that are found only by checking for them.

        Some are filled by the exchange before they may be recorded as absent; others occur while REST is unavailable
        for longer than sweeps re-read and the stream omits closes.
        """
        if self.rng.random() < 0.5:
            first, last = self.ms(FIRST_SECONDS), self.ms(LAST_SECONDS - 4_000)
            yield Fault("late_hole", at=first, until=last, probability=0.004, seconds=self.rng.uniform(60, 540))
        if self.rng.random() < 0.5:
            length = self.rng.uniform(2_400, 4_200)
            at = self.rng.uniform(RE_READ_SECONDS + 600, LAST_SECONDS - length - 600)
            yield Fault("server_error", at=self.ms(at), until=self.ms(at + length), path="klines", status=503)
            yield Fault("unsent", at=self.ms(at), until=self.ms(at + length / 2), probability=0.3)

    def of_engine(self):
        rng = self.rng
        for _ in range(rng.randint(2, 8)):
            at = self.moment(LAST_SECONDS - 2_000)
            down = rng.choice([rng.uniform(0.5, 20), rng.uniform(0.5, 20), rng.uniform(20, 1_900)])
            yield Episode("crash", at, at + down, rng.choice([0, rng.randint(1, 80), rng.randint(1, 80)]))
        for _ in range(rng.randint(0, 3)):
            yield Episode("database", *self.span(1, 300), rng.choice([0.05, 0.3, 1.0]))
        for _ in range(rng.randint(0, 3)):
            yield Episode("redis", *self.span(1, 900), rng.choice([0.3, 1.0]))
        for _ in range(rng.randint(0, 1)):
            yield Episode("worker", *self.span(60, 7_200))
        for _ in range(rng.randint(0, 2)):
            at = self.moment()
            yield Episode("blackhole", at, at)
        if rng.random() < 0.25:
            at = self.moment()
            yield Episode("clock", at, at, rng.choice([rng.uniform(-300, 300), rng.gauss(0, 2)]))
