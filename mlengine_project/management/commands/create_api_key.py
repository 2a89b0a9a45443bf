"""Create an API key and show its secret once."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from mlengine_project.access import services
from mlengine_project.access.models import Scope


class Command(BaseCommand):
    """Prints the secret; only its HMAC is stored."""

    help = "Create an API key; its secret is shown once and not stored."

    def add_arguments(self, parser: CommandParser) -> None:
        """Holder and scope."""
        parser.add_argument("name", help="Who will hold the key.")
        parser.add_argument("--scope", choices=Scope.values, default=Scope.READ, help="admin > predict > read")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Create the key and print it."""
        try:
            key, secret = services.create_key(name=options["name"], scope=options["scope"])
        except ValidationError as error:
            raise CommandError(error.messages[0]) from error
        self.stdout.write(secret)
        self.stderr.write(f"scope {key.scope}; this is the only time the key is shown")
