"""Links of the admin to the report of a version: its page, and JSON."""

from typing import cast

from django.contrib.admin import ModelAdmin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import reverse
from unfold.decorators import action

from marketdata.admin_pages import row_of
from modelregistry.api.serializers import ModelVersionSerializer
from modelregistry.models import ModelVersion
from modelregistry.search.trial_ledger import ledger_report


class ReportPages:
    """Mixin for the admin of versions: report page and JSON."""

    @action(description="Report", url_path="report", icon="monitoring", permissions=["view"])
    def report(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Go to the page of the version in the console."""
        version: ModelVersion = row_of(cast("ModelAdmin", self), request, object_id)
        return HttpResponseRedirect(reverse("console:version", args=[version.pk]))

    @action(description="Report as JSON", url_path="report-json", icon="data_object", permissions=["view"])
    def report_json(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return the report as JSON."""
        return report_json(row_of(cast("ModelAdmin", self), request, object_id))


def report_json(version: ModelVersion) -> JsonResponse:
    """Return everything on the page: the version, its report and the trial ledger."""
    shown = ModelVersionSerializer(version).data
    return JsonResponse({**shown, "trials": ledger_report(version.kind, version.source)})
