"""App configuration of the model registry."""

from django.apps import AppConfig


class ModelRegistryConfig(AppConfig):
    """Model versions, their reports, and the promotion log."""

    name = "modelregistry"
    verbose_name = "Model registry"
    default_auto_field = "django.db.models.BigAutoField"
