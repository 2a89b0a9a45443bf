"""Fetch history from the exchange."""

import json
import os
import signal
import threading
from argparse import ArgumentParser
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError

from marketdata import clock, services
from marketdata.coverage import backfill
from marketdata.coverage.evidence import evidence_of
from marketdata.coverage.ledger import coverage_of
from marketdata.errors import ExchangeUnavailable, MarketDataError
from marketdata.exchange import rate_limit
from marketdata.intervals import floor_open
from marketdata.management.command import EngineCommand
from marketdata.management.instants import instant
from marketdata.models import Market
from marketdata.progress import progress_reporter

DEFAULT_DAYS = 90


class Command(EngineCommand):
    """Fetch missing candles; interrupted at any point, the next run continues."""

    help = "Fetch missing candles from the exchange, within its request budget; resumable, a page a transaction."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add options for markets, span and output."""
        parser.add_argument("--symbols", nargs="+", metavar="SYMBOL", help="All enabled markets when left out.")
        parser.add_argument("--from", dest="begin", type=instant, help=f"Default: {DEFAULT_DAYS} days ago.")
        parser.add_argument("--until", "--to", dest="end", type=instant, help="Exclusive. Default: now.")
        parser.add_argument("--json", action="store_true", help="One JSON object a market: its coverage afterwards.")
        parser.add_argument("--progress-json", action="store_true", help="Progress as JSON lines.")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Fill all markets, then write their coverage."""
        until_ms = clock.market_ms() if options["end"] is None else options["end"]
        from_ms = options["begin"]
        if from_ms is None:
            from_ms = floor_open(until_ms) - int(timedelta(days=DEFAULT_DAYS).total_seconds()) * 1000
        if from_ms >= until_ms:
            raise CommandError("--from must be before --until.")
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        try:
            named = options["symbols"]
            markets = [services.market_of(s) for s in named] if named else services.enabled_markets()
            if not markets:
                raise CommandError("no market is enabled; name them in SUPPORTED_SYMBOLS and run seed_markets.")
            if not options["json"]:
                pages = len(backfill.plan(markets, from_ms, until_ms))
                minutes = backfill.minutes_of(pages, rate_limit.limit())
                self.stdout.write(f"{pages:,} requests for {len(markets)} markets: {minutes:.1f} minutes or more")
            label = markets[0].symbol if len(markets) == 1 else f"{len(markets)} markets"
            try:
                with progress_reporter(label, self.stdout, as_json=options["progress_json"]) as report:
                    done = services.backfill(markets, from_ms, until_ms, report, stop.is_set)
            finally:
                self._write_coverage(
                    markets, from_ms, until_ms, as_json=options["json"], as_job=options["progress_json"]
                )
            if not options["json"]:
                self.stdout.write(f"{done.saved.inserted:,} candles fetched in {done.requests:,} requests")
            for symbol, reason in {**done.ends, **done.failures}.items():
                self.stderr.write(f"{symbol}: {reason}")
            if stop.is_set():
                raise CommandError("stopped; the same command continues where it was.")
            if done.failures:
                raise CommandError(f"{len(done.failures)} of {len(markets)} markets could not be filled.")
        except MarketDataError as error:
            # A job that exits with this code is retried later instead of failing.
            code = os.EX_TEMPFAIL if isinstance(error, ExchangeUnavailable) else 1
            raise CommandError(
                f"{error}; fetched candles are stored, the same command continues where it was", returncode=code
            ) from error

    def _write_coverage(
        self, markets: Sequence[Market], from_ms: int, until_ms: int, *, as_json: bool, as_job: bool
    ) -> None:
        """Write the coverage by market and in total; for a job also as its result."""
        until_ms = min(until_ms, floor_open(clock.market_ms()))
        complete, ledgers = 0, []
        for market in markets:
            ledger = coverage_of(market, from_ms, until_ms)
            complete += not ledger.missing
            counts = {name: getattr(ledger, name) for name in ("expected", "stored", "missing", "absent")}
            reasons = list(dict.fromkeys(one.reason for one in evidence_of(market, from_ms, until_ms).absences))
            reasons = [reason for reason in reasons if reason]
            ledgers.append({"symbol": market.symbol, **counts, "complete": not ledger.missing})
            if as_json:
                self.stdout.write(json.dumps({**ledgers[-1], "absent_because": reasons}))
            else:
                words = ", ".join(f"{count:,} {name}" for name, count in counts.items())
                self.stdout.write(f"{market}: {'not ' if ledger.missing else ''}complete; {words}")
                for reason in reasons:
                    self.stdout.write(f"  {reason}")
        if not as_json:
            begin, end = (f"{clock.to_datetime(at):%Y-%m-%d %H:%M}" for at in (from_ms, until_ms))
            self.stdout.write(f"{complete} of {len(markets)} markets are complete from {begin} until {end} UTC")
        if as_job:
            self.stdout.write(json.dumps({"result": {"markets": ledgers}}))
