"""/health, /health/ready, /health/detailed, /jobs/{id} and /metrics."""

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from mlengine_project.access.authentication import KeyAuthentication, MetricsTokenAuthentication
from mlengine_project.access.models import Scope
from mlengine_project.access.permissions import HasScope
from mlengine_project.operations import health, metrics
from mlengine_project.operations.models import Job
from mlengine_project.operations.serializers import (
    AliveSerializer,
    DetailedHealthSerializer,
    JobSerializer,
    ReadySerializer,
)


class OpenHealthViewSet(viewsets.ViewSet):
    """What a load balancer asks."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(auth=[], responses=AliveSerializer)
    def alive(self, request: Request) -> Response:
        """The process answers; nothing is looked at."""
        return Response({"status": "healthy"})

    @extend_schema(auth=[], responses={200: ReadySerializer, 503: ReadySerializer})
    def ready(self, request: Request) -> Response:
        """Whether requests should be sent here; at most 2 s old."""
        causes = health.readiness()
        return Response({"status": "not ready" if causes else "ready", "causes": causes}, status=503 if causes else 200)


class DetailedHealthViewSet(viewsets.ViewSet):
    """What an operator asks."""

    permission_classes = (HasScope,)
    required_scope = Scope.READ

    @extend_schema(responses=DetailedHealthSerializer)
    def detailed(self, request: Request) -> Response:
        """The engine part by part, with the age of the newest candles."""
        return Response(health.detailed())


class JobViewSet(mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Trainings and backfills."""

    required_scope = Scope.READ
    queryset = Job.objects.all()
    serializer_class = JobSerializer
    lookup_url_kwarg = "id"


class MetricsViewSet(viewsets.ViewSet):
    """What Prometheus asks."""

    authentication_classes = (MetricsTokenAuthentication, KeyAuthentication)
    permission_classes = (HasScope,)
    required_scope = Scope.READ

    @extend_schema(responses={(200, "text/plain"): OpenApiTypes.STR})
    def scrape(self, request: Request) -> HttpResponse:
        """All metrics in Prometheus's text form, the same from every process."""
        return HttpResponse(metrics.exposition(), content_type=metrics.CONTENT_TYPE)
