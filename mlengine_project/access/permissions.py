"""What is asked of every request to a view, once its key is known: the scope it needs, and names the view knows."""

from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from marketdata.request_fields import MAX_NAME_LENGTH, unknown_names
from mlengine_project.access.keys import Identity
from mlengine_project.access.models import Scope
from mlengine_project.paging import NAMES


class HasScope(BasePermission):
    """The key's scope includes the one the view asks for; a view that names none needs `admin`.

    A view says `required_scope = "read"`, or gives a scope for each method:
    `required_scope = {"GET": "read", "POST": "predict"}`.
    """

    message = "This key's scope does not allow that."

    def has_permission(self, request: Request, view: Any) -> bool:
        """Compare; without a key nobody is let in."""
        if not isinstance(request.user, Identity):
            return False
        wanted = getattr(view, "required_scope", Scope.ADMIN)
        if isinstance(wanted, dict):
            method = "GET" if request.method in {"HEAD", "OPTIONS"} else request.method
            # A method the view does not have is refused as such afterwards.
            wanted = wanted.get(method, Scope.READ)
        return request.user.may(wanted)


class KnownQueryNames(BasePermission):
    """Every query name is one the action takes, and written once; anything else is a 400.

    A view gives the query of each action that has one: `queries = {"list": CandleQuery}`. Checked here since a view
    can forget to, and DRF has no other place between the scope and the view that all of them share.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        """Compare with what the action declares."""
        if view.action in {None, "metadata"}:  # a method the path does not have is refused as such
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
    """Query names an action takes."""
    query = getattr(view, "queries", {}).get(view.action)
    is_paged = view.action == "list" and getattr(view, "paginator", None) is not None
    return [*(query().fields if query else ()), *(NAMES if is_paged else ())]
