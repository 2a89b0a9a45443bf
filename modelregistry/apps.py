"""App configuration of the model registry."""

from contextlib import suppress

from django.apps import AppConfig

SIX_HOURS = 72
"""Longest horizon, in candles, that needs no other features; they are not imported to find that out."""


class ModelRegistryConfig(AppConfig):
    """Model versions, their reports, and the promotion log."""

    name = "modelregistry"
    verbose_name = "Model registry"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Make features and estimators of other packages known to this process."""
        from django.conf import settings

        from indicators.errors import FeatureError

        if settings.EXTRA_FEATURES or max(settings.DEFAULT_HORIZONS) > SIX_HOURS:
            from indicators.features import features_for, find_families, install

            own = features_for(settings.DEFAULT_HORIZONS)
            install(own)
            # What is wrong with them is an error of the system checks, which say so in a sentence.
            with suppress(FeatureError):
                install(find_families(settings.EXTRA_FEATURES, day_ahead=own.day_ahead))
        if settings.EXTRA_ESTIMATORS:
            from modelregistry.estimators import extra
            from modelregistry.estimators.kinds import KINDS

            with suppress(ValueError):
                extra.install(extra.find_estimators(settings.EXTRA_ESTIMATORS, KINDS))
