"""Views of the track record."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from mlengine_project.console.record import export
from mlengine_project.console.record import page as pages
from mlengine_project.console.views import login_required, login_required_fragment, page
from mlengine_project.http.allowed_methods import allow


@allow("GET")
@login_required
def record(request: HttpRequest) -> HttpResponse:
    """What was promised and what came, by market and horizon."""
    return page(request, "console/record.html", section="record", query=request.GET.urlencode(), **_context(request))


@allow("GET")
@login_required_fragment
def charts(request: HttpRequest) -> HttpResponse:
    """The numbers of the charts, as JSON."""
    return JsonResponse({"charts": [chart.as_json() for chart in pages.charts_of(pages.scores(*_chosen(request)))]})


@allow("GET")
@login_required
def download(request: HttpRequest, form: str) -> HttpResponse:
    """The scores shown, as a file."""
    rows = export.rows_of(pages.scores(*_chosen(request)))
    content = export.as_csv(rows) if form == "csv" else export.as_parquet(rows)
    response = HttpResponse(content, content_type=export.MEDIA_TYPES[form])
    response["Content-Disposition"] = f'attachment; filename="track-record.{form}"'
    return response


def _chosen(request: HttpRequest) -> tuple[str, str]:
    return request.GET.get("symbol", "")[:20], request.GET.get("horizon", "")[:6]


def _context(request: HttpRequest) -> dict[str, Any]:
    return pages.context(*_chosen(request))
