"""Serializers of model versions, champions and their reports."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from marketdata.api.request_fields import Choice, Instant, Query
from marketdata.models import Source
from modelregistry.evaluation.reports.as_json import published, reference
from modelregistry.models import Kind, ModelVersion


@extend_schema_field(reference("ModelReport"))
class ReportField(serializers.JSONField):
    """Report of a version in its published form."""

    def to_representation(self, value: Any) -> Any:
        """Convert every skill to a fraction."""
        return published(value)


@extend_schema_field({"oneOf": [reference("ModelReport"), {"enum": [None]}], "nullable": True})
class MetricsField(serializers.Field):
    """Report of a champion, or null."""


@extend_schema_field(reference("Hyperparameters"))
class HyperparametersField(serializers.JSONField):
    """Hyper-parameters of a training."""


@extend_schema_field(
    {
        "type": "object",
        "description": "Id of the version behind the forecast, by kind.",
        "properties": {kind: {"type": "string", "format": "uuid"} for kind in Kind.values},
        "additionalProperties": False,
    }
)
class ModelVersionsField(serializers.Field):
    """Ids of the champions behind a forecast, by kind."""


class ModelVersionSerializer(serializers.ModelSerializer):
    """One trained estimator: training data, out-of-sample scores and stage."""

    hyperparameters = HyperparametersField()
    libraries = serializers.DictField(child=serializers.CharField(), help_text="{name: version}.")
    report = ReportField(help_text="Out-of-sample metrics beside the baselines.")
    symbols = serializers.ListField(child=serializers.CharField())
    horizons = serializers.ListField(child=serializers.IntegerField())
    gate_reasons = serializers.ListField(child=serializers.CharField())
    files_kept = serializers.BooleanField(
        read_only=True, help_text="False once retention removed its files: it cannot forecast, its report stays."
    )

    class Meta:
        """All fields; none is secret."""

        model = ModelVersion
        fields = (
            "id",
            "kind",
            "source",
            "stage",
            "digest",
            "symbols",
            "horizons",
            "feature_hash",
            "trained_from",
            "trained_until",
            "row_count",
            "seed",
            "hyperparameters",
            "libraries",
            "report",
            "gate_accepted",
            "gate_reasons",
            "unproven",
            "training_seconds",
            "files_kept",
            "created_at",
        )
        read_only_fields = fields


class SilentComparisonSerializer(serializers.Serializer):
    """Comparison of a candidate's unpublished forecasts with the champion's on the same live candles."""

    symbol = serializers.CharField(help_text="`all` for the mean over markets and horizons.")
    horizon = serializers.IntegerField(allow_null=True, help_text="Candles ahead; null for `all`.")
    n = serializers.IntegerField(help_text="Forecasts scored.")
    effective_n = serializers.IntegerField(help_text="How many of them do not overlap.")
    too_few = serializers.BooleanField(help_text="Too few for a conclusion.")
    loss = serializers.FloatField()
    champion_loss = serializers.FloatField()
    gain = serializers.FloatField(allow_null=True, help_text="1 - loss / champion loss.")
    lower = serializers.FloatField(allow_null=True, help_text="Of a 95 % block bootstrap interval over days and weeks.")
    upper = serializers.FloatField(allow_null=True)


class ModelVersionDetailSerializer(ModelVersionSerializer):
    """One version with the comparison of its unpublished forecasts."""

    silent_comparison = serializers.SerializerMethodField(
        help_text="Per market and horizon, then `all`; empty for other stages, or without scored forecasts."
    )

    class Meta:
        """All fields of a version, and the comparison."""

        model = ModelVersion
        fields = (*ModelVersionSerializer.Meta.fields, "silent_comparison")
        read_only_fields = fields

    @extend_schema_field(SilentComparisonSerializer(many=True))
    def get_silent_comparison(self, version: ModelVersion) -> Any:
        """Comparison by the function that the composition root passes in the context."""
        compare = self.context.get("silent_comparison")
        return SilentComparisonSerializer(compare(version) if compare else [], many=True).data


class ChampionSerializer(serializers.Serializer):
    """Champion of one kind."""

    champion = serializers.UUIDField(allow_null=True, help_text="Id of the version; null without a champion.")
    digest = serializers.CharField(allow_null=True)
    unproven = serializers.BooleanField(allow_null=True, help_text="Bootstrap champion, not accepted by the gate.")
    trained_until = serializers.DateTimeField(allow_null=True)
    symbols = serializers.ListField(child=serializers.CharField())
    horizons = serializers.ListField(child=serializers.IntegerField())
    metrics = MetricsField(help_text="Its report, with the baselines beside it.")
    loaded_by = serializers.ListField(
        child=serializers.CharField(), help_text="Processes that have it in memory; empty for a time in the past."
    )


class ModelsStatusSerializer(serializers.Serializer):
    """Champion of each kind, now or at a given time."""

    at = serializers.DateTimeField()
    source = serializers.ChoiceField(choices=Source.choices)  # type: ignore[assignment]  # the stubs mean Field.source
    range_predictor = ChampionSerializer()
    tpsl_classifier = ChampionSerializer()
    signal_classifier = ChampionSerializer()


class StatusQuery(Query):
    """Time and source of a status query."""

    at = Instant(required=False, help_text="Champions at this time; now if omitted.")
    source = Choice(  # type: ignore[assignment]  # the stubs mean Field.source
        Source.choices, required=False, help_text="Default: the source of the enabled markets."
    )


class VersionQuery(Query):
    """Filters of the list of versions."""

    kind = Choice(Kind.choices, required=False)
    stage = Choice(ModelVersion.Stage.choices, required=False)
    source = Choice(Source.choices, required=False)  # type: ignore[assignment]  # the stubs mean Field.source
