"""What `doctor` looks at: each part of an installation, what it found, and what to do about it."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core import checks
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django_celery_beat.models import PeriodicTask

from marketdata.models import Market
from mlengine_project.operations import health
from mlengine_project.operations.jobs import UNENDED
from mlengine_project.operations.models import Job
from modelregistry import artifacts, registry
from modelregistry.errors import ModelLoadError

FREE_MIB = 500
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
    for part, look in PARTS.items():
        if only and part not in only:
            continue
        try:
            findings.append(look())
        except DatabaseError as error:
            findings.append(Finding(part, well=False, seen=str(error).splitlines()[0], advice="see `database`"))
    return findings


def _settings() -> Finding:
    messages = [str(message.msg) for message in checks.run_checks() if message.level >= checks.ERROR]
    seen = "; ".join(messages) or ("embedded" if settings.EMBEDDED else "with Redis")
    return Finding("settings", not messages, seen, "see .env.example" if messages else "")


def _database() -> Finding:
    try:
        pending = MigrationExecutor(connection).migration_plan(MigrationExecutor(connection).loader.graph.leaf_nodes())
    except DatabaseError as error:
        return Finding("database", well=False, seen=str(error).splitlines()[0], advice="check DATABASE_URL")
    advice = "run `manage.py migrate`" if pending else ""
    return Finding("database", not pending, f"{connection.vendor}, {len(pending)} migrations pending", advice)


def _cache() -> Finding:
    report = health.detailed()["cache"]
    return Finding(
        "cache", report["status"] == "healthy", f"{report['kind']} {report['message']}".strip(), "check REDIS_URL"
    )


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
    seen = f"{free} MiB free, model folder {'writable' if artifacts.can_write() else 'read-only'}"
    return Finding("disk", free > FREE_MIB, seen, "free some space where the models are kept")


def _schedule() -> Finding:
    count = PeriodicTask.objects.filter(enabled=True).count()
    known = PeriodicTask.objects.exists()
    advice = "enable the rows of the schedule in the admin" if known else "run `manage.py install_schedule`"
    return Finding("schedule", count > 0, f"{count} rows enabled", advice)


def _reported(part: str, process: str, advice: str = "") -> Callable[[], Finding]:
    """A part that a process of its own keeps well: `up` where everything is in one, else the named one."""

    def look() -> Finding:
        report: dict[str, Any] = health.detailed()[part]
        start = "start `manage.py up`" if settings.EMBEDDED else f"start {process}"
        ages = f" {report['age_seconds']} s ago" if report.get("age_seconds") is not None else ""
        return Finding(part, report["status"] == "healthy", (report["message"] or "well") + ages, advice or start)

    return look


PARTS: dict[str, Callable[[], Finding]] = {
    "settings": _settings,
    "database": _database,
    "cache": _cache,
    "markets": _markets,
    "schedule": _schedule,
    "models": _models,
    "disk": _disk,
    "binance": _reported("binance", "the feed: `docker compose up -d stream`, or one `manage.py stream_candles`"),
    "celery": _reported("celery", "the workers: `docker compose up -d worker trainer`"),
    "beat": _reported("beat", "exactly one beat: `docker compose up -d beat`"),
    "stream": _reported("stream", "exactly one feed: `docker compose up -d stream`, or one `manage.py stream_candles`"),
    "signals": _reported("signals", "", "look at the outbox and the kill switches in the admin"),
}
