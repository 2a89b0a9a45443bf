"""How the engine is, put together from what each app says of itself."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from marketdata import clock
from marketdata import health as market_health
from marketdata.exchange import source_of_settings
from marketdata.models import Market
from mlengine_project.operations.models import Heartbeat
from modelregistry import health as model_health
from modelregistry import registry
from predictions import health as prediction_health
from predictions.answering import RANGE
from predictions.cache import cache
from predictions.reasons import NO_CHAMPION
from signals import health as signal_health

READY_SECONDS = 2.0
"""How long an answer about readiness is good for."""
PATIENCE_SECONDS = 2.0
"""A part that has not answered by then does not answer."""
SILENT_SECONDS = {"worker": 60.0, "beat": 180.0, "stream": 60.0}
PROBE = "health:probe"
Report = dict[str, Any]

_pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="health")
_lock = threading.Lock()
_ready: dict[str, Any] = {"until": float("-inf"), "causes": []}


def readiness() -> list[str]:
    """Names of what keeps this process from serving; empty when nothing does. At most 2 s old."""
    with _lock:
        if clock.monotonic() >= _ready["until"]:
            _ready["causes"] = _causes()
            _ready["until"] = clock.monotonic() + READY_SECONDS
        return list(_ready["causes"])


def forget() -> None:
    """Ask again at the next call."""
    _ready["until"] = float("-inf")


def detailed() -> Report:
    """Every part with its status; the whole is unhealthy without a database, degraded with any other fault."""
    database = _database_report()
    parts: dict[str, Report] = {"database": database, "cache": _cache_report()}
    if database["status"] == "healthy":
        parts |= {
            "models": _guarded(model_health.report),
            "binance": _guarded(market_health.report),
            "predictions": _guarded(prediction_health.report),
            "signals": _guarded(signal_health.report),
            **_guarded_processes(),
        }
        ages = market_health.data_age_seconds()
    else:
        unknown = part("unhealthy", "unknown while the database is away")
        parts |= dict.fromkeys(("models", "binance", "predictions", "signals", "celery", "beat", "stream"), unknown)
        ages = {}
    said = {report["status"] for report in parts.values()}
    whole = "healthy" if said == {"healthy"} else "degraded"
    whole = "unhealthy" if database["status"] != "healthy" else whole
    return {"status": whole, **parts, "data_age_seconds": ages}


def part(status: str, message: str = "", **more: Any) -> Report:
    """One part of the report."""
    return {"status": status, "message": message, **more}


def processes() -> dict[str, Report]:
    """Whether worker, beat and feed gave a sign of life lately."""
    now = clock.wall_now()
    newest: dict[str, datetime] = {}
    for name, at in Heartbeat.objects.values_list("part", "at"):
        newest[name] = max(at, newest.get(name, at))
    reports = {}
    for name, heartbeat in (("celery", "worker"), ("beat", "beat"), ("stream", "stream")):
        if heartbeat not in newest:
            reports[name] = part("degraded", "no sign of life yet", age_seconds=None)
            continue
        age = max(0.0, (now - newest[heartbeat]).total_seconds())
        alive = age <= SILENT_SECONDS[heartbeat]
        reports[name] = part(
            "healthy" if alive else "degraded", "" if alive else f"silent for {age:.0f} s", age_seconds=round(age, 1)
        )
    return reports


def loaded_by() -> dict[str, list[str]]:
    """Which living processes have a model version in memory, by its id."""
    now = clock.wall_now()
    found: dict[str, list[str]] = {}
    for name, at, told in Heartbeat.objects.values_list("name", "at", "detail"):
        if (now - at).total_seconds() > SILENT_SECONDS["worker"]:
            continue
        for kinds in told.get("loaded", {}).values():
            for version in kinds.values():
                found.setdefault(version, []).append(name)
    return {version: sorted(names) for version, names in found.items()}


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM django_migrations LIMIT 1")
    except (DatabaseError, InterfaceError):
        return False
    else:
        return True
    finally:
        connection.close()


def _causes() -> list[str]:
    if not _in_time(_database_answers):
        return ["database"]
    return [] if _in_time(_predictions_are_answered) else [NO_CHAMPION]


def _predictions_are_answered() -> bool:
    """Whether a champion loaded here covers an enabled market, as POST /predictions asks of it."""
    try:
        enabled = set(Market.objects.enabled().values_list("source", "symbol"))
        covered = set()
        for source in {source for source, _ in enabled} or {str(source_of_settings())}:
            ensemble = registry.load_ensemble(source)
            covered |= {(source, symbol) for symbol in (ensemble.symbols.get(RANGE, ()) if ensemble else ())}
        return bool(covered & enabled if enabled else covered)
    except (DatabaseError, InterfaceError):
        return False
    finally:
        connection.close()


def _in_time(check: Callable[[], bool]) -> bool:
    asked = _pool.submit(check)
    try:
        return asked.result(PATIENCE_SECONDS)
    except TookTooLong:
        asked.cancel()  # one that has not begun need not wait for those that hang
        return False


def _database_report() -> Report:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (DatabaseError, InterfaceError):
        return part("unhealthy", "does not answer", kind=connection.vendor)
    return part("healthy", kind=connection.vendor)


def _cache_report() -> Report:
    kind = "in process" if settings.EMBEDDED else "redis"
    try:
        cache.set(PROBE, b"1", 10)
        answered = cache.get(PROBE) is not None
    except Exception:  # noqa: BLE001  # whatever the client raises, the cache does not answer
        answered = False
    return part("healthy", kind=kind) if answered else part("degraded", "does not answer", kind=kind)


def _guarded(report: Callable[[], Report]) -> Report:
    """A part that cannot be looked at is not well."""
    try:
        return report()
    except (DatabaseError, InterfaceError):
        return part("unhealthy", "the database does not answer")


def _guarded_processes() -> dict[str, Report]:
    try:
        return processes()
    except (DatabaseError, InterfaceError):
        return dict.fromkeys(("celery", "beat", "stream"), part("unhealthy", "the database does not answer"))
