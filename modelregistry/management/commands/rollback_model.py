"""Roll back the champion of a kind."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from marketdata.management.command import EngineCommand
from marketdata.models import Source
from modelregistry import registry
from modelregistry.errors import PromotionRefused
from modelregistry.management.actor import actor
from modelregistry.models import Kind
from modelregistry.registry.status import default_source


class Command(EngineCommand):
    """Undo the newest promotion of a kind that is not yet undone."""

    help = "Undo the newest promotion of a kind that is not yet undone; the version it replaced is champion again."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add kind, source and reason."""
        parser.add_argument("kind", choices=Kind.values)
        parser.add_argument("--source", choices=Source.values, help="default: that of the enabled markets")
        parser.add_argument("--reason", required=True, help="reason for the promotion log")

    def handle(self, *_: Any, **options: Any) -> None:
        """Roll back, or fail with the reasons of the refusal."""
        source = options["source"] or default_source()
        try:
            event = registry.rollback(options["kind"], source, actor(), options["reason"])
        except PromotionRefused as refused:
            raise CommandError("\n  - ".join(["rollback refused:", *refused.reasons])) from refused
        self.stdout.write(f"rolled back from {event.from_version} to {event.to_version}")
