"""The app that owns signals."""

from django.apps import AppConfig


class SignalsConfig(AppConfig):
    """The signal log, its outbox, and the websocket."""

    name = "signals"
    verbose_name = "Trading signals"
    default_auto_field = "django.db.models.BigAutoField"
