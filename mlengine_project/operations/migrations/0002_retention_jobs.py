"""Jobs that remove files of model versions. Going back cancels them, and removes the schedule's row that asks for them."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def cancel_retention(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Leave nothing to run that an older version does not know."""
    jobs = apps.get_model("operations", "Job").objects.filter(kind="retention", state__in=["pending", "running"])
    jobs.update(state="cancelled", message="cancelled by going back to an older version")
    task = "mlengine_project.operations.tasks.request_daily_retention"
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(task=task).delete()


class Migration(migrations.Migration):
    """One more kind of job."""

    dependencies = [("operations", "0001_initial"), ("django_celery_beat", "0001_initial")]
    operations = [
        migrations.AlterField(
            model_name="job",
            name="kind",
            field=models.CharField(
                choices=[("training", "Training"), ("backfill", "Backfill"), ("retention", "Retention")], max_length=10
            ),
        ),
        migrations.RunPython(migrations.RunPython.noop, cancel_retention),
    ]
