"""Shared fixtures, and the rule for missing services: skip locally, fail in CI."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.test import override_settings
from whitenoise.middleware import WhiteNoiseMiddleware

from mlengine_project.settings import channel_layer

PLAIN_RUN = "not long and not simulation"
ROOT = Path(__file__).resolve().parent.parent
CANDLES = Path(os.environ.get("MLENGINE_CANDLES", ROOT.parent / "shared" / "data"))
ALONE = ("tests/indicators/", "tests/benchmarks/", "tests/modelregistry/", "tests/marketdata/", "tests/test_")
RUN_ONCE = (
    "tests/candle_files/",
    "tests/fuzz/",
    "tests/flows/test_crowd",
    "tests/flows/test_shared_database",
    "tests/flows/test_two_engines",
    "tests/flows/test_upgrade",
    "tests/marketdata/coverage/",
    "tests/marketdata/exchange/",
    "tests/marketdata/feed/",
    "tests/marketdata/storage/test_exchange_intervals",
    "tests/mlengine_project/access/test_a",
    "tests/mlengine_project/access/test_proxy",
    "tests/mlengine_project/access/test_sign_in",
    "tests/mlengine_project/access/test_tls_proxy",
    "tests/mlengine_project/console/operating/",
    "tests/mlengine_project/console/test_language",
    "tests/mlengine_project/console/test_pages",
    "tests/mlengine_project/console/test_shown_figures",
    "tests/mlengine_project/console/test_sign_in",
    "tests/mlengine_project/console/versions/",
    "tests/mlengine_project/http/server/",
    "tests/mlengine_project/http/test_e",
    "tests/mlengine_project/http/test_h",
    "tests/mlengine_project/http/test_limits",
    "tests/mlengine_project/http/test_intervals",
    "tests/mlengine_project/http/test_names",
    "tests/mlengine_project/http/test_permissions",
    "tests/mlengine_project/http/test_s",
    "tests/mlengine_project/management/test_check_leakage",
    "tests/mlengine_project/operations/scheduling/test_broker",
    "tests/mlengine_project/research/",
    "tests/mlengine_project/test_admin",
    "tests/mlengine_project/test_c",
    "tests/modelregistry/estimators/test_extra",
    "tests/modelregistry/management/",
    "tests/modelregistry/search/",
    "tests/modelregistry/test_",
    "tests/modelregistry/training/",
    "tests/signals/delivery/test_asyncapi",
)
"""Tests of which one run is enough.

They start the services they need, fit models, end before a query, or are of pages and messages made from plain queries.
"""
SERVICES = {"postgres": ("DATABASE_URL", 5432), "redis": ("REDIS_URL", 6379)}


def _reachable(url: str, port: int) -> bool:
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or port), timeout=1):
            return True
    except OSError:
        return False


def pytest_xdist_auto_num_workers() -> int:
    """More workers than cores: many tests wait for processes, browsers and time limits."""
    return (os.cpu_count() or 1) + 2


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that need not run again with other services."""
    for item in items:
        needs_database = item.get_closest_marker("django_db") or {"db", "transactional_db"} & set(
            getattr(item, "fixturenames", ())
        )
        independent = item.nodeid.startswith(ALONE) or isinstance(item, pytest.DoctestItem)
        in_browser = item.get_closest_marker("browser") is not None
        if item.nodeid.startswith(RUN_ONCE) or in_browser or (independent and not needs_database):
            item.add_marker("alone")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say at the end what a plain run leaves out, and how to run it."""
    if os.environ.get("CI") == "true" or config.option.markexpr != PLAIN_RUN:
        return
    skipped = len(terminalreporter.stats.get("skipped", []))
    terminalreporter.write_line(
        f"Not run: tests of minutes (uv run pytest -m 'long or simulation'); {skipped} skipped for the reasons above. "
        "With DATABASE_URL and REDIS_URL set, tests with PostgreSQL and Redis run too; .ci/run runs both ways."
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose service is missing; fail it in CI."""
    for marker, (variable, port) in SERVICES.items():
        if item.get_closest_marker(marker) is None:
            continue
        url = os.environ.get(variable, "")
        if not url:
            _absent(f"{variable} is not set")
        elif not _reachable(url, port):
            _absent(f"{variable} names a server that does not answer")
    if item.get_closest_marker("candles") is not None and not (CANDLES / "BTCUSDT-5m.parquet").exists():
        pytest.skip(f"real candles are not at {CANDLES}; set MLENGINE_CANDLES")


def _absent(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI requires it: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="module", autouse=True)
def _own_features():
    """Only our own features, whatever EXTRA_FEATURES names: tests install what they need."""
    from indicators.features import FeatureSet, install, installed

    before = installed()
    install(FeatureSet())
    yield
    install(before)


@pytest.fixture(scope="session", autouse=True)
def _quick_passwords():
    """A fast password hasher; a million rounds for each test user are not needed."""
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


@pytest.fixture(scope="session", autouse=True)
def _static_files_listed_once():
    """One list of the static files for all clients; each new client would read every folder again."""
    listed: dict[tuple[str, str], dict] = {}
    list_files = WhiteNoiseMiddleware.add_files_from_finders

    def listed_once(self: WhiteNoiseMiddleware) -> None:
        key = (self.static_prefix, str(self.max_age))
        if key not in listed:
            list_files(self)
            listed[key] = dict(self.files)
        self.files.update(listed[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WhiteNoiseMiddleware, "add_files_from_finders", listed_once)
        yield


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory) -> Iterator[str]:
    """A private Redis: channels are shared by all databases of a server, and tests run in parallel."""
    from tests.flows.processes import start_redis, wait_until

    server, url = start_redis(tmp_path_factory.mktemp("redis"))
    try:
        wait_until(lambda: _reachable(url, 6379), 10, "Redis listens")
        yield url
    finally:
        server.terminate()
        server.wait()


def use_redis(settings, url):
    """Configure this test as with REDIS_URL set to this address."""
    settings.REDIS_URL, settings.EMBEDDED = url, False
    settings.CHANNEL_LAYERS = {"default": channel_layer(url)}


@pytest.fixture(scope="session")
def candles_folder() -> Path:
    """The folder of real candles, for tests marked `candles` only."""
    return CANDLES


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """The test database; sessions left open by threads are terminated before it is dropped."""
    yield
    from django.db import connection

    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
