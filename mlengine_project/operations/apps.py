"""The app that owns jobs and heartbeats."""

from django.apps import AppConfig


class OperationsConfig(AppConfig):
    """Jobs, heartbeats, health, metrics, logs."""

    name = "mlengine_project.operations"
    label = "operations"
    verbose_name = "Operations"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Configure structured logging in every process."""
        from mlengine_project.operations.logs.structured import configure_structlog

        configure_structlog()
