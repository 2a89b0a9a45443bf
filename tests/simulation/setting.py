"""State shared by all seeds of a process: Django, template database and candles."""

import gc
import logging
import os
from functools import cache
from pathlib import Path

from tests.simulation.plan import SYMBOLS

HISTORY = 100
"""Candles the engine fetches at its first start."""
WINDOW = 80
"""Candles of a prediction's window: fewer than the history, so that windows are complete without holes."""
REDIS = "redis://virtual"


def prepare(folder):
    """Set up Django in this folder and create the template database; once per process."""
    os.environ.update(
        MLENGINE_STATE_DIR=str(folder),
        BINANCE_API_URL="https://api.exchange.invalid",
        BINANCE_STREAM_URL="wss://stream.exchange.invalid",
        DJANGO_SETTINGS_MODULE="mlengine_project.settings",
        DATABASE_URL="",
        REDIS_URL="",
    )
    import django
    import structlog

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection

    from marketdata import services
    from marketdata.exchange import binance
    from marketdata.feed import supervisor
    from predictions.forecasting import forecast_batch, forecasts
    from signals import services as advancing
    from tests.simulation import engine

    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    settings.EMBEDDED, settings.REDIS_URL = False, REDIS
    services.LIVE_WINDOW = HISTORY
    forecast_batch.WARMUP = forecasts.WARMUP = WINDOW
    binance.READ_SECONDS, binance.POLL_SECONDS = 29.0, 13.0
    supervisor.BEAT_SECONDS = supervisor.MARKETS_SECONDS = (
        300.0  # heartbeats and changes of markets are not tested here
    )
    advancing.coverage.refresh = lambda _markets: None  # there is no coverage without predictions
    engine.install()
    template = Path(folder) / "template.sqlite3"
    connection.settings_dict["NAME"] = template
    if not template.exists():
        call_command("migrate", verbosity=0)
        services.seed_markets(SYMBOLS, "exchange")
    connection.close()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)
    return template


@cache
def source():
    """Source of the candles of all seeds; prices do not matter here."""
    from marketdata.simulator.generator.candles import CandleGenerator

    return CandleGenerator(SYMBOLS, seed=7)
