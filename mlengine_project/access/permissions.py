"""May this key do that: views of every app name a scope, this one place compares."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from mlengine_project.access.keys import Identity
from mlengine_project.access.models import Scope


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
