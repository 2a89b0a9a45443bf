"""Admin of model versions: read with their metrics beside the baselines; promoted and rolled back by permission."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from marketdata.admin_pages import ReadOnlyAdmin, ReasonForm, SwitchField, confirm_step, posted, row_of
from modelregistry import registry
from modelregistry.errors import FilesRemovedError, ModelLoadError, PromotionRefused
from modelregistry.models import ModelVersion, PromotionEvent, TrainingTrial
from modelregistry.report_pages import ReportPages
from modelregistry.report_tables import Table, beside_baselines, differences, tables_of

MAY_PROMOTE = "modelregistry.promote_modelversion"
STAGES = {"Champion": "success", "Candidate": "info", "Retired": "default"}


class PromotionForm(ReasonForm):
    """Why this version, and whether against the gate."""

    override = SwitchField(
        label="Override the gate",
        help_text="The gate refused this version. An override is written into the log beside your name.",
    )

    def __init__(self, *args: Any, gate_accepted: bool, **options: Any) -> None:
        super().__init__(*args, **options)
        self.gate_accepted = gate_accepted
        if gate_accepted:
            del self.fields["override"]

    def clean(self) -> dict[str, Any]:
        """A refused version needs the override said aloud."""
        asked = super().clean() or {}
        if not self.gate_accepted and not asked.get("override"):
            self.add_error("override", "The gate refused this version; promote it only with an override.")
        return asked


@admin.register(ModelVersion)
class ModelVersionAdmin(ReportPages, ReadOnlyAdmin):
    """Every trained version, and who of them answers."""

    list_display = [
        "kind",
        "name",
        "source",
        "stage_label",
        "gate",
        "files",
        "trained_until",
        "row_count",
        "created_at",
    ]
    list_filter = ["kind", "stage", "source", "gate_accepted", ("files_removed_at", admin.EmptyFieldListFilter)]
    search_fields = ["digest"]
    change_form_outer_before_template = "admin/modelregistry/report.html"
    fieldsets = [
        (None, {"fields": ["kind", "source", "stage_label", "gate", "gate_reasons", "unproven"]}),
        ("Training", {"fields": ["symbols", "horizons", "trained_from", "trained_until", "row_count", "seed"]}),
        ("Artifact", {"fields": ["id", "digest", "feature_hash", "libraries", "hyperparameters", "training_seconds"]}),
        ("Files", {"fields": ["files", "files_removed_at", "files_removed_reason"]}),
    ]
    readonly_fields = ["stage_label", "gate", "files"]
    actions: Any = ["promote_selected"]
    actions_detail = ["report", "report_json", "promote", "roll_back"]

    @display(description="Version", ordering="digest")
    def name(self, version: ModelVersion) -> str:
        """The digest's beginning."""
        return version.digest[:12]

    @display(description="Stage", ordering="stage", label=STAGES)
    def stage_label(self, version: ModelVersion) -> str:
        """Candidate, champion or retired."""
        return version.get_stage_display()

    @display(description="Gate", label={"accepted": "success", "refused": "danger", "unproven": "warning"})
    def gate(self, version: ModelVersion) -> str:
        """The gate's verdict."""
        if version.unproven and version.stage == ModelVersion.Stage.CHAMPION:
            return "unproven"
        return "accepted" if version.gate_accepted else "refused"

    @display(description="Files", ordering="files_removed_at", label={"kept": "success", "removed": "default"})
    def files(self, version: ModelVersion) -> str:
        """Whether it can still answer, be promoted or evaluated."""
        return "kept" if version.files_kept else "removed"

    def has_promote_permission(self, request: HttpRequest, object_id: Any = None) -> bool:  # noqa: ARG002
        """Promoting is a permission of its own."""
        return request.user.has_perm(MAY_PROMOTE)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The version with its report in tables."""
        version = self.get_object(request, object_id)
        report = version.report if version is not None else {}
        tables = [table for table in (beside_baselines(report), *tables_of(report)) if table is not None]
        shown = {"report_tables": tables, "silent": self.silent_table(version) if version is not None else None}
        return super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})

    def silent_table(self, version: ModelVersion) -> Table | None:  # noqa: ARG002
        """A candidate beside the champion on live candles; the app that keeps the answers fills this in."""
        return None

    @admin.action(description="Promote the selected version", permissions=["promote"])
    def promote_selected(self, request: HttpRequest, queryset: QuerySet[ModelVersion]) -> HttpResponse | None:
        """Lead to the confirmation of exactly one."""
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
            messages.info(request, "This version is the champion already.")
            return HttpResponseRedirect(_page(version))
        if (refusal := _removed(version)) is not None:
            messages.error(request, refusal)
            return HttpResponseRedirect(_page(version))
        form = PromotionForm(posted(request), gate_accepted=version.gate_accepted)
        if form.is_valid():
            asked = form.cleaned_data
            return self._do(
                request,
                version,
                f"{version} is champion now; every process follows within a second.",
                lambda by: registry.promote(version, by, asked["reason"], override=asked.get("override", False)),
            )
        return self._confirm(
            request,
            form,
            version,
            version,
            champion,
            warnings=registry.promotion_warnings(version),
            title=f"Promote {version.get_kind_display()} {version.digest[:12]}",
            explanation="It answers from the next candle on. The champion it replaces is kept; "
            "a rollback brings it back.",
            button="Promote",
        )

    @action(description="Roll back", url_path="roll-back", icon="undo", permissions=["promote"])
    def roll_back(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Undo the newest promotion of this kind and source, with a reason."""
        version: ModelVersion = row_of(self, request, object_id)
        newest = _newest_standing(version)
        form = ReasonForm(posted(request))
        if newest is None or newest.from_version is None:
            messages.error(request, "There is no promotion to undo: the first champion replaced nobody.")
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
            differences=differences(incoming.report, outgoing.report) if outgoing else [],
            **words,
        )

    def _do(self, request: HttpRequest, version: ModelVersion, done: str, step: Any) -> HttpResponse:
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
    """Who made which version champion, when and why."""

    list_display = [
        "at",
        "kind",
        "source",
        "action_label",
        "from_version",
        "to_version",
        "actor",
        "reason",
        "gate_label",
    ]
    list_filter = ["kind", "action", "source", "override"]
    list_select_related = ["from_version", "to_version"]
    search_fields = ["actor", "reason"]

    @display(description="Action", ordering="action", label={"Promotion": "success", "Rollback": "warning"})
    def action_label(self, event: PromotionEvent) -> str:
        """How the change came about."""
        return event.get_action_display()

    @display(description="Gate", label={"accepted": "success", "overridden": "danger", "refused": "warning"})
    def gate_label(self, event: PromotionEvent) -> str:
        """The gate's verdict, and whether it was overridden."""
        if event.override:
            return "overridden"
        return "accepted" if event.gate_accepted else "refused"


@admin.register(TrainingTrial)
class TrainingTrialAdmin(ReadOnlyAdmin):
    """Every configuration that was tried, the unlucky ones too."""

    list_display = ["at", "kind", "source", "origin", "study", "score", "failure", "version", "actor"]
    list_filter = ["kind", "origin", "source"]
    list_select_related = ["version"]
    search_fields = ["study", "configuration_digest"]


def _newest_standing(version: ModelVersion) -> PromotionEvent | None:
    """The promotion a rollback would undo."""
    standing = PromotionEvent.objects.filter(kind=version.kind, source=version.source, undone_by__isnull=True)
    return (
        standing.exclude(action=PromotionEvent.Action.ROLLBACK)
        .select_related("from_version", "to_version")
        .order_by("-id")
        .first()
    )


def _removed(version: ModelVersion) -> str | None:
    """Why a version without files cannot be champion; None where it has them."""
    try:
        registry.require_files(version)
    except FilesRemovedError as removed:
        return f"Refused: {removed}."
    return None


def _page(version: ModelVersion) -> str:
    return reverse("admin:modelregistry_modelversion_change", args=[version.pk])
