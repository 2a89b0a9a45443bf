"""Admin of the beat schedule in the theme of the rest; imported by `admin`."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django_celery_beat.admin import ClockedScheduleAdmin as BeatClockedScheduleAdmin
from django_celery_beat.admin import CrontabScheduleAdmin as BeatCrontabScheduleAdmin
from django_celery_beat.admin import PeriodicTaskAdmin as BeatPeriodicTaskAdmin
from django_celery_beat.admin import PeriodicTaskForm, TaskSelectWidget
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from mlengine_project.operations.scheduling.words import schedule_warning

for scheduled in (PeriodicTask, CrontabSchedule, IntervalSchedule, ClockedSchedule, SolarSchedule):
    admin.site.unregister(scheduled)


class TaskSelect(UnfoldAdminSelectWidget, TaskSelectWidget):
    """The list of registered tasks with the admin theme's style."""


class ScheduleForm(PeriodicTaskForm):
    """Form of a schedule row."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = TaskSelect()


@admin.register(PeriodicTask)
class ScheduleAdmin(BeatPeriodicTaskAdmin, ModelAdmin):
    """Admin of schedule rows; edits are kept on restart."""

    form = ScheduleForm
    list_fullwidth = True
    date_hierarchy = None

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: PeriodicTask | None = None, **options: Any
    ) -> HttpResponse:
        """The form, under a warning where the stored schedule trains too often."""
        if request.method == "GET" and obj is not None:
            _warn(request, obj)
        response: HttpResponse = super().render_change_form(request, context, *args, obj=obj, **options)
        return response

    def save_model(self, request: HttpRequest, obj: PeriodicTask, *args: Any, **options: Any) -> None:
        """Save the row, with a warning if it trains too often."""
        super().save_model(request, obj, *args, **options)
        _warn(request, obj)


def _warn(request: HttpRequest, row: PeriodicTask) -> None:
    if row.crontab is None:
        return
    warning = schedule_warning(row.task, row.crontab.minute, row.crontab.hour)
    if warning:
        messages.warning(request, warning)


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(BeatCrontabScheduleAdmin, ModelAdmin):
    """Admin of crontab schedules."""


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(ModelAdmin):
    """Admin of interval schedules."""


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(BeatClockedScheduleAdmin, ModelAdmin):
    """Admin of one-time schedules."""
