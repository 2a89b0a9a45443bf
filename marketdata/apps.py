"""The app that owns markets and candles."""

from django.apps import AppConfig


class MarketDataConfig(AppConfig):
    """Markets, candles and what is known about the holes between them."""

    name = "marketdata"
    verbose_name = "Market data"
    default_auto_field = "django.db.models.BigAutoField"
