"""App configuration of the model registry."""

from contextlib import suppress

from django.apps import AppConfig


class ModelRegistryConfig(AppConfig):
    """Model versions, their reports, and the promotion log."""

    name = "modelregistry"
    verbose_name = "Model registry"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Make features and estimators of other packages known to this process."""
        from django.conf import settings

        from indicators.errors import FeatureError

        # What is wrong with them is an error of the system checks, which say so in a sentence.
        if settings.EXTRA_FEATURES:
            from indicators.features import find_families, install

            with suppress(FeatureError):
                install(find_families(settings.EXTRA_FEATURES))
        if settings.EXTRA_ESTIMATORS:
            from modelregistry.estimators import extra
            from modelregistry.estimators.kinds import KINDS

            with suppress(ValueError):
                extra.install(extra.find_estimators(settings.EXTRA_ESTIMATORS, KINDS))
