"""Train the estimators on stored candles."""

import json
import signal
from argparse import BooleanOptionalAction
from typing import Any

from django.core.checks import Tags
from django.core.management.base import CommandError, CommandParser

from marketdata.management.command import EngineCommand
from marketdata.management.instants import instant
from marketdata.models import Source
from marketdata.progress import progress_reporter
from modelregistry import artifacts, services
from modelregistry.management.actor import actor
from modelregistry.models import Kind, ModelVersion
from modelregistry.training.fit.plan import ExcludedMarket


class Command(EngineCommand):
    """Train and register versions; bootstrap a champion for kinds without one."""

    # A champion whose features or estimator are missing is an error of the other checks; this command replaces it.
    requires_system_checks = (Tags.compatibility,)
    help = (
        "Train the estimators on stored candles: walk-forward tested, calibrated, reported beside reference baselines."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add kinds, data and options."""
        parser.add_argument("--kinds", nargs="+", default=[], choices=Kind.values, help="default: all three")
        parser.add_argument("--estimator", default="", help="name of an estimator of another package: EXTRA_ESTIMATORS")
        parser.add_argument(
            "--settings-from",
            type=int,
            metavar="TRIAL",
            help="settings of a trial of search_models, by its id in `list_models --trials`; for the range predictor, "
            "and with --kinds for the TP/SL classifier",
        )
        parser.add_argument("--symbols", nargs="+", default=[], help="default: the enabled markets")
        parser.add_argument("--source", choices=Source.values, help="default: that of the enabled markets")
        parser.add_argument("--from", dest="from_time", type=instant, help="first training row: ISO 8601 (UTC) or ms")
        parser.add_argument(
            "--until", dest="until_time", type=instant, help="no candle at or after it is read, labels included"
        )
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument(
            "--workers",
            type=int,
            default=1,
            help="processes on this machine that build the rows of markets, then fit folds and kinds, side by side; "
            "with DASK_SCHEDULER the workers of that cluster do it instead; any number gives the same bytes",
        )
        parser.add_argument("--small", action="store_true", help="quick training: fewer rows, fewer trees")
        parser.add_argument(
            "--corrected",
            action=BooleanOptionalAction,
            default=True,
            help="online correction of ranges by their misses of three weeks: better coverage for slightly more loss",
        )
        parser.add_argument("--progress-json", action="store_true", help="one JSON object per step on standard output")

    def handle(self, *_: Any, **options: Any) -> None:
        """Train and print a summary of each version."""
        if options["workers"] < 1:
            raise CommandError("--workers must be at least 1")
        if not artifacts.can_write():
            raise CommandError(
                f"{artifacts.model_root()} is read-only here, so a new version could not be stored; "
                "train where it is writable, in production in the worker of the training queue"
            )
        # A job is cancelled by SIGTERM: handle it, because a stopped run is recorded as a trial.
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            as_json = options["progress_json"]
            stream = self.stdout if as_json else self.stderr
            with progress_reporter("training", stream, as_json=as_json) as report_progress:
                versions = services.train(
                    options["kinds"],
                    options["symbols"],
                    options["source"],
                    options["from_time"],
                    options["until_time"],
                    options["seed"],
                    report_progress,
                    small=options["small"],
                    corrected=options["corrected"],
                    workers=options["workers"],
                    actor=actor(),
                    estimator=options["estimator"],
                    settings_from=options["settings_from"],
                )
        except KeyboardInterrupt as stopped:
            raise CommandError("interrupted; nothing was written") from stopped
        finally:
            signal.signal(signal.SIGTERM, before)
        for market in versions[0].report.get("left_out", []) if versions else []:
            self.stdout.write(ExcludedMarket(**market).as_sentence())
        for version in versions:
            self.stdout.write(version_summary(version))
        if options["progress_json"]:
            self.stdout.write(json.dumps({"result": {"versions": [as_result(version) for version in versions]}}))
            self.stdout.flush()


def as_result(version: ModelVersion) -> dict[str, Any]:
    """Summary of a version for the result of a job; details are under /models/{id}."""
    return {
        "id": str(version.pk),
        "kind": version.kind,
        "digest": version.digest,
        "stage": version.stage,
        "gate_accepted": version.gate_accepted,
        "gate_reasons": list(version.gate_reasons),
        "skill": version.report.get("skill"),
    }


def version_summary(version: ModelVersion) -> str:
    """Sentences about a version, its skill and the verdict of the gate."""
    skill = version.report.get("skill")
    summary = f"{skill:+.2%} out of sample, against the best reference baseline" if skill is not None else ""
    verdict = "accepted by the gate" if version.gate_accepted else "refused by the gate"
    if version.refresh_of_id is not None:
        verdict += ", may replace the champion as a refresh"
    lines = [f"{version.kind} {version.digest[:12]} {version.stage}: {summary}; {verdict}"]
    no_refresh = [f"no refresh: {reason}" for reason in version.report.get("refresh", {}).get("reasons", [])]
    return "\n  - ".join([*lines, *version.gate_reasons, *(no_refresh if not version.gate_accepted else [])])
