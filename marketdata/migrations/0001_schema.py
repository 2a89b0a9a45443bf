"""The first migration; what creates the schema of every table is the database backend, before this one."""

from django.db import migrations


class Migration(migrations.Migration):
    """First of all migrations, those of Django and its libraries included."""

    initial = True
    dependencies: list[tuple[str, str]] = []
    run_before = [
        ("contenttypes", "0001_initial"),
        ("sessions", "0001_initial"),
        ("django_celery_beat", "0001_initial"),
    ]
    operations: list[migrations.RunPython] = []
