"""What `doctor` looks at: each part of an installation, what it found, and what to do about it."""

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
from mlengine_project.operations import health, processes
from mlengine_project.operations.jobs import UNENDED
from mlengine_project.operations.models import Heartbeat, Job
from modelregistry import artifacts, registry
from modelregistry.errors import ModelLoadError

BESIDE_REQUESTS = 9
"""Connections of a web process beside those of its request threads: fast road, websockets, heartbeat, counts."""
MOST_CONNECTIONS = {"worker": 8, "scheduler": 2, "stream": 6}
"""Of the other processes, with the children of a worker."""
STARTED_BY_UP = ("binance", "celery", "beat", "stream")
SEE_DATABASE = "see `database`"
MAKING_MODELS = (Job.Kind.BOOTSTRAP, Job.Kind.TRAINING)


@dataclass(frozen=True)
class Finding:
    """One part: well or not, what was seen, and what to do when it is not well."""

    part: str
    well: bool
    seen: str
    advice: str = ""


def examine(only: list[str] | None = None) -> list[Finding]:
    """Look at every part, or the named ones; one that cannot be looked at is not well."""
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
    """What a closer look shows of a part, or what health reports of it."""
    check = next((check for check in health.CHECKS if check.name == name), None)
    if check is None:
        return CLOSER[name]()
    report = health.look(check)
    if check.asks_database and report.get("cause") == "database":
        return Finding(name, well=False, seen=report["message"], advice=SEE_DATABASE)
    well = report["status"] == "healthy"
    if name in CLOSER:
        closer = CLOSER[name]()
        if well or not closer.well:
            return closer
    ages = f" {report['age_seconds']} s ago" if report.get("age_seconds") is not None else ""
    seen = report["message"] or " ".join(filter(None, [report.get("kind"), "well"]))
    advice = "start `manage.py up`" if settings.EMBEDDED and name in STARTED_BY_UP else check.advice
    return Finding(name, well, seen + ages, advice)


def _settings() -> Finding:
    messages = [str(message.msg) for message in checks.run_checks() if message.level >= checks.ERROR]
    seen = "; ".join(messages) or ("embedded" if settings.EMBEDDED else "with Redis")
    return Finding("settings", not messages, seen, "see .env.example" if messages else "")


def _database() -> Finding:
    try:
        pending = MigrationExecutor(connection).migration_plan(MigrationExecutor(connection).loader.graph.leaf_nodes())
    except DatabaseError as error:
        return Finding("database", well=False, seen=str(error).splitlines()[0], advice="check DATABASE_URL")
    seen = f"{connection.vendor}, {len(pending)} migrations pending"
    if pending:
        return Finding("database", well=False, seen=seen, advice="run `manage.py migrate`")
    if connection.vendor != "postgresql":
        return Finding("database", well=True, seen=seen)
    needed, offered = connections_needed(), _connections_offered()
    seen += f"; running processes open at most {needed} connections of {offered}"
    return Finding(
        "database", needed <= offered, seen, "write a smaller REQUEST_THREADS, or raise max_connections of PostgreSQL"
    )


def connections_needed() -> int:
    """Most connections that the processes with a recent heartbeat may hold together."""
    each = {**MOST_CONNECTIONS, "web": BESIDE_REQUESTS + settings.REQUEST_THREADS}
    since = clock.wall_now() - timedelta(seconds=processes.SILENT_SECONDS)
    return sum(each.get(part, 0) for part in Heartbeat.objects.filter(at__gte=since).values_list("part", flat=True))


def _connections_offered() -> int:
    """Connections the server gives to users who are not superusers."""
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
    bad, seen = [], []
    for source in sorted(set(Market.objects.enabled().values_list("source", flat=True))):
        crowned = registry.champions(source)
        seen += [f"{kind} {version.digest[:12]}" for kind, version in sorted(crowned.items())]
        for kind, version in crowned.items():
            try:
                artifacts.verify_in_child(kind, version.digest)
            except ModelLoadError as error:
                bad.append(f"{kind}: {error}")
    train = _how_to_train()
    advice = f"roll back, or {train} and promote the new version" if bad else train
    if not seen and (job := Job.objects.filter(kind__in=MAKING_MODELS, state__in=UNENDED).first()):
        seen_job = f"no champion; {job}: {job.message}".rstrip(": ")
        return Finding("models", well=False, seen=seen_job, advice=f"wait for the {job.kind}; its page is in the admin")
    return Finding("models", bool(seen) and not bad, "; ".join(bad or seen) or "no champion", advice)


def _how_to_train() -> str:
    """A way to train that works where this process runs: only where models can be written is it the command."""
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
    seen = f"{free} MiB free, model folder {'writable' if writable else 'read-only'}"
    advice = "free some space where the models are kept (MODEL_RETENTION; `manage.py prune_models --dry-run`)"
    return Finding("disk", free > health.FREE_MIB, seen, advice)


def _schedule() -> Finding:
    count = PeriodicTask.objects.filter(enabled=True).count()
    known = PeriodicTask.objects.exists()
    advice = "enable the rows of the schedule in the admin" if known else "run `manage.py install_schedule`"
    return Finding("schedule", count > 0, f"{count} rows enabled", advice)


CLOSER: dict[str, Callable[[], Finding]] = {
    "settings": _settings,
    "database": _database,
    "markets": _markets,
    "schedule": _schedule,
    "models": _models,
    "disk": _disk,
}
PARTS = (*("settings", "database", "cache", "markets", "schedule", "models", "disk"),
         *("binance", "celery", "beat", "stream", "signals", "predictions"))  # fmt: skip
"""What is looked at, in this order: checks of health, and what takes a closer look."""
