"""URLs of the REST API. Paths have no trailing slash."""

from django.urls import path

from marketdata.api.viewsets import CandleViewSet, IndicatorViewSet, MarketViewSet
from marketdata.models import Market
from mlengine_project.access.viewsets import TicketViewSet
from mlengine_project.http import schema_pages
from mlengine_project.http.asyncapi import asyncapi
from mlengine_project.http.response_counts import CountedPredictionViewSet
from mlengine_project.operations.api.viewsets import (
    DetailedHealthViewSet,
    JobViewSet,
    MetricsViewSet,
    OpenHealthViewSet,
)
from mlengine_project.operations.monitoring.health import loaded_by
from modelregistry import registry
from modelregistry.api.viewsets import ModelViewSet
from predictions.api.viewsets import BracketViewSet, TouchViewSet, TrackRecordViewSet
from predictions.challengers.scores import silent_comparison
from predictions.requests import served_horizons
from signals.api.viewsets import SignalViewSet
from signals.outcomes import net_results


def horizons_of(market: Market) -> tuple[int, ...]:
    """Horizons served by the champions of a market's source."""
    return served_horizons(registry.load_ensemble(market.source))


urlpatterns = [
    path("health", OpenHealthViewSet.as_view({"get": "alive"})),
    path("health/ready", OpenHealthViewSet.as_view({"get": "ready"})),
    path("health/detailed", DetailedHealthViewSet.as_view({"get": "detailed"})),
    path("markets", MarketViewSet.as_view({"get": "list"}, horizons_of=horizons_of)),
    path("predictions", CountedPredictionViewSet.as_view({"get": "list", "post": "create"})),
    path("predictions/<str:id>", CountedPredictionViewSet.as_view({"get": "retrieve"})),
    path("brackets", BracketViewSet.as_view({"post": "create"})),
    path("touches", TouchViewSet.as_view({"post": "create"})),
    path("track-record", TrackRecordViewSet.as_view({"get": "list"}, net_results=net_results)),
    path("signals", SignalViewSet.as_view({"get": "list", "post": "create"})),
    path("signals/<str:id>", SignalViewSet.as_view({"get": "retrieve"})),
    path("indicators", IndicatorViewSet.as_view({"get": "list"})),
    path("indicators/catalog", IndicatorViewSet.as_view({"get": "catalog"})),
    path("candles", CandleViewSet.as_view({"get": "list"})),
    path("candles/quality", CandleViewSet.as_view({"get": "quality"})),
    path("models", ModelViewSet.as_view({"get": "list"}, loaded_by=loaded_by)),
    path("models/status", ModelViewSet.as_view({"get": "status"}, loaded_by=loaded_by)),
    path("models/<str:id>", ModelViewSet.as_view({"get": "retrieve"}, silent_comparison=silent_comparison)),
    path("jobs", JobViewSet.as_view({"get": "list", "post": "create"})),
    path("jobs/<str:id>", JobViewSet.as_view({"get": "retrieve"})),
    path("jobs/<str:id>/cancel", JobViewSet.as_view({"post": "cancel"})),
    path("ws-tickets", TicketViewSet.as_view({"post": "create"})),
    path("metrics", MetricsViewSet.as_view({"get": "scrape"})),
    path("schema", schema_pages.schema),
    path("docs", schema_pages.swagger),
    path("redoc", schema_pages.redoc),
    path("asyncapi", asyncapi),
]
