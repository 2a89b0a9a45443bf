"""API serializers of markets, candles and indicators, and of their queries."""

from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from marketdata.api.request_fields import Choice, IntervalField, Query, SymbolField, Text, WholeNumber
from marketdata.intervals import INTERVAL, INTERVALS
from marketdata.models import Candle

MAX_ROWS = 1000
STORED_INTERVALS = (INTERVAL,)
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
    interval = serializers.ChoiceField(choices=STORED_INTERVALS, help_text="Length of a stored candle.")
    horizons = serializers.ListField(child=serializers.IntegerField(), help_text="Horizons served, in candles.")
    status = serializers.ChoiceField(choices=MARKET_STATUSES)
    message = serializers.CharField(help_text="Last message of the feed about it.")
    newest_candle_time = serializers.DateTimeField(allow_null=True, help_text="Open of the newest stored candle.")
    live_since = serializers.DateTimeField(allow_null=True, help_text="Open of the first candle processed live.")
    simulated = serializers.BooleanField(help_text="Whether its prices are generated or replayed.")


class CandleSerializer(serializers.Serializer):
    """One closed candle; a longer one than of 5m is made from all of its parts that are stored."""

    open_time = serializers.DateTimeField(help_text="A multiple of the interval, counted in UTC.")
    open = DecimalText()
    high = DecimalText()
    low = DecimalText()
    close = DecimalText()
    volume = DecimalText(help_text="In the base asset.")
    quote_volume = DecimalText(allow_null=True, help_text="Null if it is unknown for any part, as the next three.")
    trades = serializers.IntegerField(allow_null=True)
    taker_buy_base = DecimalText(allow_null=True)
    taker_buy_quote = DecimalText(allow_null=True)
    missing = serializers.IntegerField(
        min_value=0, help_text="How many 5-minute parts of it are not stored; the other columns are of those that are."
    )


class CandleQuery(Query):
    """Selection of candles."""

    spans_time = True
    symbol = SymbolField()
    interval = IntervalField(default=INTERVAL)


class CoverageQuery(Query):
    """Selection of a stretch of the ledger."""

    spans_time = True
    symbol = SymbolField()
    interval = Choice(STORED_INTERVALS, required=False, help_text="The ledger counts stored candles.")


class StretchSerializer(serializers.Serializer):
    """A run of candles, both ends as open times."""

    start = serializers.DateTimeField(help_text="Inclusive.")
    end = serializers.DateTimeField(help_text="Exclusive.")


@extend_schema_serializer(component_name="Vain")  # the name clients generated from the schema have
class UnansweredStretchSerializer(StretchSerializer):
    """A stretch that was requested without result."""

    tries = serializers.IntegerField(help_text="Number of requests for it.")
    first_asked = serializers.DateTimeField(allow_null=True, help_text="Market time.")
    last_asked = serializers.DateTimeField(allow_null=True, help_text="Market time.")
    reason = serializers.CharField(
        help_text="Why it is absent, if known from the exchange: a halt, not listed yet, no longer traded."
    )


class RevisionSerializer(serializers.Serializer):
    """A closed candle the exchange changed."""

    open_time = serializers.DateTimeField()
    seen_at = serializers.DateTimeField()
    origin = serializers.ChoiceField(choices=Candle.Origin.choices, help_text="How the change was received.")
    before = CandleColumnsField(help_text="The columns before; decimals as text.")
    after = CandleColumnsField(help_text="The columns since.")


class RefusalSerializer(serializers.Serializer):
    """A message that broke a rule and was not stored."""

    seen_at = serializers.DateTimeField()
    origin = serializers.CharField()
    reason = serializers.CharField()
    raw = serializers.CharField(help_text="Its first 500 characters.")


class CutShortSerializer(serializers.Serializer):
    """A stored candle that closed early: the exchange was halted within it."""

    open_time = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(help_text="Its last millisecond.")
    origin = serializers.CharField()
    seen_at = serializers.DateTimeField()


class AheadSerializer(serializers.Serializer):
    """A stored row that opens after the market's clock; it is not used."""

    open_time = serializers.DateTimeField()
    origin = serializers.CharField()
    stored_at = serializers.DateTimeField()


class EvidenceSerializer(serializers.Serializer):
    """Evidence behind the counts, newest first."""

    absences = UnansweredStretchSerializer(many=True, help_text="Known to be absent at the exchange; at most 100.")
    suspicions = UnansweredStretchSerializer(
        many=True, help_text="Still counted as missing, requested without result; at most 100."
    )
    revisions = RevisionSerializer(many=True, help_text="At most 20.")
    refusals = RefusalSerializer(many=True, help_text="The newest of this market whatever the span; at most 20.")
    cut_short = CutShortSerializer(many=True, help_text="Candles a halt of the exchange ended early; at most 20.")
    ahead = AheadSerializer(many=True, help_text="Rows later than the market's clock, whatever the span; at most 20.")


class CoverageSerializer(serializers.Serializer):
    """The ledger of one market: every candle of the span is stored, missing or absent."""

    symbol = serializers.CharField()
    interval = serializers.ChoiceField(choices=STORED_INTERVALS)
    start = serializers.DateTimeField(allow_null=True)
    end = serializers.DateTimeField(allow_null=True)
    expected = serializers.IntegerField(help_text="Number of candles in the span.")
    stored = serializers.IntegerField()
    missing = serializers.IntegerField(help_text="Not stored and not recorded as absent; being fetched.")
    absent = serializers.IntegerField(help_text="The exchange itself does not have them.")
    revised = serializers.IntegerField(help_text="Changed by the exchange after the close.")
    quarantined = serializers.IntegerField(help_text="Messages that broke a rule and were not stored.")
    cut_short = serializers.IntegerField(help_text="Stored candles that a halt of the exchange ended early.")
    ahead = serializers.IntegerField(help_text="Rows later than the market's clock, not used and not counted.")
    share = serializers.FloatField(allow_null=True, help_text="Stored over expected, 0 to 1.")
    holes = StretchSerializer(many=True, help_text="The missing stretches, newest first, at most 100.")
    absences = StretchSerializer(many=True, help_text="The absent stretches, newest first, at most 100.")
    evidence = EvidenceSerializer()
    simulated = serializers.BooleanField()


class IndicatorQuery(Query):
    """Selection of indicators, market and number of candles."""

    symbol = SymbolField()
    names = Text(
        required=False,
        max_length=2000,
        help_text="Indicators or outputs of the catalogue, separated by commas; all when left out.",
    )
    limit = WholeNumber(in_query=True, required=False, min_value=1, max_value=MAX_ROWS, default=100)
    interval = IntervalField(default=INTERVAL)


class IndicatorRowSerializer(serializers.Serializer):
    """All requested values at one closed candle of the interval."""

    candle_time = serializers.DateTimeField(help_text="Open of the candle.")
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
    """All indicators of `/indicators`."""

    results = IndicatorSpecSerializer(many=True)
