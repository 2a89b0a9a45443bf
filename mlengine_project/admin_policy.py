"""Middleware of the admin: its script policy, and validation of row ids and lookups.

The admin theme evaluates expressions in attributes, which only its pages may do.
"""

import re
from collections.abc import Callable
from typing import Any

from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponseBase

from mlengine_project.http.api_settings import ADMIN_SCRIPT_SOURCES

YEAR = re.compile(r"[0-9]{1,4}")


class AdminPagePolicy:
    """Replaces the script rule of the content policy under /admin/, and refuses invalid lookups."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Set the script rule on the response for the outer policy middleware."""
        response = self.get_response(request)
        if request.path.startswith("/admin/"):
            response._csp_replace = {"script-src": ADMIN_SCRIPT_SOURCES}  # type: ignore[attr-defined]  # noqa: SLF001
        return response

    def process_view(
        self,
        request: HttpRequest,
        view_func: Any,
        view_args: Any,  # noqa: ARG002
        view_kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Refuse invalid row ids, and lookups that would fail in the database.

        Raises
        ------
        Http404
            If a bulk step names a row that cannot exist.
        DisallowedModelAdminLookup
            If a list is filtered by a regular expression, or by a year that no date has.
        """
        model_admin = getattr(view_func, "model_admin", None)
        if model_admin is None:
            return
        for row_id in request.POST.getlist("_selected_action") if request.method == "POST" else ():
            try:
                model_admin.opts.pk.to_python(row_id)
            except ValidationError as error:
                raise Http404 from error
        for name, value in request.GET.items():
            lookup = name.rpartition("__")[2]
            if lookup in {"regex", "iregex"} or ("__year" in name and not YEAR.fullmatch(str(value))):
                raise DisallowedModelAdminLookup(f"Filtering by {name[:60]} is not allowed")
