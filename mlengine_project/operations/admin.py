"""Admin pages of jobs, heartbeats and counters."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
)

from marketdata import clock
from marketdata.admin_pages import (
    ReadOnlyAdmin,
    SwitchField,
    age_of,
    column,
    confirm_step,
    cut,
    posted,
    progress_bar,
    row_of,
    significant,
)
from marketdata.models import Market
from mlengine_project.operations import schedule_admin
from mlengine_project.operations.jobs import control
from mlengine_project.operations.models import Counter, Heartbeat, Job
from modelregistry.models import Kind

__all__ = ["schedule_admin"]  # registers the schedule's pages
STATES = {"Running": "info", "Succeeded": "success", "Failed": "danger", "Cancelled": "default"}


class TrainingForm(forms.Form):
    """Arguments of a training."""

    kinds = forms.MultipleChoiceField(
        choices=Kind.choices,
        initial=Kind.values,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="Each becomes a candidate; the first one of a kind without a champion is promoted.",
    )

    small = SwitchField(label="Quick", help_text="Fewer rows and fewer trees: minutes instead of a long run.")


class BackfillForm(forms.Form):
    """Arguments of a backfill."""

    symbols = forms.MultipleChoiceField(widget=UnfoldAdminCheckboxSelectMultipleWidget)
    days = forms.IntegerField(
        min_value=1, max_value=4000, initial=90, widget=UnfoldAdminIntegerFieldWidget, help_text="Days back from now."
    )

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        symbols = list(Market.objects.enabled().values_list("symbol", flat=True))
        self.fields["symbols"].choices = [(symbol, symbol) for symbol in symbols]  # type: ignore[attr-defined]
        self.fields["symbols"].initial = symbols


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """Admin of jobs, with their progress."""

    list_display = ["kind", "state_label", "bar", column("message", cut), "asked_by", "created", "took"]
    list_filter = ["kind", "state"]
    fieldsets = [
        (None, {"fields": ["kind", "state_label", "bar", "message", "cancel_requested", "asked_by"]}),
        ("Times", {"fields": ["created_at", "started_at", "heartbeat_at", "ended_at"]}),
        ("Arguments and result", {"fields": ["arguments", "result", "slot"]}),
    ]
    readonly_fields = ["state_label", "bar"]
    actions_list = ["retrain_now", "backfill"]
    actions_detail = ["cancel_job"]

    @display(description="State", ordering="state", label=STATES)
    def state_label(self, job: Job) -> str:
        """State of the job."""
        return job.get_state_display()

    @display(description="Progress", ordering="progress")
    def bar(self, job: Job) -> str:
        """Progress bar with its percentage."""
        return progress_bar(1.0 if job.state == Job.State.SUCCEEDED else job.progress)

    @display(description="Requested", ordering="created_at")
    def created(self, job: Job) -> str:
        """Age of the row."""
        return age_of(job.created_at)

    @display(description="Took")
    def took(self, job: Job) -> str:
        """Duration of the job."""
        if not job.started_at or not job.ended_at:
            return "–"
        seconds = int((job.ended_at - job.started_at).total_seconds())
        return f"{seconds // 60} min {seconds % 60} s"

    def has_request_permission(self, request: HttpRequest, object_id: Any = None) -> bool:  # noqa: ARG002
        """Permission check of the actions; naming the permission itself would make every check read the database."""
        return bool(request.user.has_perm("operations.add_job"))

    def has_stop_permission(self, request: HttpRequest, object_id: Any = None) -> bool:  # noqa: ARG002
        """Permission check of the actions; naming the permission itself would make every check read the database."""
        return bool(request.user.has_perm("operations.change_job"))

    @action(
        description="Retrain now",
        icon="model_training",
        permissions=["request"],
        variant=ActionVariant.PRIMARY,
    )
    def retrain_now(self, request: HttpRequest) -> HttpResponse:
        """Request a training."""
        form = TrainingForm(posted(request))
        if form.is_valid():
            arguments = {"kinds": form.cleaned_data["kinds"], "small": form.cleaned_data["small"]}
            job = control.request_training(request.user.get_username(), arguments)
            return self._requested(request, job)
        return confirm_step(
            request,
            self,
            title="Retrain now",
            explanation="Trains candidates on all stored candles of the enabled markets, in a process of its own. "
            "The champions stay active until a candidate is promoted.",
            button="Start training",
            form=form,
            back=self._list(),
        )

    @action(description="Backfill", icon="history", permissions=["request"])
    def backfill(self, request: HttpRequest) -> HttpResponse:
        """Request history from the exchange."""
        form = BackfillForm(posted(request))
        if form.is_valid():
            values = form.cleaned_data
            begin = clock.market_now() - timedelta(days=values["days"])
            arguments = {"symbols": values["symbols"], "from": f"{begin:%Y-%m-%dT%H:%M:%SZ}"}
            job = control.request_backfill(request.user.get_username(), arguments)
            return self._requested(request, job)
        return confirm_step(
            request,
            self,
            title="Fetch history",
            explanation="Fetches missing candles within the exchange's request budget. Stored candles are kept.",
            button="Start backfill",
            form=form,
            back=self._list(),
        )

    @action(description="Cancel", icon="cancel", permissions=["stop"], variant=ActionVariant.DANGER)
    def cancel_job(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Stop a pending or running job."""
        job: Job = row_of(self, request, object_id)
        page = reverse("admin:operations_job_change", args=[job.pk])
        if request.method != "POST":
            return confirm_step(
                request,
                self,
                title=f"Cancel this {job.get_kind_display().lower()}",
                explanation="It stops within seconds. What it stored so far is kept; nothing is left half-written.",
                button="Cancel the job",
                form=forms.Form(),
                back=page,
                danger=True,
            )
        if control.cancel(job):
            self.log_change(request, job, "Cancelled.")
            messages.success(request, "The job is being stopped.")
        else:
            messages.warning(request, "The job had already ended.")
        return HttpResponseRedirect(page)

    def _requested(self, request: HttpRequest, job: Job) -> HttpResponse:
        self.log_addition(request, job, "Requested.")
        messages.success(request, f"{job.get_kind_display()} requested; a worker takes it within seconds.")
        return HttpResponseRedirect(reverse("admin:operations_job_change", args=[job.pk]))

    @staticmethod
    def _list() -> str:
        return reverse("admin:operations_job_changelist")


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    """Admin of the last heartbeat of every process."""

    list_display = ["name", "part", "seen", column("detail", lambda detail: cut(str(detail)))]
    list_filter = ["part"]

    @display(description="Last heartbeat", ordering="at")
    def seen(self, beat: Heartbeat) -> str:
        """Age of the row."""
        return age_of(beat.at)


@admin.register(Counter)
class CounterAdmin(ReadOnlyAdmin):
    """Admin of counters shared by all processes."""

    list_display = ["name", "labels", column("value", significant)]
    list_filter = ["name"]
    ordering = ["name", "labels"]
