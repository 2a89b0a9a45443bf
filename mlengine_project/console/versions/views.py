"""Views of the pages of models."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext

from mlengine_project.console.versions import page as pages
from mlengine_project.console.versions.comparisons import comparison_context
from mlengine_project.console.versions.probability_charts import charts_of
from mlengine_project.console.views import login_required, login_required_fragment, page
from mlengine_project.http.allowed_methods import allow
from modelregistry.models import ModelVersion, VersionComparison


@allow("GET")
@login_required
def models(request: HttpRequest) -> HttpResponse:
    """The active models, all versions, and the promotion log."""
    return page(request, "console/models.html", section="models", **pages.context())


@allow("GET")
@login_required
def version(request: HttpRequest, version_id: UUID) -> HttpResponse:
    """One version and its report."""
    found = get_object_or_404(ModelVersion, pk=version_id)
    return page(request, "console/version.html", section="models", **pages.version_context(found))


@allow("GET")
@login_required_fragment
def charts(_request: HttpRequest, version_id: UUID) -> HttpResponse:
    """The numbers of the charts of one version, as JSON."""
    found = get_object_or_404(ModelVersion, pk=version_id)
    return JsonResponse({"charts": [chart.as_json() for chart in charts_of(found.kind, found.report)]})


@allow("GET")
@login_required
def compare(request: HttpRequest) -> HttpResponse:
    """Two versions of one kind side by side."""
    pair = _pair(request)
    if pair is None:
        explanation = gettext("Choose exactly two versions of the same kind in the table of versions.")
        headline = gettext("Nothing to compare")
        return page(request, "console/absent.html", 400, section="models", headline=headline, explanation=explanation)
    return page(request, "console/compare.html", section="models", **pages.comparison(*pair))


@allow("GET")
@login_required
def comparison(request: HttpRequest, comparison_id: int) -> HttpResponse:
    """A kept comparison of two versions."""
    kept = VersionComparison.objects.select_related("first", "second").defer("first__report", "second__report")
    found = get_object_or_404(kept, pk=comparison_id)
    return page(request, "console/comparison.html", section="models", **comparison_context(found))


@allow("GET")
@login_required_fragment
def compared_charts(request: HttpRequest) -> HttpResponse:
    """The numbers of the charts of two versions on one scale, as JSON."""
    pair = _pair(request)
    if pair is None:
        return HttpResponse("Name two versions of one kind.", status=400, content_type="text/plain")
    return JsonResponse({"charts": [chart.as_json() for chart in pages.compared_charts(*pair)]})


def _pair(request: HttpRequest) -> tuple[ModelVersion, ModelVersion] | None:
    """The two versions of one kind that a request names, in its order."""
    try:
        ids = list(dict.fromkeys(UUID(text) for text in request.GET.getlist("version")))
    except ValueError:
        return None
    found = ModelVersion.objects.in_bulk(ids) if len(ids) == 2 else {}
    if len(found) != 2 or len({one.kind for one in found.values()}) != 1:
        return None
    first, second = (found[one] for one in ids)
    return first, second
