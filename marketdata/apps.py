"""Django configuration of the app that owns markets and candles."""

from django.apps import AppConfig


class MarketDataConfig(AppConfig):
    """Configuration of the market data app."""

    name = "marketdata"
    verbose_name = "Market data"
    default_auto_field = "django.db.models.BigAutoField"
