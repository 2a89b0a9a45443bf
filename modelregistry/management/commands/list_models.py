"""List the model versions, or the trials of the ledger."""

import json
from collections.abc import Sequence
from typing import Any

from django.core.checks import Tags
from django.core.management.base import CommandParser
from django.db.models import F

from marketdata.clock import iso
from marketdata.management.command import EngineCommand
from marketdata.models import Source
from modelregistry.evaluation.reports.tables import Table
from modelregistry.management.tables import lines_of
from modelregistry.models import Kind, ModelVersion, TrainingTrial
from modelregistry.search.trial_settings import listed_settings

HEADERS = ["digest", "source", "stage", "gate", "trained to", "skill", "files"]


class Command(EngineCommand):
    """Table of every kind, newest version first."""

    # It must also work while a champion's features or estimator are missing.
    requires_system_checks = (Tags.compatibility,)
    help = (
        "List model versions by kind, newest first: digest, stage, gate, end of training, skill, files; with --trials "
        "the trials of the ledger, whose ids `train_models --settings-from` takes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the choice and the output."""
        parser.add_argument("--kinds", nargs="+", default=[], choices=Kind.values, help="default: all three")
        parser.add_argument("--source", choices=Source.values, help="default: all sources")
        parser.add_argument("--trials", action="store_true", help="trials of searches and trainings instead")
        parser.add_argument("--json", action="store_true", help="one JSON array instead of tables")

    def handle(self, *_: Any, **options: Any) -> None:
        """Print the versions or the trials."""
        if options["trials"]:
            self.list_trials(**options)
            return
        rows = ModelVersion.objects.filter(kind__in=options["kinds"] or Kind.values)
        if options["source"]:
            rows = rows.filter(source=options["source"])
        # A report may hold megabytes; only its skill is read.
        versions = rows.defer("report").annotate(skill=F("report__skill")).order_by("-created_at", "-pk")
        found = sorted(map(as_listed, versions), key=lambda one: Kind.values.index(one["kind"]))
        if options["json"]:
            self.stdout.write(json.dumps(found, indent=2))
            return
        tables = [table_of(kind, [one for one in found if one["kind"] == kind]) for kind in Kind.values]
        lines = [line for table in tables if table.rows for line in lines_of(table)]
        for line in lines[1:] or ["no version is registered"]:
            self.stdout.write(line)

    def list_trials(self, **options: Any) -> None:
        """Print the trials, newest first; the settings of those that can be trained."""
        rows = TrainingTrial.objects.filter(kind__in=options["kinds"] or Kind.values)
        if options["source"]:
            rows = rows.filter(source=options["source"])
        found = [as_listed_trial(trial) for trial in rows.defer("period_scores")]
        if options["json"]:
            self.stdout.write(json.dumps(found, indent=2))
            return
        lines = [line for table in tables_of_trials(found) if table.rows for line in lines_of(table)]
        for line in lines[1:] or ["no trial is recorded"]:
            self.stdout.write(line)


def as_listed_trial(trial: TrainingTrial) -> dict[str, Any]:
    """One trial as JSON values."""
    return {
        "id": trial.pk,
        "kind": trial.kind,
        "source": trial.source,
        "origin": trial.origin,
        "study": trial.study,
        "at": iso(trial.at),
        "score": trial.score,
        "failure": trial.failure,
        "settings": listed_settings(trial),
    }


def tables_of_trials(trials: Sequence[dict[str, Any]]) -> list[Table]:
    """Table of trials, and table of the settings of those that have their own."""
    rows = [
        [
            str(one["id"]),
            one["kind"],
            one["source"],
            one["at"][:10],
            "failed" if one["failure"] else "–" if one["score"] is None else f"{one['score']:+.2%}",
            one["study"] or "training run",
        ]
        for one in trials
    ]
    own = [one for one in trials if one["settings"]]
    values = [[str(one["id"]), *(f"{value:.4g}" for value in one["settings"].values())] for one in own]
    return [
        Table("trials", ["id", "kind", "source", "when", "skill", "study"], rows),
        Table("settings", ["id", *(own[0]["settings"] if own else [])], values),
    ]


def as_listed(version: ModelVersion) -> dict[str, Any]:
    """One version as JSON values; it must be annotated with its skill."""
    return {
        "id": str(version.pk),
        "kind": version.kind,
        "source": version.source,
        "digest": version.digest,
        "stage": version.stage,
        "gate_accepted": version.gate_accepted,
        "refresh_of": version.refresh_of_id and str(version.refresh_of_id),
        "unproven": version.unproven,
        "trained_from": iso(version.trained_from),
        "trained_until": iso(version.trained_until),
        "symbols": list(version.symbols),
        "horizons": list(version.horizons),
        "skill": version.skill,  # type: ignore[attr-defined]
        "files_kept": version.files_kept,
    }


def table_of(kind: str, versions: Sequence[dict[str, Any]]) -> Table:
    """Table of the versions of one kind."""
    rows = [
        [
            one["digest"][:12],
            one["source"],
            one["stage"],
            "accepted" if one["gate_accepted"] else "refresh" if one["refresh_of"] else "refused",
            one["trained_until"][:10],
            "–" if one["skill"] is None else f"{one['skill']:+.2%}",
            "kept" if one["files_kept"] else "removed",
        ]
        for one in versions
    ]
    return Table(kind, HEADERS, rows)
