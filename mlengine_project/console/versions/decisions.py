"""Decisions about models: promote, roll back, start and cancel a training."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy

from mlengine_project.console.sheets import ReasonForm, Refused, decide, decision, log_change
from mlengine_project.console.versions.page import shown_whole
from mlengine_project.operations.jobs import control
from mlengine_project.operations.models import Job
from modelregistry import registry
from modelregistry.errors import FilesRemovedError, ModelLoadError, PromotionRefused
from modelregistry.evaluation.reports.tables import differences
from modelregistry.models import Kind, ModelVersion, PromotionEvent
from modelregistry.promotion_form import GateForm
from modelregistry.registry.status import default_source

MAY_PROMOTE = "modelregistry.promote_modelversion"
MAY_REQUEST = "operations.add_job"
MAY_CANCEL = "operations.change_job"


class PromotionForm(GateForm, ReasonForm):
    """Reason of a promotion, and an override where the gate refused."""

    override = forms.BooleanField(
        required=False,
        label=gettext_lazy("Override the gate"),
        help_text=gettext_lazy(
            "The gate refused this version. The override is logged with your name and shown everywhere."
        ),
    )


class TrainingForm(ReasonForm):
    """Kinds to train, and how."""

    kinds = forms.MultipleChoiceField(
        choices=[(kind.value, gettext_lazy(str(kind.label))) for kind in Kind],
        initial=Kind.values,
        label=gettext_lazy("Kinds"),
        widget=forms.CheckboxSelectMultiple,
    )
    small = forms.BooleanField(
        required=False,
        label=gettext_lazy("Quick"),
        help_text=gettext_lazy("Fewer rows and fewer trees: minutes instead of a long run."),
    )
    field_order = ("kinds", "small", "reason")


@decision(MAY_PROMOTE)
def promote(request: HttpRequest, version_id: UUID) -> HttpResponse:
    """Promote a version to champion, by override where the gate refused it."""
    version = get_object_or_404(ModelVersion, pk=version_id)
    champion = registry.champions(version.source).get(version.kind)
    form = PromotionForm(request.POST or None, needs_override=registry.needs_override(version, champion))
    label = gettext(version.get_kind_display())

    def act(values: dict[str, Any]) -> str:
        _carry_out(
            lambda: registry.promote(
                version, request.user.get_username(), values["reason"], override=values.get("override", False)
            )
        )
        return gettext("%(kind)s %(digest)s is champion now; every process loads it within a second.") % {
            "kind": label,
            "digest": version.digest[:12],
        }

    return decide(
        request,
        form,
        act,
        back=reverse("console:models"),
        template="console/promotion_sheet.html",
        title=gettext("Promote %(kind)s %(digest)s") % {"kind": label, "digest": version.digest[:12]},
        explanation=gettext(
            "It is used from the next candle on. The champion it replaces is kept; a rollback restores it."
        ),
        button=gettext("Promote"),
        warnings=registry.promotion_warnings(version),
        **_change(version, champion),
    )


@decision(MAY_PROMOTE)
def roll_back(request: HttpRequest, kind: str) -> HttpResponse:
    """Undo the newest promotion of a kind."""
    if kind not in Kind.values:
        raise Http404
    source = default_source()
    standing = PromotionEvent.objects.filter(kind=kind, source=source, undone_by__isnull=True)
    newest = standing.exclude(action=PromotionEvent.Action.ROLLBACK).order_by("-pk").first()
    label = gettext(str(Kind(kind).label))

    def act(values: dict[str, Any]) -> str:
        event = _carry_out(lambda: registry.rollback(kind, source, request.user.get_username(), values["reason"]))
        return gettext("%(kind)s is back at %(digest)s.") % {
            "kind": label,
            "digest": event.to_version.digest[:12] if event.to_version else "–",
        }

    back_to = newest.from_version if newest else None
    explanation = gettext("There is no promotion to undo: the first champion replaced no version.")
    if newest is not None and back_to is not None:
        explanation = gettext("Undoes the promotion of %(time)s UTC by %(actor)s: %(reason)s") % {
            "time": f"{newest.at:%Y-%m-%d %H:%M}",
            "actor": newest.actor,
            "reason": newest.reason,
        }
    return decide(
        request,
        ReasonForm(request.POST or None),
        act,
        back=reverse("console:models"),
        template="console/promotion_sheet.html",
        title=gettext("Roll back: %(kind)s") % {"kind": label},
        explanation=explanation,
        button=gettext("Roll back"),
        danger=True,
        impossible=back_to is None,
        **(_change(back_to, newest.to_version) if back_to is not None and newest is not None else {}),
    )


@decision(MAY_REQUEST)
def train(request: HttpRequest) -> HttpResponse:
    """Start a training."""

    def act(values: dict[str, Any]) -> str:
        arguments = {"kinds": values["kinds"], "small": values["small"]}
        job = control.request_training(request.user.get_username(), arguments)
        log_change(request, job, values["reason"], added=True)
        return gettext("Training requested; a worker takes it within seconds.")

    return decide(
        request,
        TrainingForm(request.POST or None),
        act,
        back=reverse("console:models"),
        title=gettext("Start a training"),
        explanation=gettext(
            "Trains candidates on all stored candles of the enabled markets, in a process of its own. The champions "
            "stay active until a candidate is promoted; a kind without a champion gets its first."
        ),
        button=gettext("Start training"),
    )


@decision(MAY_CANCEL)
def cancel(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Cancel a pending or running job."""
    job = get_object_or_404(Job, pk=job_id)
    back = {Job.Kind.TRAINING: "console:models", Job.Kind.BACKFILL: "console:data"}.get(job.kind, "console:operations")  # type: ignore[call-overload]

    def act(values: dict[str, Any]) -> str:
        if not control.cancel(job):
            raise Refused(gettext("The job had already ended."))
        log_change(request, job, values["reason"])
        return gettext("The job is being stopped.")

    return decide(
        request,
        ReasonForm(request.POST or None),
        act,
        back=reverse(back),
        title=gettext("Cancel: %(kind)s") % {"kind": gettext(job.get_kind_display())},
        explanation=gettext("It stops within seconds. What it stored so far is kept; nothing is left half-written."),
        button=gettext("Cancel the job"),
        danger=True,
    )


def _change(incoming: ModelVersion, outgoing: ModelVersion | None) -> dict[str, Any]:
    """What a promotion changes: both versions and the figures in both reports."""
    return {
        "incoming": shown_whole(incoming),
        "outgoing": shown_whole(outgoing) if outgoing else None,
        "differences": differences(incoming.report, outgoing.report) if outgoing else [],
    }


def _carry_out(step: Callable[[], PromotionEvent]) -> PromotionEvent:
    try:
        return step()
    except PromotionRefused as refused:
        raise Refused("; ".join(refused.reasons)) from refused
    except FilesRemovedError as removed:
        raise Refused(str(removed)) from removed
    except ModelLoadError as damaged:
        words = gettext("The artifact cannot be used (%(why)s); the champion stays.") % {"why": damaged}
        raise Refused(words) from damaged
