"""The shapes of markets, candles and indicators as callers see them, and of the queries for them."""

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from marketdata.models import Candle
from marketdata.request_fields import INTERVALS, IntervalField, Query, SymbolField, Text, WholeNumber

MOST_ROWS = 1000
MARKET_STATUSES = ("enabled", "quarantined", "disabled")


@extend_schema_field({"type": "string", "format": "decimal", "pattern": r"^-?\d+\.\d{8}$", "example": "67123.45000000"})
class DecimalText(serializers.CharField):
    """A decimal string with 8 places."""


@extend_schema_field(
    {
        "type": "object",
        "additionalProperties": {"oneOf": [{"type": "string"}, {"type": "integer", "nullable": True}]},
    }
)
class CandleColumnsField(serializers.Field):
    """Columns of one candle by name."""


class MarketSerializer(serializers.Serializer):
    """One market this engine knows."""

    symbol = serializers.CharField()
    interval = serializers.ChoiceField(choices=INTERVALS, help_text="Length of a candle.")
    horizons = serializers.ListField(child=serializers.IntegerField(), help_text="Horizons served, in candles.")
    status = serializers.ChoiceField(choices=MARKET_STATUSES)
    message = serializers.CharField(help_text="What the feed last said about it.")
    newest_candle_time = serializers.DateTimeField(allow_null=True, help_text="Open of the newest stored candle.")
    live_since = serializers.DateTimeField(allow_null=True, help_text="Open of the first candle processed live.")
    simulated = serializers.BooleanField(help_text="Whether its prices are invented or replayed.")


class CandleSerializer(serializers.Serializer):
    """One closed candle."""

    open_time = serializers.DateTimeField()
    open = DecimalText()
    high = DecimalText()
    low = DecimalText()
    close = DecimalText()
    volume = DecimalText(help_text="In the base asset.")
    quote_volume = DecimalText(allow_null=True)
    trades = serializers.IntegerField(allow_null=True)
    taker_buy_base = DecimalText(allow_null=True)
    taker_buy_quote = DecimalText(allow_null=True)


class CandleQuery(Query):
    """Which candles."""

    spans_time = True
    symbol = SymbolField()
    interval = IntervalField(required=False)


class StretchSerializer(serializers.Serializer):
    """A run of candles, both ends as open times."""

    start = serializers.DateTimeField(help_text="Inclusive.")
    end = serializers.DateTimeField(help_text="Exclusive.")


class VainSerializer(StretchSerializer):
    """A stretch asked for in vain."""

    tries = serializers.IntegerField(help_text="How often it was asked for.")
    first_asked = serializers.DateTimeField(allow_null=True, help_text="Market time.")
    last_asked = serializers.DateTimeField(allow_null=True, help_text="Market time.")


class RevisionSerializer(serializers.Serializer):
    """A closed candle the exchange changed."""

    open_time = serializers.DateTimeField()
    seen_at = serializers.DateTimeField()
    origin = serializers.ChoiceField(choices=Candle.Origin.choices, help_text="Which way the change came.")
    before = CandleColumnsField(help_text="The columns before; decimals as text.")
    after = CandleColumnsField(help_text="The columns since.")


class RefusalSerializer(serializers.Serializer):
    """A message that broke a rule and was not stored."""

    seen_at = serializers.DateTimeField()
    origin = serializers.CharField()
    reason = serializers.CharField()
    raw = serializers.CharField(help_text="Its first 500 characters.")


class EvidenceSerializer(serializers.Serializer):
    """What stands behind the counts, newest first."""

    absences = VainSerializer(many=True, help_text="Known to be absent at the exchange; at most 100.")
    suspicions = VainSerializer(many=True, help_text="Still counted as missing, asked for in vain; at most 100.")
    revisions = RevisionSerializer(many=True, help_text="At most 20.")
    refusals = RefusalSerializer(many=True, help_text="The newest of this market whatever the span; at most 20.")


class CoverageSerializer(serializers.Serializer):
    """The ledger of one market: every candle of the span is stored, missing or absent."""

    symbol = serializers.CharField()
    interval = serializers.ChoiceField(choices=INTERVALS)
    start = serializers.DateTimeField(allow_null=True)
    end = serializers.DateTimeField(allow_null=True)
    expected = serializers.IntegerField(help_text="Candles the span has room for.")
    stored = serializers.IntegerField()
    missing = serializers.IntegerField(help_text="Not stored and not explained; being repaired.")
    absent = serializers.IntegerField(help_text="The exchange itself does not have them.")
    revised = serializers.IntegerField(help_text="Changed by the exchange after the close.")
    quarantined = serializers.IntegerField(help_text="Messages that broke a rule and were not stored.")
    share = serializers.FloatField(allow_null=True, help_text="Stored over expected, 0 to 1.")
    holes = StretchSerializer(many=True, help_text="The missing stretches, newest first, at most 100.")
    absences = StretchSerializer(many=True, help_text="The absent stretches, newest first, at most 100.")
    evidence = EvidenceSerializer()
    simulated = serializers.BooleanField()


class IndicatorQuery(Query):
    """Which indicators, of which market, how far back."""

    symbol = SymbolField()
    names = Text(
        required=False,
        max_length=2000,
        help_text="Indicators or outputs of the catalogue, separated by commas; all when left out.",
    )
    limit = WholeNumber(in_query=True, required=False, min_value=1, max_value=MOST_ROWS, default=100)
    interval = IntervalField(required=False)


class IndicatorRowSerializer(serializers.Serializer):
    """All values asked for at one candle."""

    candle_time = serializers.DateTimeField()
    values = serializers.DictField(
        child=serializers.FloatField(allow_null=True), help_text="{name: value}; null where it cannot be computed."
    )


class IndicatorValuesSerializer(serializers.Serializer):
    """Indicator values, newest last."""

    symbol = serializers.CharField()
    interval = serializers.ChoiceField(choices=INTERVALS)
    simulated = serializers.BooleanField()
    results = IndicatorRowSerializer(many=True)


class IndicatorSpecSerializer(serializers.Serializer):
    """One entry of the catalogue."""

    name = serializers.CharField()
    family = serializers.CharField()
    parameters = serializers.DictField(child=serializers.FloatField())
    units = serializers.CharField()
    warm_up = serializers.IntegerField(help_text="Candles needed before the first value.")
    range = serializers.ListField(
        child=serializers.FloatField(allow_null=True), allow_null=True, help_text="Least and greatest; null is open."
    )
    description = serializers.CharField()
    outputs = serializers.ListField(child=serializers.CharField())


class IndicatorCatalogSerializer(serializers.Serializer):
    """Everything `/indicators` can compute."""

    results = IndicatorSpecSerializer(many=True)
