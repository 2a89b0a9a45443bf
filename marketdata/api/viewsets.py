"""Views of /markets, /candles, /candles/quality, /indicators and /indicators/catalog."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, ClassVar

from drf_spectacular.helpers import forced_singular_serializer
from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from indicators.catalog.lookup import CATALOG
from marketdata import clock, services
from marketdata.api import indicator_values, payloads, reading
from marketdata.api.serializers import (
    CandleQuery,
    CandleSerializer,
    CoverageQuery,
    CoverageSerializer,
    IndicatorCatalogSerializer,
    IndicatorQuery,
    IndicatorValuesSerializer,
    MarketSerializer,
)
from marketdata.coverage import evidence
from marketdata.coverage import ledger as coverage
from marketdata.intervals import interval_ms
from marketdata.models import Candle, Market
from marketdata.storage import candles as store


def no_horizons(_market: Market) -> Sequence[int]:
    """No horizons: the default without a source of served ones."""
    return ()


class MarketViewSet(viewsets.GenericViewSet):
    """Markets of this engine."""

    required_scope = "read"
    queryset = Market.objects.order_by("symbol", "source")
    serializer_class = MarketSerializer
    horizons_of: Callable[[Market], Sequence[int]] | None = None
    """Function that gives the served horizons of a market, set by the project."""

    @extend_schema(responses=MarketSerializer(many=True))
    def list(self, request: Request) -> Response:
        """Markets with their status and served horizons."""
        markets = self.paginate_queryset(self.get_queryset()) or []
        newest = store.newest_open(markets)
        horizons = self.horizons_of or no_horizons
        return self.get_paginated_response(
            [payloads.market_object(market, horizons(market), newest.get(market.pk)) for market in markets]
        )


class CandleViewSet(viewsets.GenericViewSet):
    """Closed candles and their coverage ledger."""

    required_scope = "read"
    queryset = Candle.objects.none()
    serializer_class = CandleSerializer
    starts_at_newest = False
    queries: ClassVar = {"list": CandleQuery, "quality": CoverageQuery}

    @extend_schema(responses=CandleSerializer(many=True))
    def list(self, request: Request) -> Response:
        """Closed candles, oldest first. Without `from` the first page is the newest; `previous` gives older ones.

        Intervals longer than 5m are made from closed candles of 5m and begin at multiples of their length in UTC. One
        is listed as soon as its end has passed and its last part is stored, or ten minutes later without it.
        """
        query = CandleQuery.of(request)
        market = services.market_of(query["symbol"])
        self.starts_at_newest = "from" not in query
        since, until = query.get("from"), query.get("to")
        paginator: Any = self.paginator  # the engine's own class, which can also page texts and what a function reads
        if query["interval"] == market.interval:
            stored = reading.candles_between(market, since, until)
            rows = paginator.paginate_texts(stored, reading.LISTED, request, self)
            objects = ",".join([row[2] for row in rows]).encode()
            found: Response = paginator.response_of_json(objects, simulated=market.simulated)
            return found
        read = reading.intervals_between(market, interval_ms(query["interval"]), since, until)
        candles = paginator.paginate_reads(read, ("open_time",), request, self)
        page = self.get_paginated_response([payloads.candle_object(candle) for candle in candles])
        page.data["simulated"] = market.simulated
        return page

    @extend_schema(responses=CoverageSerializer, filters=False)
    def quality(self, request: Request) -> Response:
        """Stored, missing, absent, revised and quarantined candles of the given span, or of all."""
        query = CoverageQuery.of(request)
        market = services.market_of(query["symbol"])
        span = [clock.to_ms(query[name]) if name in query else None for name in ("from", "to")]
        ledger, found = coverage.coverage_of(market, *span), evidence.evidence_of(market, *span)
        return Response({**asdict(ledger), "evidence": asdict(found)})


class IndicatorViewSet(viewsets.ViewSet):
    """The standard indicators, computed from stored candles."""

    required_scope = "read"
    queries: ClassVar = {"list": IndicatorQuery}

    @extend_schema(responses=forced_singular_serializer(IndicatorValuesSerializer))
    def list(self, request: Request) -> Response:
        """Values at the newest closed candles of the interval, newest last."""
        query: dict[str, Any] = IndicatorQuery.of(request)
        market = services.market_of(query["symbol"])
        names = [name.strip() for name in query["names"].split(",") if name.strip()] if "names" in query else None
        return Response(
            {
                "symbol": market.symbol,
                "interval": query["interval"],
                "simulated": market.simulated,
                "results": indicator_values.indicator_values(market, names, query["limit"], query["interval"]),
            }
        )

    @extend_schema(responses=IndicatorCatalogSerializer)
    def catalog(self, request: Request) -> Response:
        """Available indicators with family, parameters, units, warm-up and range."""
        return Response({"results": [indicator_values.spec_object(spec) for spec in CATALOG.values()]})
