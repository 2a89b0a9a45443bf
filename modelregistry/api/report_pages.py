"""Admin pages with the report of a version, as HTML and as JSON."""

from typing import Any, cast

from django.contrib.admin import ModelAdmin
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from unfold.decorators import action

from marketdata import clock
from marketdata.admin_pages import row_of
from modelregistry.api.serializers import ModelVersionSerializer
from modelregistry.evaluation.figures.ranges import figures_of
from modelregistry.evaluation.reports.tables import baseline_table, tables_of
from modelregistry.models import ModelVersion
from modelregistry.search.trial_ledger import ledger_report


class ReportPages:
    """Mixin for the admin of versions: report page and JSON."""

    @action(description="Report", url_path="report", icon="monitoring", permissions=["view"])
    def report(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the report page."""
        return report_page(request, row_of(cast("ModelAdmin", self), request, object_id))

    @action(description="Report as JSON", url_path="report-json", icon="data_object", permissions=["view"])
    def report_json(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return the report as JSON."""
        return report_json(row_of(cast("ModelAdmin", self), request, object_id))


def report_page(request: HttpRequest, version: ModelVersion) -> HttpResponse:
    """Render the report: one page without scripts, for saving or printing."""
    report = version.report
    tables = [table for table in (baseline_table(report), *tables_of(report)) if table is not None]
    return render(
        request,
        "modelregistry/version_report.html",
        {
            "version": version,
            "skill": _percent(report.get("skill")),
            "tested": [_test_period(fold) for fold in report.get("folds") or []],
            "figures": figures_of(version.kind, report),
            "tables": tables,
            "ledger": ledger_report(version.kind, version.source),
            "version_url": reverse("admin:modelregistry_modelversion_change", args=[version.pk]),
            "json_url": reverse("admin:modelregistry_modelversion_report_json", args=[version.pk]),
        },
    )


def report_json(version: ModelVersion) -> JsonResponse:
    """Return everything on the page: the version, its report and the trial ledger."""
    shown = ModelVersionSerializer(version).data
    return JsonResponse({**shown, "trials": ledger_report(version.kind, version.source)})


def _percent(skill: float | None) -> str:
    return "" if skill is None else f"{100 * skill:+.2f} %".replace("-", "−")


def _test_period(fold: dict[str, Any]) -> dict[str, Any]:
    times = {name: clock.to_datetime(fold[f"{name}_ms"]) for name in ("from", "to")}
    return {"from": times["from"], "to": times["to"], "rows": fold.get("rows")}
