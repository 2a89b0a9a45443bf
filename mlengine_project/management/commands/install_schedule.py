"""Create the missing rows of the beat schedule."""

from typing import Any

from django.core.management.base import BaseCommand

from mlengine_project.operations.scheduling.schedule import install_schedule


class Command(BaseCommand):
    """Safe to run at every start: existing rows are not changed."""

    help = "Create the missing rows of the beat schedule; edits made in the admin are kept."

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Create the rows and print them."""
        created = install_schedule()
        self.stdout.write(f"created: {', '.join(created)}" if created else "the schedule is complete")
