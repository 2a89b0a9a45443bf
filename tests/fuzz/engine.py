"""An engine with champions behind a real server, and a key of each scope."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from django.db import connections
from django.test import override_settings

from marketdata import clock
from marketdata.models import Market
from mlengine_project.access import services
from mlengine_project.operations.models import Job
from signals import services as signals
from tests.champions import BEGIN, STEP, at_close_of, bootstrap_champions, make_markets, reset_process_state

NEWEST = BEGIN - STEP
SCOPES = ("admin", "predict", "read")
SECONDS_TO_START = 20.0


@dataclass(frozen=True)
class Engine:
    """Address of a served engine, and a key of each scope."""

    url: str
    keys: dict[str, str]


@contextmanager
def engine_with_champions(models: Path, **settings: object) -> Iterator[dict[str, str]]:
    """Two markets with champions, one switched off, one candle processed, no rate limit; yields the keys.

    The database must be a test database. The clock is frozen one second after the close.
    """
    from predictions.live.cache import cache

    known = {"MODEL_PATH": models, "RATE_LIMIT": 0, "ALLOWED_HOSTS": ["127.0.0.1", "testserver"], **settings}
    with override_settings(**known):
        reset_process_state()
        services.clear_verified()
        cache.clear()
        bootstrap_champions()
        markets = make_markets()
        Market.objects.create(symbol="SOLUSDT", source="simulated", enabled=False)
        Job.objects.create(kind="training", asked_by="tests")
        with clock.use(at_close_of(NEWEST)):
            signals.advance(markets)
            keys = {scope: services.create_key(f"{scope} caller", scope)[1] for scope in SCOPES}
            try:
                yield keys
            finally:
                reset_process_state()


@contextmanager
def served(application: object) -> Iterator[str]:
    """A server in a thread of this process; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = uvicorn.Config(application, host="127.0.0.1", port=port, log_level="error", lifespan="off")  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + SECONDS_TO_START
    while not server.started:
        if time.monotonic() > deadline or not thread.is_alive():
            raise RuntimeError("the server did not start")
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
        connections.close_all()


@contextmanager
def served_engine(models: Path) -> Iterator[Engine]:
    """The engine of this process behind a server."""
    from mlengine_project.asgi import application

    with engine_with_champions(models) as keys, served(application) as url:
        yield Engine(url, keys)
