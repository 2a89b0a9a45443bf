"""What `doctor` looks at: each part of an installation, what it found, and what to do about it."""

import os
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
from mlengine_project.operations.models import Heartbeat
from modelregistry import artifacts, registry
from modelregistry.errors import ModelLoadError

BESIDE_REQUESTS = 9
"""Connections of a web process beside those of its request threads: fast road, websockets, heartbeat, counts."""
MOST_CONNECTIONS = {"worker": 8, "scheduler": 2, "stream": 6}
"""Of the other processes, with the children of a worker."""


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
            findings.append(Finding(name, well=False, seen=str(error).splitlines()[0], advice="see `database`"))
    return findings


def _find(name: str) -> Finding:
    """What health reports of a part; where that is well, what only a closer look shows."""
    check = next((check for check in health.CHECKS if check.name == name), None)
    if check is None:
        return CLOSER[name]()
    report = health.look(check)
    if report["status"] == "healthy" and name in CLOSER:
        return CLOSER[name]()
    ages = f" {report['age_seconds']} s ago" if report.get("age_seconds") is not None else ""
    seen = report["message"] or " ".join(filter(None, [report.get("kind"), "well"]))
    return Finding(name, report["status"] == "healthy", seen + ages, check.advice)


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
    return Finding("markets", bool(markets), ", ".join(markets) or "none enabled", "run `manage.py seed_markets`")


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
    advice = "roll back, or restore the model folder from a backup" if bad else "run `manage.py train_models`"
    return Finding("models", bool(seen) and not bad, "; ".join(bad or seen) or "no champion", advice)


def _disk() -> Finding:
    folder = settings.MODEL_PATH if settings.MODEL_PATH.exists() else settings.BASE_DIR
    free = shutil.disk_usage(folder).free // 2**20
    writable = os.access(folder, os.W_OK)
    seen = f"{free} MiB free, model folder {'writable' if writable else 'read-only'}"
    advice = "free some space where the models are kept (MODEL_RETENTION; `manage.py prune_models --dry-run`)"
    return Finding("disk", free > health.FREE_MIB, seen, advice)


def _schedule() -> Finding:
    count = PeriodicTask.objects.filter(enabled=True).count()
    return Finding("schedule", count > 0, f"{count} rows enabled", "run `manage.py install_schedule`")


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
