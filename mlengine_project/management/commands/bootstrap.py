"""Prepare a new installation for its first predictions."""

import json
import os
import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from marketdata.errors import ExchangeUnavailable
from marketdata.management.command import EngineCommand
from marketdata.progress import progress_reporter
from mlengine_project.operations.jobs import bootstrap


class Command(EngineCommand):
    """Safe to run at every start: existing rows are not changed."""

    help = (
        "Create missing markets and schedule rows, fetch the history the first training needs, and request that "
        "training where models are missing. Safe to repeat; with models in place it only creates missing rows."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Mode and output."""
        parser.add_argument("--queue", action="store_true", help="Request the work as a job of the trainer and return.")
        parser.add_argument("--progress-json", action="store_true", help="Progress as JSON lines.")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Prepare, then fetch and request the training, here or as a job."""
        if settings.EMBEDDED:
            raise CommandError("bootstrap needs REDIS_URL to reach the trainer; `up` does the same without it.")
        if options["queue"]:
            self._queue()
        else:
            self._run(as_json=options["progress_json"])

    def _queue(self) -> None:
        rows, markets = bootstrap.prepare()
        self.stdout.write(f"new schedule rows: {', '.join(rows) or 'none'}")
        self.stdout.write(f"new markets: {', '.join(map(str, markets)) or 'none'}")
        job = bootstrap.request("start")
        self.stdout.write(
            "every kind of model has a champion" if job is None else f"job {job.pk} fetches history and trains models"
        )

    def _run(self, *, as_json: bool) -> None:
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        try:
            with progress_reporter("fetching history", self.stdout, as_json=as_json) as report:
                result = bootstrap.run(report, stop.is_set)
        except ExchangeUnavailable as error:
            # A job that exits with this code waits for the exchange instead of failing.
            raise CommandError(f"{error}; what was fetched is kept", returncode=os.EX_TEMPFAIL) from error
        if as_json:
            self.stdout.write(json.dumps({"result": result}))
        for market in result["markets"]:
            self.stdout.write(f"{market['symbol']}: {market['stored']:,} of {result['needed']:,} candles needed")
        if stop.is_set():
            raise CommandError("stopped; the same command continues where it stopped.")
        self.stdout.write(
            f"job {result['training']} trains the first models" if result["training"] else "no model is missing"
        )
