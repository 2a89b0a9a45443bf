"""Measure the board with 500 markets and the chart with 100,000 candles in headless Chromium.

    uv run python -m tests.mlengine_project.console.speed --json

Beside the chart of the market page, the same library draws as many candles on an empty page in the same run. Longest
tasks are those of the browser's own observer (above 50 ms); frames are times between two animation frames.
"""

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

from tests.mlengine_project.console.screenshots import NEWEST_OPEN_MS, STEP_MS, serving, set_up_django, times

MARKETS = 500
CANDLES = 100_000
DAY_CANDLES = 289
WATCH = """(() => {
  window.tasks = []; window.frames_ms = [];
  new PerformanceObserver((list) => { for (const task of list.getEntries()) window.tasks.push(task.duration); })
    .observe({ type: "longtask", buffered: true });
  let before = performance.now();
  const frame = (now) => { window.frames_ms.push(now - before); before = now; requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
})()"""
SUMMARY = """(() => {
  const sorted = [...window.frames_ms].sort((a, b) => a - b);
  return { longest_task_ms: Math.round(Math.max(0, ...window.tasks)), frames: sorted.length,
    frame_median_ms: Math.round(sorted[Math.floor(sorted.length / 2)]),
    frame_95_percent_ms: Math.round(sorted[Math.floor(sorted.length * 0.95)]) };
})()"""
RESET = "window.tasks = []; window.frames_ms = []; 1"
PAINT = """Math.round(performance.getEntriesByType("paint")
  .find((entry) => entry.name === "first-contentful-paint").startTime)"""
ALONE = """(async () => {
  const address = "/static/console/vendor/lightweight-charts-5.2.1/lightweight-charts.standalone.production.mjs";
  const { createChart, CandlestickSeries } = await import(address);
  document.body.innerHTML = ""; const place = document.createElement("div");
  place.style.width = "1000px"; place.style.height = "600px"; document.body.append(place);
  const chart = createChart(place, { layout: { attributionLogo: false }, timeScale: { minBarSpacing: 0.05 } });
  const points = []; let close = 100;
  for (let i = 0; i < COUNT; i += 1) {
    const open = close; close = open * (1 + 0.002 * Math.sin(i * 1.7));
    points.push({ time: 1600000000 + 300 * i, open, close, high: Math.max(open, close), low: Math.min(open, close) });
  }
  chart.addSeries(CandlestickSeries).setData(points);
  chart.timeScale().setVisibleLogicalRange({ from: COUNT - 600, to: COUNT });
  window.scrollChart = () => {
    const { from, to } = chart.timeScale().getVisibleLogicalRange();
    chart.timeScale().setVisibleLogicalRange({ from: from - 75, to: to - 75 });
  };
})()"""
SCROLL = "for (let i = 0; i < 60; i += 1) { await new Promise((next) => requestAnimationFrame(next)); STEP }"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="One JSON object instead of lines.")
    parser.add_argument("--markets", type=int, default=MARKETS)
    parser.add_argument("--candles", type=int, default=CANDLES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as state:
        set_up_django(Path(state))
        from django.db import transaction

        from marketdata import clock

        with clock.use(clock.FrozenClock(NEWEST_OPEN_MS + STEP_MS + 2_000)) as frozen:
            with transaction.atomic():
                fill(options)
            with serving() as (address, link):
                found = asyncio.run(measure(options, Path(state), address, link, frozen))
    if options.json:
        print(json.dumps(found))
    else:
        for name, figures in found.items():
            print(f"{name}: {figures}")


def fill(options):
    """Many markets with a day of candles each, the first with far more; forecasts and signals of the newest one."""
    from marketdata.models import Candle
    from modelregistry.models import Kind
    from signals.models import SymbolSequence
    from tests.mlengine_project.console import rows

    for kind in Kind:
        rows.version(kind.value, stage="champion")
    for number in range(options.markets):
        of = rows.market(f"COIN{number:03d}USDT")
        count = options.candles if number == 0 else DAY_CANDLES
        Candle.objects.bulk_create(candles(of, NEWEST_OPEN_MS, count), batch_size=2_000)
        answer(of, NEWEST_OPEN_MS, 1)
        SymbolSequence.objects.create(symbol=of.symbol, head=1)


def candles(of, newest_ms, count):
    from marketdata.models import Candle

    first_ms = newest_ms - (count - 1) * STEP_MS
    return [
        Candle(
            market=of, open_time=first_ms + i * STEP_MS, origin="stream", volume="5",
            open=f"{100 + i % 17}", close=f"{100 + (i + 1) % 17}", high="118", low="99",
        )
        for i in range(count)
    ]  # fmt: skip


def answer(of, open_ms, seq):
    """Forecasts and a hold for one candle."""
    from tests.mlengine_project.console import rows

    for horizon in rows.HORIZONS:
        rows.prediction(of, horizon, open_ms, price=100.0)
    fields = {} if seq % 2 else rows.BUY
    return rows.signal(of, seq, open_ms, **{**fields, **times(open_ms)})


def close_one_candle(frozen, markets):
    """One more candle, forecasts and signals of every market, published together."""
    from django.db import connections, transaction

    from marketdata.models import Candle, Market
    from signals.delivery import publisher
    from signals.log.payloads import signal_bytes
    from tests.mlengine_project.console import rows

    frozen.advance(STEP_MS / 1000)
    open_ms = NEWEST_OPEN_MS + STEP_MS
    with transaction.atomic():
        for of in Market.objects.all():
            Candle.objects.bulk_create(candles(of, open_ms, 1))
            written = answer(of, open_ms, 2)
            rows.SymbolSequence.objects.filter(symbol=of.symbol).update(head=2)
            payload = signal_bytes(written).decode()
            rows.OutboxMessage.objects.create(signal=written, symbol=of.symbol, seq=2, payload=payload)
    publisher.drain(list(Market.objects.values_list("symbol", flat=True)[:markets]))
    connections.close_all()


def stretches_of(candles):
    """Requests by which a chart has every candle: each stretch is as long as all before it, within the limit."""
    from mlengine_project.console.chart_feed import CANDLES, MAX_CANDLES

    stretches, shown = 0, CANDLES
    while shown < candles:
        shown += min(shown, MAX_CANDLES)
        stretches += 1
    return stretches


async def measure(options, state, address, link, frozen):
    """Both pages and the bare library in one browser."""
    from asgiref.sync import sync_to_async

    from tests.mlengine_project.console import chromium

    async with chromium.Browser(state / "profile") as page:
        await page.open(link)
        await page.until("document.querySelector('.card') !== null")
        await page.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        await page.open(address)
        await page.until(f"document.querySelectorAll('.card').length === {options.markets}", seconds=60)
        await page.until("document.getElementById('link-state').textContent.includes('live')")
        board = {"first_paint_ms": await page.value(PAINT), "load": await page.value(SUMMARY)}
        await page.value(RESET)
        await sync_to_async(close_one_candle)(frozen, options.markets)
        await page.until(
            "[...document.querySelectorAll('.signal-foot')].every((f) => f.textContent.includes('#2'))", 240
        )
        board["updates"] = await page.value(SUMMARY)

        await page.open(f"{address}/market/COIN000USDT")
        await page.until("document.getElementById('readout').textContent.includes('next 30 min')")
        market = {"first_paint_ms": await page.value(PAINT), "load": await page.value(SUMMARY)}
        key = "document.getElementById('chart').dispatchEvent(new KeyboardEvent('keydown', {key: 'KEY'}));"
        await page.value(RESET)
        await page.value(f"(async () => {{ {SCROLL.replace('STEP', key.replace('KEY', 'ArrowLeft'))} }})()")
        market["scrolling_with_loading"] = await page.value(SUMMARY)
        count = "performance.getEntriesByType('resource').filter((entry) => entry.name.includes('before=')).length"
        await page.value("performance.setResourceTimingBufferSize(2000)")
        started, loaded = time.monotonic(), stretches_of(options.candles)
        for step in range(600):
            if await page.value(count) >= loaded:
                break
            # Zoomed out first; the chart takes one change of its range a frame.
            await page.value(key.replace("KEY", "-" if step < 12 else "ArrowLeft"))
            await page.value("new Promise((next) => requestAnimationFrame(next))")
            await asyncio.sleep(0.05)
        market["older_stretches_loaded"] = await page.value(count)
        market["all_loaded_after_seconds"] = round(time.monotonic() - started, 1)
        market["loading"] = await page.value(SUMMARY)
        for _ in range(40):
            await page.value(key.replace("KEY", "+"))
        await page.value(RESET)
        await page.value(f"(async () => {{ {SCROLL.replace('STEP', key.replace('KEY', 'ArrowRight'))} }})()")
        market["scrolling_all_loaded"] = await page.value(SUMMARY)

        await page.open(f"{address}/nothing-here")
        await page.value(RESET)
        await page.value(ALONE.replace("COUNT", str(options.candles)))
        await asyncio.sleep(1)  # the observer reports a task after it has ended
        alone = {"loading": await page.value(SUMMARY)}
        await page.value(RESET)
        await page.value(f"(async () => {{ {SCROLL.replace('STEP', 'window.scrollChart();')} }})()")
        alone["scrolling"] = await page.value(SUMMARY)
        return {"board": board, "market": market, "library_alone": alone}


if __name__ == "__main__":
    main()
