"""Sending invalid messages and bodies to the real feed, with valid candles among them."""

import itertools
import json
import threading
import time
from decimal import Decimal

from marketdata.coverage import gap_filling, quarantine
from marketdata.exchange.rest import RestSession
from marketdata.feed import supervisor
from marketdata.feed.sockets import FeedTimings
from marketdata.intervals import Gap
from marketdata.models import Candle, Market, QuarantinedMessage
from marketdata.storage import candles
from tests.hostile import forms
from tests.hostile.exchange import STEP, event_of, kline_of, row_of

TIMEOUT_SECONDS = 180
PAGE = 3
GOOD_EVERY = 10
COLUMNS = ("open", "high", "low", "close", "volume", "quote_volume", "trades", "taker_buy_base", "taker_buy_quote")
PLACES = (1, 2, 3, 4, 5, 7, 8, 9, 10)


class Feed:
    """The real feed of the test exchange, running in a thread."""

    def __init__(self, exchange, market):
        self.market, self.exchange = market, exchange
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        pace = FeedTimings(silence=3600, longest_wait=0.2, clock_period=3600, fast_clock_period=3600)
        supervisor.run(lambda: [self.market], self._keep, self._stop, pace=pace)

    def _keep(self, frames):
        candles.save_all({self.market: frames.get(self.market.symbol, [])}, Candle.Origin.STREAM)

    def __enter__(self):
        self._thread.start()
        wait_until(lambda: self.exchange.sockets)
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(60)


def wait_until(condition):
    until = time.monotonic() + TIMEOUT_SECONDS
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return bool(condition())


def quarantined(origin):
    return QuarantinedMessage.objects.filter(origin=origin).exclude(reason="").count()


def frames_of(form, count, seed, at):
    """Generate `count` invalid frames of a form."""
    messages, texts = forms.of_messages(), forms.of_frames()
    for number in range(count):
        rng = forms.rng_of(seed, form, number)
        kline, event = kline_of(at), event_of(at)
        if form in messages:
            messages[form](kline, event, rng)
            yield forms.wire(kline, event)
        else:
            yield texts[form.removeprefix("frame: ")](forms.wire(kline, event), rng)


def send_over_websocket(exchange, market, count, seed, begin):
    """Send every form over the websocket; `begin` opens the first valid candle.

    Returns counts by form and the opens of the valid candles.
    """
    names = [*forms.of_messages(), *(f"frame: {name}" for name in forms.of_frames())]
    by_form, moments = {}, itertools.count(begin, STEP)
    invalid = begin - 1000 * STEP  # the changed candle is never sent unchanged
    wanted = set()
    with Feed(exchange, market):
        for name in names:
            n = min(count, forms.RARE.get(name.removeprefix("frame: "), count))
            before = quarantined(Candle.Origin.STREAM)
            frames = []
            for number, frame in enumerate(frames_of(name, n, seed, invalid)):
                frames.append(frame)
                if number % GOOD_EVERY == 0:
                    at = next(moments)
                    wanted.add(at)
                    frames.append(forms.wire(kline_of(at), event_of(at)))
            connections = exchange.accepted
            exchange.send(frames)
            wait_until(lambda n=n, before=before: quarantined(Candle.Origin.STREAM) >= before + n)
            kept = quarantined(Candle.Origin.STREAM) - before
            by_form[f"stream: {name}"] = {
                "generated": n, "quarantined": kept, "stopped": exchange.accepted - connections,
            }  # fmt: skip
        wait_until(lambda: stored(market) >= wanted)
    return by_form, wanted


def bodies_of(form, count, seed, starts):
    """Generate `count` invalid responses of a form, by the start of the requested page."""
    rows, pages, bodies = forms.of_rows(), forms.of_pages(), forms.of_bodies()
    for number in range(count):
        rng, start = forms.rng_of(seed, form, number), next(starts)
        page = [row_of(start + i * STEP) for i in range(PAGE)]
        if form in rows:
            page[PAGE - 1] = rows[form](page[PAGE - 1], rng)
            yield start, (json.dumps(page).encode(), {})
        elif form in pages:
            yield start, (json.dumps(pages[form](page, rng)).encode(), {})
        else:
            yield start, bodies[form.removeprefix("body: ")](json.dumps(page).encode(), rng)


def serve_over_rest(exchange, market, count, seed, begin):
    """Serve every form over REST with valid pages between.

    Returns counts by form and the opens of the valid candles.
    """
    names = [*forms.of_rows(), *forms.of_pages(), *(f"body: {name}" for name in forms.of_bodies())]
    starts = itertools.count(begin, PAGE * STEP)
    by_form, wanted = {}, set()
    with RestSession() as session:
        for name in names:
            n = min(count, forms.RARE.get(name.removeprefix("body: "), count))
            before = quarantined(Candle.Origin.REST)
            answers = dict(bodies_of(name, n, seed, starts))
            exchange.bodies |= {(market.symbol, start): body for start, body in answers.items()}
            valid = [next(starts) for _ in range(-(-n // GOOD_EVERY))]
            wanted |= {start + i * STEP for start in valid for i in range(PAGE)}
            remaining = sorted([*answers, *valid])
            for _ in range(TIMEOUT_SECONDS):  # after several invalid responses the rest of a batch is not requested
                if not remaining:
                    break
                quarantine.resume(market)
                gap_filling.fill(
                    session, {market: [Gap(at, at + PAGE * STEP) for at in remaining]}, gap_filling.SyncReport()
                )
                stored_now = stored(market)
                remaining = [
                    at
                    for at in remaining
                    if (market.symbol, at) in exchange.bodies or (at in valid and at not in stored_now)
                ]
            kept = quarantined(Candle.Origin.REST) - before
            # Equal bodies, such as `{}`, are quarantined once however often they come.
            n_different = len({body for body, _ in answers.values()})
            by_form[f"REST: {name}"] = {"generated": n_different, "quarantined": kept, "stopped": len(remaining)}
    return by_form, wanted


def stored(market):
    return set(Candle.objects.filter(market=market).values_list("open_time", flat=True))


def wrong(market):
    """Stored candles that differ from the exchange's."""
    found = []
    for candle in Candle.objects.filter(market=market):
        row = row_of(candle.open_time)
        values = tuple(getattr(candle, name) for name in COLUMNS)
        if values != tuple(Decimal(row[place]) for place in PLACES):
            found.append(candle.open_time)
    return found


def run(exchange, count, seed):
    """Run all forms, at most `count` of each; return the summary and counts by form."""
    markets = [Market.objects.create(symbol=symbol, source="simulated") for symbol in ("BTCUSDT", "ETHUSDT")]
    begin = exchange.now_ms - 400_000 * STEP
    with RestSession() as session:
        session.describe([market.symbol for market in markets])
    by_form, on_stream = send_over_websocket(exchange, markets[0], count, seed, begin)
    more, on_rest = serve_over_rest(exchange, markets[1], count, seed, begin)
    by_form |= more
    invalid_stored = stored(markets[0]) - on_stream
    summary = {
        "forms": len(by_form),
        "generated": sum(one["generated"] for one in by_form.values()),
        "quarantined": sum(one["quarantined"] for one in by_form.values()),
        "unaccounted": sum(max(0, one["generated"] - one["quarantined"]) for one in by_form.values()),
        "without_reason": QuarantinedMessage.objects.filter(reason="").count(),
        "stored": len(invalid_stored) + len(wrong(markets[0])) + len(wrong(markets[1])),
        "stopped": sum(one["stopped"] for one in by_form.values()),
        "right_candles": len(on_stream) + len(on_rest),
        "right_candles_lost": len(on_stream - stored(markets[0])) + len(on_rest - stored(markets[1])),
    }
    return summary, by_form
