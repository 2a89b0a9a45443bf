"""The app that owns the prediction log."""

from django.apps import AppConfig


class PredictionsConfig(AppConfig):
    """The prediction log, its outcomes and the track record."""

    name = "predictions"
    verbose_name = "Predictions"
    default_auto_field = "django.db.models.BigAutoField"
