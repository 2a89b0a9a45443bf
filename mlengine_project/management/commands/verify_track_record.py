"""Recompute every score from the stored candles and verify both seal chains."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from marketdata.models import Market
from mlengine_project.operations.verification import BrokenRecord, verify_market


class Command(BaseCommand):
    """Exit code 1, naming the first row that fails."""

    help = "Recompute every score from the candles to the last digit and verify the seal chains."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Markets and archive."""
        parser.add_argument("--symbols", nargs="*", metavar="SYMBOL", help="Only these; all markets by default.")
        parser.add_argument("--archive", action="store_true", help="Also the archive files of rows older than 90 days.")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Verify."""
        markets = Market.objects.order_by("symbol", "source")
        if options["symbols"]:
            known = set(markets.values_list("symbol", flat=True))
            unknown = sorted(set(options["symbols"]) - known)
            if unknown:
                raise CommandError(f"no market of this engine has the symbol {', '.join(unknown)}")
            markets = markets.filter(symbol__in=options["symbols"])
        broken = 0
        for market in markets:
            try:
                found = verify_market(market, archive=options["archive"])
            except BrokenRecord as error:
                broken += 1
                self.stderr.write(f"{market}: {error}")
            else:
                self.stdout.write(
                    f"{market}: {found.predictions} predictions and {found.signals} signals in unbroken chains, "
                    f"{found.scored} scores recomputed to the last digit"
                    + (f", {found.archived} of the rows from the archive" if found.archived else "")
                )
        if broken:
            raise CommandError(f"{broken} of {len(markets)} track records failed verification", returncode=1)
