"""The app that owns the console pages; it has no tables."""

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """Live board, market page and other console pages."""

    name = "mlengine_project.console"
    label = "console"
    verbose_name = "Console"
