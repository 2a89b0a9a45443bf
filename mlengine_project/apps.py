"""The composition root as an app, so that its commands and checks are found."""

from django.apps import AppConfig


class EngineConfig(AppConfig):
    """Commands that span apps, the system checks and the Celery app."""

    name = "mlengine_project"
    label = "engine"
    verbose_name = "ML Engine"

    def ready(self) -> None:
        """Register the checks, and make our Celery app the default one in every process."""
        from mlengine_project import celery, checks

        self.celery_app = celery.app
        self.checks = checks
