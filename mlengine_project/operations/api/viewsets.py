"""/health, /health/ready, /health/detailed, /jobs and /metrics."""

from typing import Any, cast

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from mlengine_project.access.authentication import KeyAuthentication, MetricsTokenAuthentication
from mlengine_project.access.keys import Identity
from mlengine_project.access.models import Scope
from mlengine_project.http.permissions import HasScope
from mlengine_project.operations.api.serializers import (
    ANY_JOB,
    ANY_REQUEST,
    JOB_SHAPES,
    JOBS,
    REQUESTS,
    AliveSerializer,
    DetailedHealthSerializer,
    JobKindRequest,
    JobSerializer,
    ReadySerializer,
)
from mlengine_project.operations.jobs import control
from mlengine_project.operations.jobs.fields import stored_arguments
from mlengine_project.operations.models import Job
from mlengine_project.operations.monitoring import health, metrics


class OpenHealthViewSet(viewsets.ViewSet):
    """Health probes of load balancers."""

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
    """Detailed health for operators."""

    permission_classes = (HasScope,)
    required_scope = Scope.READ

    @extend_schema(responses=DetailedHealthSerializer)
    def detailed(self, request: Request) -> Response:
        """The engine part by part, with the age of the newest candles."""
        return Response(health.detailed())


class JobViewSet(viewsets.GenericViewSet):
    """Trainings, backfills and bootstraps."""

    required_scope = {"GET": Scope.READ, "POST": Scope.ADMIN}
    queryset = Job.objects.none()
    serializer_class = JobSerializer

    @extend_schema(responses=JOBS)
    def list(self, request: Request) -> Response:
        """Jobs, newest first."""
        page = self.paginate_queryset(Job.objects.order_by("-created_at", "-id")) or []
        return self.get_paginated_response([_job_object(job) for job in page])

    @extend_schema(request=ANY_REQUEST, responses={202: ANY_JOB})
    def create(self, request: Request) -> Response:
        """Request a training or a backfill; a repeat before one like it has ended gives that one."""
        requested = JobKindRequest(data=request.data)
        requested.is_valid(raise_exception=True)
        kind = requested.validated_data["kind"]
        body = REQUESTS[kind](data=request.data)
        body.is_valid(raise_exception=True)
        arguments = stored_arguments(body.validated_data["arguments"])
        requests = {Job.Kind.TRAINING: control.request_training, Job.Kind.BACKFILL: control.request_backfill}
        job = requests[kind](cast("Identity", request.user).name, arguments)
        return Response(_job_object(job), status=202)

    @extend_schema(responses=ANY_JOB)
    def retrieve(self, request: Request, id: str) -> Response:  # noqa: A002
        """One job: its state, progress and result."""
        return Response(_job_object(get_object_or_404(Job, pk=id)))

    @extend_schema(request=None, responses={202: ANY_JOB})
    def cancel(self, request: Request, id: str) -> Response:  # noqa: A002
        """Ask a job to stop; one that waits ends at once, one that has ended stays as it is."""
        job = get_object_or_404(Job, pk=id)
        control.cancel(job)
        job.refresh_from_db()
        return Response(_job_object(job), status=202)


def _job_object(job: Job) -> dict[str, Any]:
    return dict(JOB_SHAPES[job.kind](job).data)


class MetricsViewSet(viewsets.ViewSet):
    """Metrics for Prometheus."""

    authentication_classes = (MetricsTokenAuthentication, KeyAuthentication)
    permission_classes = (HasScope,)
    required_scope = Scope.READ

    @extend_schema(responses={(200, "text/plain"): OpenApiTypes.STR})
    def scrape(self, request: Request) -> HttpResponse:
        """All metrics in Prometheus's text form, the same from every process."""
        return HttpResponse(metrics.exposition(), content_type=metrics.CONTENT_TYPE)
