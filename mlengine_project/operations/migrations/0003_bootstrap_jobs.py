"""Jobs that bring a new installation to its first champions. Going back cancels them, and removes their row."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def cancel_bootstraps(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Leave nothing to run that an older version does not know."""
    jobs = apps.get_model("operations", "Job").objects.filter(kind="bootstrap", state__in=["pending", "running"])
    jobs.update(state="cancelled", message="cancelled by going back to an older version")
    task = "mlengine_project.operations.tasks.request_bootstrap"
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(task=task).delete()


class Migration(migrations.Migration):
    """One more kind of job."""

    dependencies = [("operations", "0002_retention_jobs")]
    operations = [
        migrations.AlterField(
            model_name="job",
            name="kind",
            field=models.CharField(
                choices=[
                    ("training", "Training"),
                    ("backfill", "Backfill"),
                    ("retention", "Retention"),
                    ("bootstrap", "Bootstrap"),
                ],
                max_length=10,
            ),
        ),
        migrations.RunPython(migrations.RunPython.noop, cancel_bootstraps),
    ]
