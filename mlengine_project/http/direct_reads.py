"""Answers of frequent REST reads by their view's action alone: the same bytes, headers and status as Django's.

Middleware and the layers of DRF around an action cost more than the action. For a GET with ordinary headers they only
check the key, its scope and the names of the query, which is done here, and add headers, which are copied from Django's
last answer to the same path. A key is first verified by Django, so an unknown one costs no query here. Whatever else a
request needs, an error included, it goes to Django, which runs it again.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import close_old_connections
from django.http import HttpRequest, QueryDict
from django.urls import resolve

from marketdata import clock
from mlengine_project.access.keys import Identity
from mlengine_project.access.services import authenticate_key, was_verified
from mlengine_project.http.asgi_types import AsgiScope
from mlengine_project.http.json_codec import write_json
from mlengine_project.http.permissions import HasScope, KnownQueryNames
from mlengine_project.http.plain_requests import Headers, key_of, plain_headers, shared_headers
from mlengine_project.operations.logs.structured import log_request, request_id_from

PATHS = frozenset({"/signals", "/candles", "/indicators", "/models/status"})
"""Paths whose GET is a read of JSON, without a rate limit."""
PERMISSIONS = (HasScope(), KnownQueryNames())


class ReadRequest(HttpRequest):
    """What an action reads of a request: its query, its address and who asks."""

    def __init__(self, scope: AsgiScope, headers: dict[bytes, bytes], identity: Identity) -> None:
        super().__init__()
        query = scope["query_string"].decode()
        self.method, self.path, self.path_info = "GET", scope["path"], scope["path"]
        self.META = {"QUERY_STRING": query, "HTTP_HOST": headers[b"host"].decode("latin-1")}
        self.query_params = QueryDict(query)
        self.user = identity  # type: ignore[assignment]  # as DRF's requests have it
        self._scheme = scope["scheme"]

    def _get_scheme(self) -> str:
        return str(self._scheme)


@dataclass(frozen=True)
class Action:
    """The action of a view that answers a path, with the view's arguments."""

    view: Any
    name: str
    arguments: dict[str, Any]

    def run(self, request: ReadRequest) -> tuple[bytes, str]:
        """JSON and ETag of the answer."""
        view = self.view(**self.arguments)
        view.request, view.action, view.format_kwarg = request, self.name, None
        for permission in PERMISSIONS:
            if not permission.has_permission(request, view):  # type: ignore[arg-type]  # it has what they read
                raise PermissionError
        response = getattr(view, self.name)(request)
        content = response.data if isinstance(response.data, bytes) else write_json(response.data)
        return content, response.headers.get("ETag") or etag_of(content)


def etag_of(content: bytes) -> str:
    """Strong ETag of an answer's content."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


class DirectReads:
    """Answers of reads in a request's thread; headers are recorded by scheme and path."""

    def __init__(self) -> None:
        self.templates: dict[tuple[str, str], Headers] = {}
        self.actions: dict[str, Action] = {}

    def answer(self, scope: AsgiScope) -> tuple[int, Headers, bytes] | None:
        """Status, headers and content; None when Django has to answer."""
        template = self.templates.get((scope["scheme"], scope["path"])) if scope["method"] == "GET" else None
        headers = None if template is None else plain_headers(scope)
        if template is None or headers is None or not key_of(headers):
            return None
        started = clock.monotonic()
        request_id = request_id_from(headers.get(b"x-request-id", b"").decode("latin-1"))
        close_old_connections()
        try:
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                secret = key_of(headers)
                identity = authenticate_key(secret) if was_verified(secret) else None
                if identity is None:
                    return None
                content, etag = self.action_of(scope["path"]).run(ReadRequest(scope, headers, identity))
        except Exception:  # noqa: BLE001  # Django meets the same error and reports it
            return None
        own = [(b"etag", etag.encode()), (b"content-length", b"%d" % len(content))]
        log_request("GET", scope["path"], 200, clock.monotonic() - started, identity.key_id, request_id)
        return 200, [*template, *own, (b"x-request-id", request_id.encode())], content

    def record(self, scope: AsgiScope, status: int, headers: Headers) -> None:
        """Keep the headers of Django's answer to a plain read."""
        is_read = scope["method"] == "GET" and scope["path"] in PATHS and status == 200
        if is_read and plain_headers(scope) is not None:
            self.templates[scope["scheme"], scope["path"]] = shared_headers(headers)

    def action_of(self, path: str) -> Action:
        """The action that Django's URLs name for a path, found once."""
        if path not in self.actions:
            view: Any = resolve(path).func
            self.actions[path] = Action(view.cls, view.actions["get"], view.initkwargs)
        return self.actions[path]
