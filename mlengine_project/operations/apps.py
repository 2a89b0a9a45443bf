"""The app that owns jobs and heartbeats."""

from django.apps import AppConfig


class OperationsConfig(AppConfig):
    """Jobs, heartbeats, health, metrics."""

    name = "mlengine_project.operations"
    label = "operations"
    verbose_name = "Operations"
    default_auto_field = "django.db.models.BigAutoField"
