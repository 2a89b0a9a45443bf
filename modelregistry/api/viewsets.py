"""Views of GET /models, /models/{id} and /models/status."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from modelregistry.api.serializers import (
    ModelsStatusSerializer,
    ModelVersionDetailSerializer,
    ModelVersionSerializer,
    StatusQuery,
    VersionQuery,
)
from modelregistry.models import ModelVersion
from modelregistry.registry import status


class ModelViewSet(viewsets.GenericViewSet):
    """Model versions and their reports."""

    required_scope = "read"
    queryset = ModelVersion.objects.order_by("-created_at", "id")
    serializer_class = ModelVersionSerializer
    lookup_url_kwarg = "id"
    queries: ClassVar = {"list": VersionQuery, "status": StatusQuery}
    loaded_by: Callable[[], Mapping[str, list[str]]] | None = None
    """Processes that have a version in memory, by version id; set by the composition root."""
    silent_comparison: Callable[[ModelVersion], list[dict[str, Any]]] | None = None
    """Comparison of a candidate with the champion on live candles; set by the composition root."""

    @extend_schema(responses=ModelVersionSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List all versions, newest first."""
        page = self.paginate_queryset(self.get_queryset().filter(**VersionQuery.of(request)))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(responses=ModelVersionDetailSerializer)
    def retrieve(self, _request: Request, id: str) -> Response:  # noqa: A002  # named by the path
        """One version with its report, and for a candidate the comparison with the champion."""
        context = {**self.get_serializer_context(), "silent_comparison": self.silent_comparison}
        return Response(ModelVersionDetailSerializer(self.get_object(), context=context).data)

    @extend_schema(responses=ModelsStatusSerializer, filters=False)
    def status(self, request: Request) -> Response:
        """Champion of each kind, its metrics beside the baselines, and where it is loaded."""
        query: dict[str, Any] = StatusQuery.of(request)
        loaded_by = self.loaded_by() if self.loaded_by else {}
        found, etag = status.status_at(query.get("at"), query.get("source"), loaded_by)
        return Response(found, headers={"ETag": etag})
