"""The composition root as an app, so that its commands are found."""

from django.apps import AppConfig


class EngineConfig(AppConfig):
    """Commands that span apps."""

    name = "mlengine_project"
    label = "engine"
    verbose_name = "ML Engine"
