"""Admin of the beat schedule in the theme of the rest; imported by `admin`."""

from typing import Any

from django.contrib import admin
from django_celery_beat.admin import ClockedScheduleAdmin as BeatClockedScheduleAdmin
from django_celery_beat.admin import CrontabScheduleAdmin as BeatCrontabScheduleAdmin
from django_celery_beat.admin import PeriodicTaskAdmin as BeatPeriodicTaskAdmin
from django_celery_beat.admin import PeriodicTaskForm, TaskSelectWidget
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

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


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(BeatCrontabScheduleAdmin, ModelAdmin):
    """Admin of crontab schedules."""


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(ModelAdmin):
    """Admin of interval schedules."""


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(BeatClockedScheduleAdmin, ModelAdmin):
    """Admin of one-time schedules."""
