"""Health checks behind readiness, the detailed report, `doctor` and the metrics."""

import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.utils.translation import gettext

from marketdata import clock
from marketdata import health as market_health
from marketdata.process_state import process_state
from mlengine_project.operations.models import Heartbeat
from mlengine_project.operations.monitoring import heartbeats, processes
from mlengine_project.operations.monitoring.background_refresher import refresher
from mlengine_project.operations.monitoring.processes import Report, part
from modelregistry import health as model_health
from predictions import health as prediction_health
from predictions.live.cache import cache
from signals import health as signal_health

READINESS_SECONDS = 2.0
"""How long a readiness result is cached."""
TIMEOUT_SECONDS = 2.0
"""Time limit of a readiness check."""
MIN_FREE_MIB = 500
PROBE_KEY = "health:probe"

_pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="health")


class Readiness:
    """The newest result of the readiness checks."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.valid_until = float("-inf")
        self.causes: list[str] = []


@dataclass(frozen=True)
class Check:
    """Health check of one part of the engine, with advice for when it is not healthy.

    A report is `healthy`, `degraded`, or `unhealthy` (requests fail or get wrong answers). Where a part that `serves`
    blocks predictions, its report has a `cause`: the name that readiness returns.
    """

    name: str
    run: Callable[[], Report]
    advice: str
    serves: bool = False
    needs_database: bool = True


def readiness() -> list[str]:
    """Causes why this process cannot serve, empty when it can; at most 2 s old."""
    newest = process_state.of(Readiness)
    with newest.lock:
        if clock.monotonic() >= newest.valid_until:
            newest.causes = [*_causes_in_time(), *(["loading"] if refresher.is_loading else [])]
            newest.valid_until = clock.monotonic() + READINESS_SECONDS
        return list(newest.causes)


def detailed() -> Report:
    """Every part and the overall status: unhealthy with a part that serves, else degraded with any fault."""
    reports = parts()
    overall = "healthy" if {report["status"] for report in reports.values()} == {"healthy"} else "degraded"
    if any(reports[check.name]["status"] == "unhealthy" for check in CHECKS if check.serves):
        overall = "unhealthy"
    known = reports["database"].get("cause") != "database"
    ages = market_health.data_age_seconds() if known else {}
    return {"status": overall, **reports, "data_age_seconds": ages}


def parts() -> dict[str, Report]:
    """The report of every check, by name."""
    reports: dict[str, Report] = {}
    for check in CHECKS:
        if check.needs_database and reports["database"].get("cause") == "database":
            reports[check.name] = part("unhealthy", gettext("unknown while the database is unavailable"))
        else:
            reports[check.name] = run_check(check)
    return reports


def run_check(check: Check) -> Report:
    """The report of one check; unhealthy where the database does not answer."""
    try:
        return check.run()
    except (DatabaseError, InterfaceError):
        return part("unhealthy", gettext("the database does not answer"), cause="database")


def loaded_by() -> dict[str, list[str]]:
    """Running processes that have loaded a model version, by its id."""
    now = clock.wall_now()
    found: dict[str, list[str]] = {}
    for row in Heartbeat.objects.raw("SELECT name, at, detail FROM heartbeats"):
        age_seconds = (now - row.at).total_seconds()
        if not -heartbeats.CLOCK_TOLERANCE.total_seconds() <= age_seconds <= processes.SILENT_SECONDS:
            continue
        for kinds in row.detail.get("loaded", {}).values():
            for version in kinds.values():
                found.setdefault(version, []).append(row.name)
    return {version: sorted(names) for version, names in found.items()}


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM django_migrations LIMIT 1")
    except (DatabaseError, InterfaceError):
        return False
    return True


def _causes() -> list[str]:
    if not _database_answers():
        return ["database"]
    found = [run_check(check).get("cause") for check in CHECKS if check.serves]
    return list(dict.fromkeys(cause for cause in found if cause))


def _causes_of_this_thread() -> list[str]:
    try:
        return _causes()
    finally:
        connection.close()


def _causes_in_time() -> list[str]:
    future = _pool.submit(_causes_of_this_thread)
    try:
        return future.result(TIMEOUT_SECONDS)
    except FutureTimeout:
        future.cancel()  # one that has not started need not wait for those that hang
        return ["database"]


def _database_report() -> Report:
    kind = connection.vendor
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            if kind == "postgresql":
                cursor.execute("SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean")
                is_standby, is_read_only = cursor.fetchone()
                if is_standby or is_read_only:
                    standby = gettext("it is a standby in recovery")
                    message = _no_writes(standby if is_standby else gettext("its transactions are read-only"))
                    return part("unhealthy", message, kind=kind, cause="database_read_only")
    except (DatabaseError, InterfaceError):
        return part("unhealthy", gettext("does not answer"), kind=kind, cause="database")
    if refused := heartbeats.write_failure():
        return part("unhealthy", _no_writes(refused), kind=kind, cause="database_refuses_writes")
    return part("healthy", kind=kind)


def _no_writes(why: str) -> str:
    return gettext("does not accept writes: %(why)s") % {"why": why}


def _cache_report() -> Report:
    kind = "in process" if settings.EMBEDDED else "redis"
    try:
        cache.set(PROBE_KEY, b"1", 10)
        message = "" if cache.get(PROBE_KEY) is not None else gettext("does not answer")
    except Exception as error:  # noqa: BLE001  # whatever the client raises, the cache does not answer
        message = _refusal(str(error.__cause__ or error))
    return part("degraded" if message else "healthy", message, kind=kind)


def _refusal(answer: str) -> str:
    """Meaning of a Redis error; the broker is the same server, so no task is queued either."""
    reasons = {
        "OOM": gettext("refuses writes: its memory is full"),
        "READONLY": gettext("refuses writes: it is a read-only replica"),
        "MISCONF": gettext("refuses writes: it cannot save to its disk"),
        "NOAUTH": gettext("refuses the connection: REDIS_URL has no password"),
        "WRONGPASS": gettext("refuses the connection: the password in REDIS_URL is wrong"),
    }
    lowered = answer.lower()
    if "maxmemory" in lowered:
        return reasons["OOM"]
    if "read only replica" in lowered or "read-only replica" in lowered:
        return reasons["READONLY"]
    return next((words for word, words in reasons.items() if word in answer), gettext("does not answer"))


def _disk_report() -> Report:
    folders = {
        gettext("model folder"): settings.MODEL_PATH,
        gettext("archive"): settings.ARCHIVE_PATH,
        gettext("state folder"): settings.STATE_DIR,
    }
    faults, free = [], {}
    for name, folder in folders.items():
        if not folder.exists():
            continue  # created by the process that writes there; a missing champion is reported by `models`
        try:
            next(folder.iterdir(), None)
            free[name] = shutil.disk_usage(folder).free // 2**20
        except OSError as error:
            words = gettext("the %(folder)s cannot be read: %(error)s")
            faults.append(words % {"folder": name, "error": error.strerror})
            continue
        if free[name] < MIN_FREE_MIB:
            words = gettext("only %(mib)d MiB are free on the disk of the %(folder)s")
            faults.append(words % {"mib": free[name], "folder": name})
    return part("degraded" if faults else "healthy", "; ".join(faults), free_mib=min(free.values(), default=None))


FEED = "exactly one feed: `docker compose up -d stream`, or `manage.py stream_candles`"
BEAT = "exactly one beat: `docker compose up -d beat`; and check the schedule in the admin"
CHECKS = (
    Check("database", _database_report, "check DATABASE_URL, and whether that server accepts writes", True, False),
    Check("cache", _cache_report, "check REDIS_URL, its memory and its role", needs_database=False),
    Check("disk", _disk_report, "free disk space, and check the permissions of that folder", needs_database=False),
    Check("models", model_health.report, "roll back, or train and promote a new version", True),
    Check("binance", market_health.report, f"start {FEED}", True),
    Check("predictions", prediction_health.report, "train a newer model"),
    Check("signals", signal_health.report, "check the outbox in the admin, and the switches on the page Operations"),
    Check("celery", processes.worker, "start the workers: `docker compose up -d worker trainer`"),
    Check("beat", processes.beat, f"start {BEAT}"),
    Check("stream", processes.stream, f"start {FEED}"),
)
"""All checks; the database comes first, since the others depend on it."""
