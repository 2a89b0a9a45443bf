"""System checks of the settings; each message says what to write."""

import asyncio
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags
from django.db import DatabaseError, connection

from indicators.errors import FeatureError
from marketdata.exchange.parsing import is_symbol
from mlengine_project.access.proxy import UNIX_SOCKET
from mlengine_project.environment import PROBLEMS

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
MIN_API_KEY_CHARACTERS = 32
MAX_REQUEST_THREADS = 64
MAX_HORIZON = 288
"""Seasons and calendar look a day ahead at most."""


@checks.register(Tags.compatibility)
def settings_are_readable(**_: Any) -> list[CheckMessage]:
    """Report every variable that could not be read."""
    return [Error(sentence, id="mlengine.E001") for sentence in PROBLEMS]


@checks.register(Tags.compatibility)
def settings_are_valid(**_: Any) -> list[CheckMessage]:
    """Report values that are readable but invalid."""
    found = []
    if not 1 <= settings.API_PORT <= 65535:
        found.append(f"API_PORT is {settings.API_PORT}; write a port from 1 to 65535, for example API_PORT=8000.")
    if settings.LOG_LEVEL not in LEVELS:
        found.append(f"LOG_LEVEL is {settings.LOG_LEVEL!r}; write one of {', '.join(LEVELS)}.")
    if settings.REQUEST_THREADS > MAX_REQUEST_THREADS:
        found.append(
            f"REQUEST_THREADS is {settings.REQUEST_THREADS}; write 2 to {MAX_REQUEST_THREADS}: each keeps a connection"
            " to the database in every web process, for example REQUEST_THREADS=6."
        )
    for name, schemes in {"BINANCE_API_URL": ("http", "https"), "BINANCE_STREAM_URL": ("ws", "wss")}.items():
        found += _address_problem(name, getattr(settings, name), schemes)
    if settings.REDIS_URL:
        found += _address_problem("REDIS_URL", settings.REDIS_URL, ("redis", "rediss")) or _redis_database_problem()
    if settings.DASK_SCHEDULER:
        found += _address_problem("DASK_SCHEDULER", settings.DASK_SCHEDULER, ("tls", "tcp"))
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", settings.DEPLOYMENT):
        found.append(
            f"DEPLOYMENT is {settings.DEPLOYMENT!r}; write a name of up to 40 letters, digits, - and _, "
            "for example DEPLOYMENT=mlengine."
        )
    found += _list_problems()
    return [Error(sentence, id="mlengine.E002") for sentence in found]


def _list_problems() -> list[str]:
    found = [
        f"SUPPORTED_SYMBOLS holds {symbol!r}; write symbols such as SUPPORTED_SYMBOLS=BTCUSDT,ETHUSDT."
        for symbol in settings.SUPPORTED_SYMBOLS
        if not is_symbol(symbol)
    ]
    for origin in settings.CORS_ORIGINS:
        parts = urlsplit(origin)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path:
            found.append(f"CORS_ORIGINS holds {origin!r}; write origins such as https://app.example.com, with no path.")
    found += [
        f"ALLOWED_HOSTS holds {host!r}; write names such as ALLOWED_HOSTS=signals.example.com, no scheme, port or path."
        for host in settings.ALLOWED_HOSTS
        if not re.fullmatch(r"\*|\.?[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63}){0,126}\.?|\[[0-9A-Fa-f:.]{1,45}\]", host)
    ]
    found += [
        f"DEFAULT_HORIZONS holds {horizon}; write candles of five minutes, up to {MAX_HORIZON} (a day), such as "
        "DEFAULT_HORIZONS=12,48,288."
        for horizon in settings.DEFAULT_HORIZONS
        if horizon > MAX_HORIZON
    ]
    for network in settings.TRUSTED_PROXY:
        if network == UNIX_SOCKET:
            continue
        try:
            ip_network(network, strict=False)
        except ValueError:
            found.append(f"TRUSTED_PROXY holds {network!r}; write networks such as TRUSTED_PROXY=10.0.0.0/8, or unix.")
    return found


@checks.register(Tags.compatibility)
def settings_are_effective(**_: Any) -> list[CheckMessage]:
    """Report valid values that have no effect."""
    found = [
        f"ALLOWED_HOSTS holds {host!r}; no host name carries an underscore, so use a name without one."
        for host in settings.ALLOWED_HOSTS
        if "_" in host
    ]
    found += [
        f"TRUSTED_PROXY holds {network!r}, which lets every client choose its address; name the proxy's own network."
        for network in settings.TRUSTED_PROXY
        if network in {"0.0.0.0/0", "::/0"}
    ]
    return [checks.Warning(sentence, id="mlengine.W001") for sentence in found]


@checks.register("extensions")
def extensions_are_usable(**_: Any) -> list[CheckMessage]:
    """Report features and estimators that cannot be used, and champions that lack theirs."""
    from modelregistry.estimators.extra import find_estimators
    from modelregistry.estimators.kinds import KINDS

    found = []
    if settings.EXTRA_FEATURES:
        from indicators.features import features_for, find_families

        try:
            find_families(settings.EXTRA_FEATURES, day_ahead=features_for(settings.DEFAULT_HORIZONS).day_ahead)
        except FeatureError as error:
            found.append(f"EXTRA_FEATURES: {error}; write names such as EXTRA_FEATURES=mypackage.features.lead.")
    try:
        find_estimators(settings.EXTRA_ESTIMATORS, KINDS)
    except ValueError as error:
        found.append(f"EXTRA_ESTIMATORS: {error}; write names such as EXTRA_ESTIMATORS=mypackage.estimators.Trees.")
    return [Error(sentence, id="mlengine.E004") for sentence in [*found, *_unusable_champions()]]


def _unusable_champions() -> list[str]:
    """Sentences about champions of the database, if there is one."""
    database = connection.settings_dict
    if connection.vendor == "sqlite" and not Path(database["NAME"]).exists():  # opening it would create it
        return []
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _read_unusable_champions()
    # A web server imports its application inside its event loop, where Django allows no query.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_read_unusable_champions, close=True).result()


def _read_unusable_champions(*, close: bool = False) -> list[str]:
    from modelregistry.registry.serving import unusable_champions

    try:
        return unusable_champions()
    except (DatabaseError, RuntimeError):  # no database, no tables yet, or one that may not be used here
        return []
    finally:
        if close:
            connection.close()


def _address_problem(name: str, value: str, schemes: tuple[str, ...]) -> list[str]:
    parts = urlsplit(value)
    if parts.scheme in schemes and parts.hostname and not set("{}") & set(value):
        return []
    return [f"{name} is {value!r}; write an address such as {schemes[-1]}://host:port without braces."]


def _redis_database_problem() -> list[str]:
    """Report a Redis database number outside the path, where cache and broker differ."""
    parts = urlsplit(settings.REDIS_URL)
    if re.fullmatch(r"/?|/[0-9]{1,5}", parts.path) and "db" not in parse_qs(parts.query):
        return []
    return ["REDIS_URL must name its database as a number after one slash; write for example redis://host:6379/0."]


def production_problems() -> list[CheckMessage]:
    """Missing or unsafe settings of a production process."""
    found = []
    if not settings.SECRET_KEY_GIVEN:
        found.append("SECRET_KEY is missing; write SECRET_KEY=<50 random characters>, the same for all processes.")
    if settings.API_KEY and len(settings.API_KEY) < MIN_API_KEY_CHARACTERS:
        found.append(
            f"API_KEY has {len(settings.API_KEY)} characters; "
            f"write at least {MIN_API_KEY_CHARACTERS} random ones, or none."
        )
    if settings.DEBUG:
        found.append("DEBUG is on; write DEBUG=false.")
    return [Error(sentence, id="mlengine.E003") for sentence in found]


@checks.register(Tags.security)
def production_is_safe(**_: Any) -> list[CheckMessage]:
    """Apply the production rules to production processes."""
    return production_problems() if settings.PRODUCTION else []


@checks.register(Tags.security, deploy=True)
def deployment_is_safe(**_: Any) -> list[CheckMessage]:
    """Apply the production rules in `check --deploy`."""
    return [] if settings.PRODUCTION else production_problems()


def stop_on_errors() -> None:
    """Exit with the errors of the checks, in servers, where Django does not run them."""
    messages = [str(message.msg) for message in checks.run_checks() if message.level >= checks.ERROR]
    if messages:
        sys.exit("This cannot start:\n" + "\n".join(f"- {message}" for message in messages))
