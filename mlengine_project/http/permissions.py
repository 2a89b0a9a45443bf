"""Permission classes of views: the required scope, and the query names an action accepts."""

from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from marketdata.api.request_fields import MAX_NAME_LENGTH, query_names, unknown_names
from mlengine_project.access.keys import Identity
from mlengine_project.access.models import Scope
from mlengine_project.http.paging import NAMES


class HasScope(BasePermission):
    """Requires a key whose scope includes that of the view; `admin` where the view names none.

    A view sets `required_scope = "read"`, or a scope for each method:
    `required_scope = {"GET": "read", "POST": "predict"}`.
    """

    message = "This key's scope does not allow that."

    def has_permission(self, request: Request, view: Any) -> bool:
        """Compare the scopes; a request without a key is refused."""
        if not isinstance(request.user, Identity):
            return False
        required = getattr(view, "required_scope", Scope.ADMIN)
        if isinstance(required, dict):
            method = "GET" if request.method in {"HEAD", "OPTIONS"} else request.method
            # A method the view does not have is refused later with 405.
            required = required.get(method, Scope.READ)
        return request.user.includes(required)


class KnownQueryNames(BasePermission):
    """Requires every query name to be accepted by the action and given once; otherwise 400.

    A view declares the query of each action: `queries = {"list": CandleQuery}`. It is checked in a permission since
    DRF has no other hook between the scope and the view that all views share.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        """Compare the query with what the action declares."""
        if view.action in {None, "metadata"}:  # a method the path does not have is refused later with 405
            return True
        known = names_of(view)
        problems = unknown_names(request.query_params, known)
        for name, values in request.query_params.lists():
            if len(values) > 1:
                problems.setdefault(name[:MAX_NAME_LENGTH], [f"Written {len(values)} times; write it once."])
        if problems:
            raise ValidationError(problems)
        return True


def names_of(view: Any) -> list[str]:
    """Query names an action accepts."""
    query = getattr(view, "queries", {}).get(view.action)
    is_paged = view.action == "list" and getattr(view, "paginator", None) is not None
    return [*(query_names(query) if query else ()), *(NAMES if is_paged else ())]
