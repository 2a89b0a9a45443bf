"""Diagnosis of an installation for `doctor`: each part, its state, and advice."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.core import checks
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django_celery_beat.models import PeriodicTask

from marketdata import clock
from marketdata.models import Market
from mlengine_project.operations.jobs.control import ACTIVE_STATES
from mlengine_project.operations.models import Heartbeat, Job
from mlengine_project.operations.monitoring import health, processes
from modelregistry import artifacts, registry
from modelregistry.errors import ModelLoadError

OTHER_WEB_CONNECTIONS = 9
"""Connections of a web process besides its request threads: fast road, websockets, heartbeat, counts."""
MAX_CONNECTIONS = {"worker": 8, "scheduler": 2, "stream": 6}
"""Connections of the other processes, with the children of a worker."""
STARTED_BY_UP = ("binance", "celery", "beat", "stream")
SEE_DATABASE = "see `database`"
MODEL_JOBS = (Job.Kind.BOOTSTRAP, Job.Kind.TRAINING)


@dataclass(frozen=True)
class Finding:
    """State of one part: ok or not, what was found, and advice when it is not ok."""

    part: str
    well: bool
    seen: str
    advice: str = ""


def diagnose(only: list[str] | None = None) -> list[Finding]:
    """Check every part, or the named ones; a part that cannot be checked is not ok."""
    findings = []
    for name in PARTS:
        if only and name not in only:
            continue
        try:
            findings.append(_find(name))
        except DatabaseError as error:
            findings.append(Finding(name, well=False, seen=str(error).splitlines()[0], advice=SEE_DATABASE))
    return findings


def _find(name: str) -> Finding:
    """Finding of the detailed check of a part, or of its health report."""
    check = next((check for check in health.CHECKS if check.name == name), None)
    if check is None:
        return DETAILED_CHECKS[name]()
    report = health.run_check(check)
    if check.needs_database and report.get("cause") == "database":
        return Finding(name, well=False, seen=report["message"], advice=SEE_DATABASE)
    is_ok = report["status"] == "healthy"
    if name in DETAILED_CHECKS:
        detailed = DETAILED_CHECKS[name]()
        if is_ok or not detailed.well:
            return detailed
    ages = f" {report['age_seconds']} s ago" if report.get("age_seconds") is not None else ""
    found = report["message"] or " ".join(filter(None, [report.get("kind"), "ok"]))
    advice = "start `manage.py up`" if settings.EMBEDDED and name in STARTED_BY_UP else check.advice
    return Finding(name, is_ok, found + ages, advice)


def _settings() -> Finding:
    messages = [str(message.msg) for message in checks.run_checks() if message.level >= checks.ERROR]
    found = "; ".join(messages) or ("embedded" if settings.EMBEDDED else "with Redis")
    return Finding("settings", not messages, found, "see .env.example" if messages else "")


def _database() -> Finding:
    try:
        pending = MigrationExecutor(connection).migration_plan(MigrationExecutor(connection).loader.graph.leaf_nodes())
    except DatabaseError as error:
        return Finding("database", well=False, seen=str(error).splitlines()[0], advice="check DATABASE_URL")
    found = f"{connection.vendor}, {len(pending)} migrations pending"
    if pending:
        return Finding("database", well=False, seen=found, advice="run `manage.py migrate`")
    if connection.vendor != "postgresql":
        return Finding("database", well=True, seen=found)
    needed, available = connections_needed(), _connections_available()
    found += f"; running processes open at most {needed} connections of {available}"
    return Finding(
        "database", needed <= available, found, "set a smaller REQUEST_THREADS, or raise max_connections of PostgreSQL"
    )


def connections_needed() -> int:
    """Maximum connections that the processes with a recent heartbeat hold together."""
    each = {**MAX_CONNECTIONS, "web": OTHER_WEB_CONNECTIONS + settings.REQUEST_THREADS}
    since = clock.wall_now() - timedelta(seconds=processes.SILENT_SECONDS)
    return sum(each.get(part, 0) for part in Heartbeat.objects.filter(at__gte=since).values_list("part", flat=True))


def _connections_available() -> int:
    """Connections the server allows users who are not superusers."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(CASE WHEN name = 'max_connections' THEN setting::int ELSE -setting::int END) FROM pg_settings"
            " WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections')"
        )
        return int(cursor.fetchone()[0])


def _markets() -> Finding:
    markets = [str(market) for market in Market.objects.enabled()]
    known = Market.objects.exists()
    advice = "enable a market in the admin" if known else "run `manage.py seed_markets`"
    return Finding("markets", bool(markets), ", ".join(markets) or "none enabled", advice)


def _models() -> Finding:
    broken, found = [], []
    for source in sorted(set(Market.objects.enabled().values_list("source", flat=True))):
        champions = registry.champions(source)
        found += [f"{kind} {version.digest[:12]}" for kind, version in sorted(champions.items())]
        for kind, version in champions.items():
            try:
                artifacts.verify_in_child(kind, version.digest)
            except ModelLoadError as error:
                broken.append(f"{kind}: {error}")
    train = _how_to_train()
    advice = f"roll back, or {train} and promote the new version" if broken else train
    if not found and (job := Job.objects.filter(kind__in=MODEL_JOBS, state__in=ACTIVE_STATES).first()):
        found_job = f"no champion; {job}: {job.message}".rstrip(": ")
        return Finding("models", well=False, seen=found_job, advice=f"wait for the {job.kind}; see its admin page")
    return Finding("models", bool(found) and not broken, "; ".join(broken or found) or "no champion", advice)


def _how_to_train() -> str:
    """How to train from this process: by the command only where models can be written."""
    if artifacts.can_write():
        return "run `manage.py train_models`"
    return (
        "train where models can be written: `docker compose exec trainer python manage.py train_models`, "
        'the admin\'s page of jobs, or POST /jobs {"kind": "training"}'
    )


def _disk() -> Finding:
    folder = settings.MODEL_PATH if settings.MODEL_PATH.exists() else settings.BASE_DIR
    free = shutil.disk_usage(folder).free // 2**20
    writable = artifacts.can_write()
    found = f"{free} MiB free, model folder {'writable' if writable else 'read-only'}"
    advice = "free disk space in the model folder (MODEL_RETENTION; `manage.py prune_models --dry-run`)"
    return Finding("disk", free > health.MIN_FREE_MIB, found, advice)


def _schedule() -> Finding:
    count = PeriodicTask.objects.filter(enabled=True).count()
    known = PeriodicTask.objects.exists()
    advice = "enable the rows of the schedule in the admin" if known else "run `manage.py install_schedule`"
    return Finding("schedule", count > 0, f"{count} rows enabled", advice)


DETAILED_CHECKS: dict[str, Callable[[], Finding]] = {
    "settings": _settings,
    "database": _database,
    "markets": _markets,
    "schedule": _schedule,
    "models": _models,
    "disk": _disk,
}
PARTS = (*("settings", "database", "cache", "markets", "schedule", "models", "disk"),
         *("binance", "celery", "beat", "stream", "signals", "predictions"))  # fmt: skip
"""Parts in the order of the report: health checks and detailed checks."""
