"""The app that owns API keys."""

from django.apps import AppConfig


class AccessConfig(AppConfig):
    """API keys and websocket tickets."""

    name = "mlengine_project.access"
    label = "access"
    verbose_name = "Access"
    default_auto_field = "django.db.models.BigAutoField"
