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


class ThemedTaskSelect(UnfoldAdminSelectWidget, TaskSelectWidget):
    """The list of known tasks, in the admin's clothes."""


class ScheduleForm(PeriodicTaskForm):
    """A row of the schedule."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = ThemedTaskSelect()


@admin.register(PeriodicTask)
class ScheduleAdmin(BeatPeriodicTaskAdmin, ModelAdmin):
    """What runs when. Edits survive every restart."""

    form = ScheduleForm
    list_fullwidth = True
    date_hierarchy = None


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(BeatCrontabScheduleAdmin, ModelAdmin):
    """Times of day, week and month."""


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(ModelAdmin):
    """Every so many seconds, minutes, hours."""


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(BeatClockedScheduleAdmin, ModelAdmin):
    """One moment."""
