"""Jobs, heartbeats of processes, and shared counters."""

import uuid
from typing import ClassVar

from django.db import models


class Job(models.Model):
    """A training, backfill, retention or bootstrap, from its request to its end."""

    class State(models.TextChoices):
        """State of the job."""

        PENDING = "pending", "Pending"
        RUNNING = "running", "Running"
        SUCCEEDED = "succeeded", "Succeeded"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    class Kind(models.TextChoices):
        """Kind of the job."""

        TRAINING = "training", "Training"
        BACKFILL = "backfill", "Backfill"
        RETENTION = "retention", "Retention"
        BOOTSTRAP = "bootstrap", "Bootstrap"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    slot = models.CharField(max_length=100, unique=True, null=True, blank=True, help_text="Makes a repeat a no-op.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    arguments = models.JSONField(default=dict)
    progress = models.FloatField(default=0.0, help_text="0 to 1.")
    message = models.CharField(max_length=300, blank=True)
    result = models.JSONField(default=dict)
    asked_by = models.CharField(max_length=150, blank=True)
    cancel_requested = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """Newest first."""

        db_table = "jobs"
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.kind} {self.state}"


class Heartbeat(models.Model):
    """The last heartbeat of one process, and what it has loaded."""

    name = models.CharField(max_length=100, primary_key=True, help_text="beat, stream, worker:host:pid, web:host:pid.")
    part = models.CharField(max_length=20, help_text="beat, stream, worker or web.")
    at = models.DateTimeField()
    detail = models.JSONField(default=dict, help_text="For web and workers: the model versions loaded.")

    class Meta:
        """Newest first."""

        db_table = "heartbeats"
        ordering: ClassVar = ["-at"]

    def __str__(self) -> str:
        return self.name


class Counter(models.Model):
    """A monotone counter shared by all processes, exported to Prometheus."""

    name = models.CharField(max_length=60)
    labels = models.CharField(max_length=200, blank=True, help_text="Sorted `k=v` pairs joined by commas.")
    value = models.FloatField(default=0)

    class Meta:
        """Unique by series."""

        db_table = "counters"
        constraints: ClassVar = [models.UniqueConstraint(fields=["name", "labels"], name="counter_is_unique")]

    def __str__(self) -> str:
        return f"{self.name}{{{self.labels}}}"
