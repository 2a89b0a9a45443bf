"""Make the pictures of the README: the live board and one market, from invented rows, in headless Chromium.

    uv run python -m tests.mlengine_project.console.screenshots --folder docs/images
    uv run python -m tests.mlengine_project.console.screenshots --folder /tmp/pages --every

No real candles are read: the simulator invents them, and forecasts follow from their volatility. The clock is frozen two
seconds after the close of the newest candle, so the same command makes the same pages, apart from seconds.
"""

import argparse
import asyncio
import base64
import io
import os
import socket
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

WIDTH = 1280
PICTURES = {"board.png": 660, "market.png": 755}
"""File names and heights, in pixels."""
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
STEP_MS = 300_000
NEWEST_OPEN_MS = 1_735_740_000_000
"""2025-01-01 14:00 UTC; the newest candle closes five minutes later."""
CANDLE_COUNT = 3 * 2_016
"""Three weeks, of which the newest four days carry forecasts."""
FORECAST_COUNT = 1_152
SIGNAL_COUNT = 288
VOLATILITY_CANDLES = 72
DEVIATIONS = (0.16, 0.24, 0.44, 0.78, 1.24, 1.74, 2.08)
"""Quantiles of the farthest point of a forecast range, in standard deviations of the horizon."""
FEE_RATE = 0.0001
COSTS = 2 * FEE_RATE + 0.0001
"""Two fees and the slippage of a round trip, as a fraction."""
SEED = 5


def main():
    options = arguments()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as state:
        set_up_django(Path(state))
        from marketdata import clock

        with clock.use(clock.FrozenClock(NEWEST_OPEN_MS + STEP_MS + 2_000)):
            fill_database()
            with serving() as (address, link):
                for path, size in asyncio.run(photograph(options.folder, Path(state), address, link)):
                    print(f"{path}: {size / 1000:.0f} kB")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("docs/images"), help="Where the PNG files are written.")
    return parser.parse_args()


def set_up_django(state):
    """Configure an embedded engine with its own state folder, and migrate its database."""
    for name in ("DATABASE_URL", "REDIS_URL"):
        os.environ.pop(name, None)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "mlengine_project.settings",
        "MLENGINE_ENV_FILE": "",
        "MLENGINE_STATE_DIR": str(state),
        "ALLOWED_HOSTS": "127.0.0.1",
        "LOG_LEVEL": "ERROR",
    }
    import django
    from django.conf import settings
    from django.core.management import call_command

    django.setup()
    # Else the web application asks for Redis, without which only `up` may serve.
    settings.IS_TEST = True
    call_command("migrate", verbosity=0)


def fill_database():
    """Markets, candles, forecasts with their outcomes, signals and champions."""
    from marketdata import clock
    from mlengine_project.operations.models import Heartbeat
    from modelregistry.models import Kind
    from predictions.scoring.outcomes import score_predictions
    from signals.outcomes import score_signals
    from tests.mlengine_project.console import rows

    champions = {kind.value: str(rows.version(kind.value, stage="champion").pk) for kind in Kind}
    for part in ("web", "worker", "beat", "stream"):
        Heartbeat.objects.create(name=f"{part}:invented:1", part=part, at=clock.wall_now())
    for number, symbol in enumerate(SYMBOLS):
        fill_market(symbol, champions, acts=number == 0)
    score_predictions()
    score_signals()


def fill_market(symbol, champions, acts):
    """One invented market; the newest signal is a buy where it `acts`, else a hold."""
    import numpy as np

    from marketdata.models import Candle
    from marketdata.simulator.generator.candles import CandleGenerator
    from signals.models import SymbolSequence
    from tests.mlengine_project.console import rows

    until_ms = NEWEST_OPEN_MS + STEP_MS
    source = CandleGenerator((symbol,), SEED)
    candles = source.klines(symbol, until_ms - CANDLE_COUNT * STEP_MS, until_ms)
    digits = source.markets[symbol].price_digits
    market = rows.market(symbol)
    columns = zip(
        candles.open_time, candles.open, candles.high, candles.low, candles.close, candles.volume, strict=True
    )
    Candle.objects.bulk_create(
        [
            Candle(
                market=market, open_time=int(open_time), origin="stream", volume=f"{volume:.8f}",
                **{
                    name: f"{price:.{digits}f}"
                    for name, price in zip(("open", "high", "low", "close"), prices, strict=True)
                },
            )
            for open_time, *prices, volume in columns
        ],
        batch_size=500,
    )  # fmt: skip
    returns = np.diff(np.log(candles.close))
    deviations = np.sqrt(np.convolve(returns**2, np.ones(VOLATILITY_CANDLES) / VOLATILITY_CANDLES, "valid"))
    newest = [column[-FORECAST_COUNT:].tolist() for column in (candles.open_time, candles.close, deviations)]
    answered = list(zip(*newest, strict=True))
    fill_forecasts(market, champions, answered, digits)
    fill_signals(market, champions, answered[-SIGNAL_COUNT:], acts, digits)
    SymbolSequence.objects.create(symbol=symbol, head=SIGNAL_COUNT)


def fill_forecasts(market, champions, candles, digits):
    """One forecast for each candle and horizon."""
    from predictions.models import PredictionLog
    from tests.mlengine_project.console import rows

    made = []
    for open_ms, close, deviation in candles:
        for horizon in rows.HORIZONS:
            spread = [deviation * horizon**0.5 * unit for unit in DEVIATIONS]
            high = [f"{close * (1 + width):.{digits}f}" for width in spread]
            low = [f"{close * (1 - width):.{digits}f}" for width in reversed(spread)]
            made.append(
                PredictionLog(
                    market=market, symbol=market.symbol, horizon=horizon, ensemble="e" * 64,
                    model_versions=champions, **times(open_ms),
                    current_price=f"{close:.{digits}f}", predicted_high=high[3], predicted_low=low[3],
                    high_quantiles=high, low_quantiles=low, data_age_seconds=2.0, simulated=market.simulated,
                    chain_index=len(made) + 1, seal="a" * 64, previous_seal="0" * 64,
                )
            )  # fmt: skip
    PredictionLog.objects.bulk_create(made, batch_size=500)


def times(open_ms):
    """When a row of the candle that opened at `open_ms` was made, and until when it is valid."""
    from datetime import timedelta

    from marketdata import clock

    at = clock.to_datetime(open_ms)
    return {
        "candle_time": at,
        "made_at": at + timedelta(seconds=301),
        "valid_until": at + timedelta(seconds=615),
    }


def fill_signals(market, champions, candles, acts, digits):
    """A signal for each candle: holds, a buy or sell every few hours, and the newest as asked."""
    from signals.models import SignalLog

    made = []
    for seq, (open_ms, close, deviation) in enumerate(candles, 1):
        newest = seq == len(candles)
        side = "buy" if (newest and acts) or seq % 74 == 5 else "sell" if seq % 74 == 41 else ""
        bracket = bracket_fields(side or "buy", close, deviation, bool(side), digits)
        made.append(
            SignalLog(
                market=market, symbol=market.symbol, seq=seq, **times(open_ms),
                signal_type=side or "hold", entry_price=f"{close:.{digits}f}", fee_rate=FEE_RATE,
                reasons=[] if side else ["NO_EDGE_AFTER_FEES"], model_versions=champions, simulated=market.simulated,
                chain_index=seq, seal="a" * 64, previous_seal="0" * 64, exit_rule=2, **bracket,
            )
        )  # fmt: skip
    SignalLog.objects.bulk_create(made, batch_size=500)


def bracket_fields(side, close, deviation, pays, digits):
    """The bracket a signal names, with its probabilities; they add up to 1."""
    horizon, sign = 36, 1 if side == "buy" else -1
    risk = deviation * horizon**0.5
    reward = 1.1 * risk
    p_take_profit, p_stop_loss = (0.44, 0.40) if pays else (0.36, 0.42)
    p_neither = round(1 - p_take_profit - p_stop_loss, 2)
    return {
        "considered_side": side,
        "horizon": horizon,
        "take_profit": f"{close * (1 + sign * reward):.{digits}f}",
        "stop_loss": f"{close * (1 - sign * risk):.{digits}f}",
        "confidence": p_take_profit if pays else None,
        "p_take_profit": p_take_profit,
        "p_stop_loss": p_stop_loss,
        "p_neither": p_neither,
        "p_break_even": (COSTS + (1 - p_neither) * risk) / (reward + risk),
        "expected_net_return": p_take_profit * reward - p_stop_loss * risk - COSTS,
    }


@contextmanager
def serving():
    """The engine's own ASGI application on a free port; its address and a sign-in link."""
    import uvicorn
    from django.contrib.auth import get_user_model

    from mlengine_project.asgi import application
    from mlengine_project.console.sign_in import one_time_link
    from signals.delivery.hub import hub

    person = get_user_model().objects.create_superuser("ada", password="a long secret")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(application, lifespan="off", log_config=None, ws="websockets-sansio"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            yield address, one_time_link(address, person)
        finally:
            server.should_exit = True
            thread.join(20)
            hub.stop()


async def photograph(folder, state, address, link):
    """Open both pages in a light theme and write what the window shows; paths and sizes in bytes."""
    from tests.mlengine_project.console import chromium

    written = []
    async with chromium.Browser(state / "profile") as page:
        await page.call("Emulation.setScrollbarsHidden", hidden=True)
        light = [
            {"name": "prefers-color-scheme", "value": "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        await page.call("Emulation.setEmulatedMedia", features=light)
        await page.open(link)
        await page.until(f"document.querySelectorAll('.card').length === {len(SYMBOLS)}")
        await page.until("document.getElementById('link-state').dataset.state === 'live'")
        written.append(await save(page, folder / "board.png"))
        await page.open(f"{address}/market/{SYMBOLS[0]}")
        await page.until("document.querySelector('#chart canvas') !== null")
        await page.until("document.getElementById('readout').textContent.includes('next 30 min')")
        await page.until("document.getElementById('link-state').dataset.state === 'live'")
        written.append(await save(page, folder / "market.png"))
    return written


async def save(page, path):
    """Write the upper part of the page as PNG; its path and size in bytes."""
    from PIL import Image

    size = {"width": WIDTH, "height": PICTURES[path.name]}
    await page.call("Emulation.setDeviceMetricsOverride", **size, deviceScaleFactor=1, mobile=False)
    await asyncio.sleep(1)  # the chart draws on the next frames
    picture = await page.call("Page.captureScreenshot", format="png")
    Image.open(io.BytesIO(base64.b64decode(picture["data"]))).convert("RGB").quantize(256).save(path, optimize=True)
    return path, path.stat().st_size


if __name__ == "__main__":
    main()
