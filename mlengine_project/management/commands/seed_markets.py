"""Create the markets of SUPPORTED_SYMBOLS that are missing."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from marketdata import services
from marketdata.exchange.client import source_of_settings


class Command(BaseCommand):
    """Existing markets are not changed, so that markets disabled in the admin stay disabled."""

    help = "Create the markets of SUPPORTED_SYMBOLS that are missing; existing ones are not changed."

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Create the markets and list them."""
        markets = services.seed_markets(settings.SUPPORTED_SYMBOLS, source_of_settings())
        self.stdout.write(", ".join(str(market) for market in markets) or "no market was missing")
