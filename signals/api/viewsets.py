"""REST views of /signals."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from signals import services
from signals.api.serializers import SignalQuery, SignalRequest, SignalSerializer
from signals.log import queries as log
from signals.log.payloads import LISTED, listed_object, signal_object
from signals.models import SignalLog


class SignalViewSet(viewsets.GenericViewSet):
    """Signals and their log."""

    required_scope = {"GET": "read", "POST": "predict"}
    queryset = SignalLog.objects.none()
    serializer_class = SignalSerializer
    queries: ClassVar = {"list": SignalQuery}

    @extend_schema(request=SignalRequest, responses={200: SignalSerializer})
    def create(self, request: Request) -> Response:
        """The signal for the newest stored closed candle; waits up to 2 s for it."""
        body = SignalRequest(data=request.data)
        body.is_valid(raise_exception=True)
        return Response(signal_object(services.newest_signal(body.validated_data["symbol"])))

    @extend_schema(responses=SignalSerializer(many=True))
    def list(self, request: Request) -> Response:
        """The log, newest first; with `symbol` and `after` a replay in order of `seq`."""
        query = SignalQuery.of(request)
        rows = log.logged(query.get("symbol"), query.get("signal_type"), query.get("from"), query.get("to"))
        if "after" in query:
            rows = log.replayed(rows, query.get("symbol"), query["after"])
        paginator: Any = self.paginator  # the engine's own class, which can also page texts
        page = paginator.paginate_texts(rows, LISTED, request, self)
        return self.get_paginated_response([listed_object(row) for row in page])

    @extend_schema(responses=SignalSerializer)
    def retrieve(self, request: Request, id: str) -> Response:  # noqa: A002
        """One row of the log."""
        return Response(signal_object(get_object_or_404(SignalLog, pk=id)))
