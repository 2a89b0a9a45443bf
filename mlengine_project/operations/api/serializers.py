"""Serializers of jobs and health."""

from typing import Any

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field
from rest_framework import serializers

from marketdata.api.request_fields import Body, Choice
from mlengine_project.operations.jobs.fields import (
    NO_ARGUMENTS,
    BackfillArguments,
    BackfillResult,
    BootstrapResult,
    Outcome,
    TrainingArguments,
    TrainingResult,
    typed,
)
from mlengine_project.operations.models import Job

HEALTH = (("healthy", "healthy"), ("degraded", "degraded"), ("unhealthy", "unhealthy"))


class JobSerializer(serializers.ModelSerializer):
    """A training, backfill, bootstrap or retention run, from its request to its result."""

    class Meta:
        """Public fields; slot and queue state are internal."""

        model = Job
        fields = (
            "id",
            "kind",
            "state",
            "progress",
            "message",
            "arguments",
            "result",
            "asked_by",
            "created_at",
            "started_at",
            "ended_at",
        )
        read_only_fields = fields


def _kind_field(kind: Job.Kind) -> serializers.CharField:
    """Field of the one kind that a shape of jobs has."""

    @extend_schema_field({"type": "string", "enum": [kind.value]})
    class KindField(serializers.CharField):
        """A kind of jobs."""

    return KindField()


class TrainingJobSerializer(JobSerializer):
    """A training, from its request to the versions it made."""

    kind = _kind_field(Job.Kind.TRAINING)
    arguments = typed(TrainingArguments)
    result = typed(TrainingResult)


class BackfillJobSerializer(JobSerializer):
    """A backfill, from its request to what is complete afterwards."""

    kind = _kind_field(Job.Kind.BACKFILL)
    arguments = typed(BackfillArguments)
    result = typed(BackfillResult)


class BootstrapJobSerializer(JobSerializer):
    """A bootstrap, from its request to the training it requested."""

    kind = _kind_field(Job.Kind.BOOTSTRAP)
    arguments = typed(NO_ARGUMENTS)
    result = typed(BootstrapResult)


class RetentionJobSerializer(JobSerializer):
    """A retention run, from its request to the folders it removed."""

    kind = _kind_field(Job.Kind.RETENTION)
    arguments = typed(NO_ARGUMENTS)
    result = typed(Outcome)


JOB_SHAPES: dict[str, Any] = {
    Job.Kind.TRAINING.value: TrainingJobSerializer,
    Job.Kind.BACKFILL.value: BackfillJobSerializer,
    Job.Kind.BOOTSTRAP.value: BootstrapJobSerializer,
    Job.Kind.RETENTION.value: RetentionJobSerializer,
}
ANY_JOB = PolymorphicProxySerializer(component_name="Job", serializers=JOB_SHAPES, resource_type_field_name="kind")
JOBS = PolymorphicProxySerializer(
    component_name="Job", serializers=JOB_SHAPES, resource_type_field_name="kind", many=True
)


class TrainingJobRequest(Body):
    """Train candidates."""

    kind = _kind_field(Job.Kind.TRAINING)
    arguments = TrainingArguments(required=False, default=dict)


class BackfillJobRequest(Body):
    """Fetch history from the exchange."""

    kind = _kind_field(Job.Kind.BACKFILL)
    arguments = BackfillArguments(required=False, default=dict)


REQUESTS: dict[str, Any] = {
    Job.Kind.TRAINING.value: TrainingJobRequest,
    Job.Kind.BACKFILL.value: BackfillJobRequest,
}
ANY_REQUEST = PolymorphicProxySerializer(
    component_name="JobAsked", serializers=REQUESTS, resource_type_field_name="kind"
)


class JobKindRequest(serializers.Serializer):
    """Which kind of job is requested."""

    kind = Choice([(kind, kind) for kind in REQUESTS])


class AliveSerializer(serializers.Serializer):
    """The process answers; nothing else is said."""

    status = serializers.ChoiceField(choices=["healthy"])


class ReadySerializer(serializers.Serializer):
    """Whether requests should be sent here."""

    status = serializers.ChoiceField(choices=["ready", "not ready"])
    causes = serializers.ListField(child=serializers.CharField(), help_text="Names only; empty when ready.")


class PartSerializer(serializers.Serializer):
    """One part of the engine; further fields depend on the part."""

    status = serializers.ChoiceField(choices=HEALTH)
    message = serializers.CharField(help_text="Empty when healthy.")


class DetailedHealthSerializer(serializers.Serializer):
    """The engine part by part; `status` is that of the worst part that matters."""

    status = serializers.ChoiceField(choices=HEALTH)
    models = PartSerializer()
    cache = PartSerializer()
    database = PartSerializer()
    binance = PartSerializer()
    celery = PartSerializer()
    beat = PartSerializer()
    stream = PartSerializer()
    data_age_seconds = serializers.DictField(
        child=serializers.FloatField(allow_null=True),
        help_text="{symbol: market time minus the newest candle's close}.",
    )
