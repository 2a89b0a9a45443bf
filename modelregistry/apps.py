"""The app that keeps model versions."""

from django.apps import AppConfig


class ModelRegistryConfig(AppConfig):
    """Model versions, their reports, and the log of promotions."""

    name = "modelregistry"
    verbose_name = "Model registry"
    default_auto_field = "django.db.models.BigAutoField"
