"""Promote a model version."""

from typing import Any

from django.core.checks import Tags
from django.core.management.base import CommandError, CommandParser

from marketdata.management.command import EngineCommand
from modelregistry import registry
from modelregistry.errors import PromotionRefused
from modelregistry.management.actor import actor


class Command(EngineCommand):
    """Promote a version to champion of its kind and source."""

    # A champion whose features or estimator are missing is an error of the other checks; this command replaces it.
    requires_system_checks = (Tags.compatibility,)
    help = "Promote a version to champion of its kind and source; the gate may refuse."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the version, the reason and the override."""
        parser.add_argument("version", help="id of the version, or the beginning of its digest")
        parser.add_argument("--reason", required=True, help="reason for the promotion log")
        parser.add_argument("--override", action="store_true", help="promote against the gate's verdict (logged)")

    def handle(self, *_: Any, **options: Any) -> None:
        """Promote, or fail with the reasons of the refusal."""
        try:
            version = registry.find_version(options["version"])
            for warning in registry.promotion_warnings(version):
                self.stderr.write(f"warning: {warning}")
            event = registry.promote(version, actor(), options["reason"], override=options["override"])
        except PromotionRefused as refused:
            raise CommandError("\n  - ".join(["promotion refused:", *refused.reasons])) from refused
        before = event.from_version or "no champion"
        against = " against the gate's verdict" if event.override else ""
        how = " as a refresh" if event.action == event.Action.REFRESH else against
        self.stdout.write(f"promoted {version}{how}; before: {before}")
