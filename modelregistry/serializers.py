"""The shapes of versions, champions and the reports about them."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from marketdata.models import Source
from marketdata.request_fields import Choice, Instant, Query
from modelregistry.models import Kind, ModelVersion
from modelregistry.report_json import published, reference


@extend_schema_field(reference("ModelReport"))
class ReportField(serializers.JSONField):
    """Metrics as JSON shows them."""

    def to_representation(self, value: Any) -> Any:
        """Every skill a fraction."""
        return published(value)


@extend_schema_field({"oneOf": [reference("ModelReport"), {"enum": [None]}], "nullable": True})
class MetricsField(serializers.Field):
    """A champion's report, or none."""


@extend_schema_field(reference("Hyperparameters"))
class HyperparametersField(serializers.JSONField):
    """What the training was set to."""


@extend_schema_field(
    {
        "type": "object",
        "description": "Id of the version that answered, by kind.",
        "properties": {kind: {"type": "string", "format": "uuid"} for kind in Kind.values},
        "additionalProperties": False,
    }
)
class ModelVersionsField(serializers.Field):
    """{kind: id} of the champions behind an answer."""


class ModelVersionSerializer(serializers.ModelSerializer):
    """One trained estimator: what it learned from, how good it was on rows it never saw, what became of it."""

    hyperparameters = HyperparametersField()
    libraries = serializers.DictField(child=serializers.CharField(), help_text="{name: version}.")
    report = ReportField(help_text="Metrics on rows never seen, beside the baselines.")
    symbols = serializers.ListField(child=serializers.CharField())
    horizons = serializers.ListField(child=serializers.IntegerField())
    gate_reasons = serializers.ListField(child=serializers.CharField())
    files_kept = serializers.BooleanField(
        read_only=True, help_text="False once retention removed its files: it cannot answer, its report stays."
    )

    class Meta:
        """Everything; nothing about a version is secret to a key."""

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
    """A candidate beside the present champion on the same live candles, which nobody but the log was told."""

    symbol = serializers.CharField(help_text="`all` for the mean of all cells.")
    horizon = serializers.IntegerField(allow_null=True, help_text="Candles ahead; null for `all`.")
    n = serializers.IntegerField(help_text="Answers scored.")
    effective_n = serializers.IntegerField(help_text="How many of them do not overlap.")
    too_few = serializers.BooleanField(help_text="Too little to tell anything.")
    loss = serializers.FloatField()
    champion_loss = serializers.FloatField()
    gain = serializers.FloatField(allow_null=True, help_text="Share of the champion's loss saved.")
    lower = serializers.FloatField(allow_null=True, help_text="Of a 95 % interval from whole days and weeks.")
    upper = serializers.FloatField(allow_null=True)


class ModelVersionDetailSerializer(ModelVersionSerializer):
    """One version with what it has said silently since."""

    silent_comparison = serializers.SerializerMethodField(
        help_text="Per market and horizon, then `all`; empty for who is no candidate, or has no scored answer yet."
    )

    class Meta:
        """All of a version, and the comparison."""

        model = ModelVersion
        fields = (*ModelVersionSerializer.Meta.fields, "silent_comparison")
        read_only_fields = fields

    @extend_schema_field(SilentComparisonSerializer(many=True))
    def get_silent_comparison(self, version: ModelVersion) -> Any:
        """Ask whom the composition root named."""
        compare = self.context.get("silent_comparison")
        return SilentComparisonSerializer(compare(version) if compare else [], many=True).data


class ChampionSerializer(serializers.Serializer):
    """Who answers for one kind."""

    champion = serializers.UUIDField(allow_null=True, help_text="Id of the version; null when there is none.")
    digest = serializers.CharField(allow_null=True)
    unproven = serializers.BooleanField(allow_null=True, help_text="Crowned for want of another, not by the gate.")
    trained_until = serializers.DateTimeField(allow_null=True)
    symbols = serializers.ListField(child=serializers.CharField())
    horizons = serializers.ListField(child=serializers.IntegerField())
    metrics = MetricsField(help_text="Its report, with the baselines beside it.")
    loaded_by = serializers.ListField(
        child=serializers.CharField(), help_text="Processes that have it in memory; empty when asked about the past."
    )


class ModelsStatusSerializer(serializers.Serializer):
    """Who answers for each kind, now or at a time asked for."""

    at = serializers.DateTimeField()
    source = serializers.ChoiceField(choices=Source.choices)  # type: ignore[assignment]  # the stubs mean Field.source
    range_predictor = ChampionSerializer()
    tpsl_classifier = ChampionSerializer()
    signal_classifier = ChampionSerializer()


class StatusQuery(Query):
    """When, and of which source."""

    at = Instant(required=False, help_text="Who answered then; now when left out.")
    source = Choice(  # type: ignore[assignment]  # the stubs mean Field.source
        Source.choices, required=False, help_text="That of the enabled markets when left out."
    )


class VersionQuery(Query):
    """Which versions."""

    kind = Choice(Kind.choices, required=False)
    stage = Choice(ModelVersion.Stage.choices, required=False)
    source = Choice(Source.choices, required=False)  # type: ignore[assignment]  # the stubs mean Field.source
