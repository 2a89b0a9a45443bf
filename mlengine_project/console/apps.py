"""The app that owns the console pages; it has no tables."""

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """Board, market page and other pages for people."""

    name = "mlengine_project.console"
    label = "console"
    verbose_name = "Console"
