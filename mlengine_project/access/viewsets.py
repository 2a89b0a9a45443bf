"""POST /ws-tickets."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from marketdata.api.request_fields import Body
from mlengine_project.access import services
from mlengine_project.access.models import Scope
from mlengine_project.access.serializers import TicketSerializer


class TicketViewSet(viewsets.ViewSet):
    """Passes to the websocket."""

    required_scope = Scope.READ

    @extend_schema(request=None, responses={201: TicketSerializer})
    def create(self, request: Request) -> Response:
        """Make a ticket: a backend fetches it with its key, a browser redeems it within 30 seconds, once."""
        # No body is needed; a form sent by clients that cannot send an empty POST is ignored.
        if (request.content_type or "").startswith("application/json"):
            Body(data=request.data).is_valid(raise_exception=True)
        caller: Any = request.user  # an Identity: HasScope admits no other user
        ticket, expires_at = services.issue_ticket(caller)
        return Response({"ticket": ticket, "expires_at": expires_at}, status=status.HTTP_201_CREATED)
