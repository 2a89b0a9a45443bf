"""The shapes of jobs and health."""

from rest_framework import serializers

from mlengine_project.operations.models import Job

HEALTH = (("healthy", "healthy"), ("degraded", "degraded"), ("unhealthy", "unhealthy"))


class JobSerializer(serializers.ModelSerializer):
    """A training or backfill, from asking to its result."""

    class Meta:
        """What callers see; the slot and the queue's bookkeeping are ours."""

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
