"""Show the coverage ledger."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from marketdata.clock import iso
from marketdata.coverage.evidence import Evidence, evidence_of
from marketdata.coverage.future_rows import quarantine_rows_ahead
from marketdata.coverage.ledger import Coverage, coverage_of
from marketdata.management.instants import instant
from marketdata.models import Market

COUNTS = ("expected", "stored", "missing", "absent", "revised", "quarantined", "cut_short", "ahead")


class Command(BaseCommand):
    """Show how many candles are stored, missing, or absent at the exchange."""

    help = "What is stored, missing, absent at the exchange, revised and quarantined, by market."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add options for markets, span and output."""
        parser.add_argument("--symbols", nargs="+", metavar="SYMBOL", help="All markets when left out.")
        parser.add_argument("--from", dest="begin", type=instant, help="Default: the first stored candle.")
        parser.add_argument("--to", "--until", dest="end", type=instant, help="Exclusive. Default: after the last.")
        parser.add_argument(
            "--evidence", action="store_true", help="Show the evidence behind the counts (always in JSON)."
        )
        parser.add_argument(
            "--quarantine-ahead",
            action="store_true",
            help="Move rows that open after the market's clock and after wall time into quarantine first.",
        )
        parser.add_argument("--json", action="store_true", help="One JSON object a market.")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Write one paragraph or object per market."""
        markets = Market.objects.all()
        if options["symbols"]:
            markets = markets.filter(symbol__in=options["symbols"])
            unknown = sorted(set(options["symbols"]) - {market.symbol for market in markets})
            if unknown:
                raise CommandError(f"no market of this engine is called {', '.join(unknown)}")
        for market in markets:
            if options["quarantine_ahead"]:
                moved = quarantine_rows_ahead(market)
                if not options["json"]:
                    self.stdout.write(f"{market}: {moved:,} rows from the future moved into quarantine")
            ledger = coverage_of(market, options["begin"], options["end"])
            evidence = evidence_of(market, options["begin"], options["end"])
            if options["json"]:
                values = {**asdict(ledger), "source": market.source, "evidence": asdict(evidence)}
                self.stdout.write(json.dumps(values, default=iso))
            else:
                self._write_coverage(market, ledger)
                if options["evidence"]:
                    self._write_evidence(evidence)

    def _write_coverage(self, market: Market, ledger: Coverage) -> None:
        counts = ", ".join(f"{getattr(ledger, name):,} {name.replace('_', ' ')}" for name in COUNTS)
        share = "nothing to count" if ledger.share is None else f"{ledger.share:.4%} stored"
        self.stdout.write(f"{market}{'' if market.enabled else ', not enabled'}: {share}; {counts}")
        for name, stretches in (("missing", ledger.holes), ("absent", ledger.absences)):
            for stretch in stretches:
                self.stdout.write(f"  {name} from {iso(stretch.start)} until {iso(stretch.end)}")
        if ledger.ahead:
            self.stdout.write("  rows ahead of the market's clock are not used; --quarantine-ahead removes them")

    def _write_evidence(self, evidence: Evidence) -> None:
        for name, stretches in (("absent", evidence.absences), ("suspected", evidence.suspicions)):
            for one in stretches:
                last = "" if one.last_asked is None else f", last at {iso(one.last_asked)}"
                span = f"from {iso(one.start)} until {iso(one.end)}"
                why = one.reason or f"requested {one.tries} times without result"
                self.stdout.write(f"  {name} {span}: {why}{last}")
        for change in evidence.revisions:
            names = [name for name in change.after if change.before.get(name) != change.after[name]]
            values = ", ".join(f"{name} {change.before.get(name)} -> {change.after[name]}" for name in names)
            seen = f"seen at {iso(change.seen_at)} by {change.origin}"
            self.stdout.write(f"  revised {iso(change.open_time)}: {values}; {seen}")
        for cut in evidence.cut_short:
            closed = f"closed at {iso(cut.closed_at)}, by {cut.origin}"
            self.stdout.write(f"  cut short {iso(cut.open_time)}: {closed}")
        for row in evidence.ahead:
            self.stdout.write(f"  ahead {iso(row.open_time)}: stored at {iso(row.stored_at)} by {row.origin}")
        for refusal in evidence.refusals:
            seen = f"{iso(refusal.seen_at)} by {refusal.origin}"
            self.stdout.write(f"  refused at {seen}: {refusal.reason}: {refusal.raw[:120]!r}")
