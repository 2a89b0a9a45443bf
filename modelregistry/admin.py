"""Admin of model versions: reports beside the baselines, promotion and rollback by permission."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from marketdata.admin_pages import (
    ReadOnlyAdmin,
    ReasonForm,
    SwitchField,
    column,
    confirm_step,
    cut,
    posted,
    row_of,
    significant,
)
from modelregistry import registry
from modelregistry.api.report_pages import ReportPages
from modelregistry.errors import FilesRemovedError, ModelLoadError, PromotionRefused
from modelregistry.evaluation.reports.tables import Table, baseline_table, differences, tables_of
from modelregistry.models import ModelVersion, PromotionEvent, TrainingTrial, VersionComparison
from modelregistry.promotion_form import GateForm
from modelregistry.registry.version_state import GATE_WORDS, LOG, RESTORED, ROLLED_BACK, Gate, state_of

MAY_PROMOTE = "modelregistry.promote_modelversion"
STAGES = {"champion": "primary", RESTORED: "primary", "candidate": "info", "retired": "default", ROLLED_BACK: "default"}
GATES = {
    GATE_WORDS[Gate.ACCEPTED]: "default",
    GATE_WORDS[Gate.REFRESH]: "info",
    GATE_WORDS[Gate.REFUSED]: "danger",
    GATE_WORDS[Gate.OVERRIDDEN]: "danger",
    GATE_WORDS[Gate.UNPROVEN]: "warning",
}
EVENT_ACTIONS = {"Promotion": "primary", "Refresh": "info", "Rollback": "warning"}
EVENT_GATES = {"accepted": "default", "refresh": "info", "overridden": "warning", "refused": "danger"}


class PromotionForm(GateForm, ReasonForm):
    """Reason of a promotion, and an override where the gate refused."""

    override = SwitchField(
        label="Override the gate",
        help_text="The gate refused this version. An override is logged with your user name.",
    )


@admin.register(ModelVersion)
class ModelVersionAdmin(ReportPages, ReadOnlyAdmin):
    """Every trained version, with its stage."""

    list_display = [
        "kind",
        "name",
        "source",
        "stage_label",
        "gate",
        "files",
        "trained_until",
        column("row_count", lambda count: f"{count:,}", "Rows"),
        "created_at",
    ]
    list_filter = ["kind", "stage", "source", "gate_accepted", ("files_removed_at", admin.EmptyFieldListFilter)]
    search_fields = ["digest"]
    change_form_outer_before_template = "admin/modelregistry/report.html"
    fieldsets = [
        (None, {"fields": ["kind", "source", "stage_label", "gate", "gate_reasons", "refresh_of", "unproven"]}),
        ("Training", {"fields": ["symbols", "horizons", "trained_from", "trained_until", "row_count", "seed"]}),
        ("Artifact", {"fields": ["id", "digest", "feature_hash", "libraries", "hyperparameters", "training_seconds"]}),
        ("Files", {"fields": ["files", "files_removed_at", "files_removed_reason"]}),
    ]
    readonly_fields = ["stage_label", "gate", "files"]
    actions: Any = ["promote_selected"]
    actions_detail = ["report", "report_json", "promote", "roll_back"]

    @display(description="Version", ordering="digest")
    def name(self, version: ModelVersion) -> str:
        """First characters of the digest."""
        return version.digest[:12]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelVersion]:
        """Versions with their promotions, from which stage and verdict are read."""
        return super().get_queryset(request).prefetch_related(*LOG)

    @display(description="Stage", ordering="stage", label=STAGES)
    def stage_label(self, version: ModelVersion) -> str:
        """Stage, and how it was left or regained by a rollback."""
        return state_of(version).stage_words

    @display(description="Gate", label=GATES)
    def gate(self, version: ModelVersion) -> str:
        """Verdict of the gate, and what was made of it."""
        return state_of(version).gate_words

    @display(description="Files", ordering="files_removed_at", label={"kept": "default", "removed": "default"})
    def files(self, version: ModelVersion) -> str:
        """Whether its files exist: without them it cannot forecast, be promoted or be evaluated."""
        return "kept" if version.files_kept else "removed"

    def has_promote_permission(self, request: HttpRequest, object_id: Any = None) -> bool:  # noqa: ARG002
        """Whether the user has the permission to promote."""
        return request.user.has_perm(MAY_PROMOTE)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show the version with its report in tables."""
        version = self.get_object(request, object_id)
        report = version.report if version is not None else {}
        tables = [table for table in (baseline_table(report), *tables_of(report)) if table is not None]
        shown = {"report_tables": tables, "silent": self.silent_table(version) if version is not None else None}
        return super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})

    def silent_table(self, version: ModelVersion) -> Table | None:  # noqa: ARG002
        """Champion comparison on live candles; overridden by the app that stores challenger answers."""
        return None

    @admin.action(description="Promote the selected version", permissions=["promote"])
    def promote_selected(self, request: HttpRequest, queryset: QuerySet[ModelVersion]) -> HttpResponse | None:
        """Redirect to the confirmation page of the selected version."""
        chosen = list(queryset[:2])
        if len(chosen) != 1:
            messages.error(request, "Select exactly one version to promote.")
            return None
        return HttpResponseRedirect(reverse("admin:modelregistry_modelversion_promote", args=[chosen[0].pk]))

    @action(
        description="Promote",
        url_path="promote",
        icon="arrow_upward",
        permissions=["promote"],
        variant=ActionVariant.PRIMARY,
    )
    def promote(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the difference to the champion and the gate's verdict; promote with a reason."""
        version: ModelVersion = row_of(self, request, object_id)
        champion = registry.champions(version.source).get(version.kind)
        if champion is not None and champion.pk == version.pk:
            messages.info(request, "This version is already the champion.")
            return HttpResponseRedirect(_page(version))
        if (refusal := _removed(version)) is not None:
            messages.error(request, refusal)
            return HttpResponseRedirect(_page(version))
        form = PromotionForm(posted(request), needs_override=registry.needs_override(version, champion))
        if form.is_valid():
            cleaned = form.cleaned_data
            return self._do(
                request,
                version,
                f"{version} is champion now; every process loads it within a second.",
                lambda by: registry.promote(version, by, cleaned["reason"], override=cleaned.get("override", False)),
            )
        return self._confirm(
            request,
            form,
            version,
            version,
            champion,
            warnings=registry.promotion_warnings(version),
            title=f"Promote {version.get_kind_display()} {version.digest[:12]}",
            explanation="It is used from the next candle on. The champion it replaces is kept; a rollback restores it.",
            button="Promote",
        )

    @action(description="Roll back", url_path="roll-back", icon="undo", permissions=["promote"])
    def roll_back(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Undo the newest promotion of this kind and source, with a reason."""
        version: ModelVersion = row_of(self, request, object_id)
        newest = _promotion_to_undo(version)
        form = ReasonForm(posted(request))
        if newest is None or newest.from_version is None:
            messages.error(request, "There is no promotion to undo: the first champion replaced no version.")
            return HttpResponseRedirect(_page(version))
        if (refusal := _removed(newest.from_version)) is not None:
            messages.error(request, refusal)
            return HttpResponseRedirect(_page(version))
        if form.is_valid():
            return self._do(
                request,
                version,
                f"{version.get_kind_display()} is back at {newest.from_version.digest[:12]}.",
                lambda by: registry.rollback(version.kind, version.source, by, form.cleaned_data["reason"]),
            )
        return self._confirm(
            request,
            form,
            version,
            newest.from_version,
            newest.to_version,
            title=f"Roll {version.get_kind_display()} back to {newest.from_version.digest[:12]}",
            explanation=f"Undoes the promotion of {newest.at:%Y-%m-%d %H:%M} UTC by {newest.actor}: {newest.reason}",
            button="Roll back",
        )

    def _confirm(
        self,
        request: HttpRequest,
        form: forms.Form,
        version: ModelVersion,
        incoming: ModelVersion,
        outgoing: ModelVersion | None,
        **words: Any,
    ) -> HttpResponse:
        return confirm_step(
            request,
            self,
            form=form,
            back=_page(version),
            template="admin/modelregistry/confirm_promotion.html",
            incoming=incoming,
            outgoing=outgoing,
            incoming_state=state_of(incoming),
            outgoing_state=state_of(outgoing) if outgoing else None,
            differences=differences(incoming.report, outgoing.report) if outgoing else [],
            **words,
        )

    def _do(
        self, request: HttpRequest, version: ModelVersion, done: str, step: Callable[[str], PromotionEvent]
    ) -> HttpResponse:
        try:
            event = step(request.user.get_username())
        except PromotionRefused as refused:
            messages.error(request, "Refused: " + "; ".join(refused.reasons))
        except ModelLoadError as damaged:
            messages.error(request, f"The artifact cannot be used ({damaged}); the champion stays.")
        else:
            self.log_change(request, version, str(event))
            messages.success(request, done)
        return HttpResponseRedirect(_page(version))


@admin.register(PromotionEvent)
class PromotionEventAdmin(ReadOnlyAdmin):
    """Log of champion changes: actor, time and reason."""

    list_display = [
        "at",
        "kind",
        "source",
        "action_label",
        "from_version",
        "to_version",
        "actor",
        column("reason", cut),
        "gate_label",
    ]
    list_filter = ["kind", "action", "source", "override"]
    list_select_related = ["from_version", "to_version"]
    search_fields = ["actor", "reason"]

    @display(
        description="Action",
        ordering="action",
        label={"Promotion": "primary", "Refresh": "info", "Rollback": "warning"},
    )
    def action_label(self, event: PromotionEvent) -> str:
        """Kind of the change."""
        return event.get_action_display()

    @display(description="Gate", label=EVENT_GATES)
    def gate_label(self, event: PromotionEvent) -> str:
        """Verdict of the gate, and what was made of it."""
        if event.override:
            return "overridden"
        if event.action == PromotionEvent.Action.REFRESH:
            return "refresh"
        return "accepted" if event.gate_accepted else "refused"


@admin.register(TrainingTrial)
class TrainingTrialAdmin(ReadOnlyAdmin):
    """Every configuration that was tried, including failures."""

    list_display = [
        "at",
        "kind",
        "source",
        "origin",
        "study",
        column("score", significant),
        column("failure", cut),
        "version",
        "actor",
    ]
    list_filter = ["kind", "origin", "source"]
    list_select_related = ["version"]
    search_fields = ["study", "configuration_digest"]


@admin.register(VersionComparison)
class VersionComparisonAdmin(ReadOnlyAdmin):
    """Kept comparisons of two versions."""

    list_display = ["at", "first", "second", "compared_from", "compared_until", "gain", "interval", "actor"]
    list_select_related = ["first", "second"]
    search_fields = ["first__digest", "second__digest"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[VersionComparison]:
        """Comparisons without the reports of their versions."""
        return super().get_queryset(request).defer("first__report", "second__report")

    @display(description="Gain of the first")
    def gain(self, comparison: VersionComparison) -> str:
        """Share of the second version's loss."""
        return f"{comparison.result['gain']:+.2%}"

    @display(description="95 % interval")
    def interval(self, comparison: VersionComparison) -> str:
        """Bounds of the gain."""
        return f"{comparison.result['lower']:+.2%} to {comparison.result['upper']:+.2%}"


def _promotion_to_undo(version: ModelVersion) -> PromotionEvent | None:
    """Promotion that a rollback would undo."""
    open_events = PromotionEvent.objects.filter(kind=version.kind, source=version.source, undone_by__isnull=True)
    return (
        open_events.exclude(action=PromotionEvent.Action.ROLLBACK)
        .select_related("from_version", "to_version")
        .order_by("-id")
        .first()
    )


def _removed(version: ModelVersion) -> str | None:
    """Error message for a version without files; None where it has them."""
    try:
        registry.require_files(version)
    except FilesRemovedError as removed:
        return f"Refused: {removed}."
    return None


def _page(version: ModelVersion) -> str:
    return reverse("admin:modelregistry_modelversion_change", args=[version.pk])
