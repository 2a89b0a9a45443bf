"""App of the project package, so that Django finds its commands and checks."""

from django.apps import AppConfig


class EngineConfig(AppConfig):
    """Commands that span apps, the system checks and the Celery app."""

    name = "mlengine_project"
    label = "engine"
    verbose_name = "ML Engine"

    def ready(self) -> None:
        """Register the checks, and make the Celery app the default in every process."""
        from mlengine_project import celery, checks

        self.celery_app = celery.app
        self.checks = checks
