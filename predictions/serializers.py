"""The shapes of predictions, brackets and touches: what may be asked and what is answered."""

from rest_framework import serializers

from marketdata.request_fields import (
    Body,
    Choice,
    Instant,
    ListOf,
    PriceField,
    Query,
    SymbolField,
    WholeNumber,
    YesNo,
)
from marketdata.serializers import DecimalText
from modelregistry.serializers import ModelVersionsField
from predictions.reasons import WORDS

SIDES = (("buy", "buy"), ("sell", "sell"))
REASONS = tuple((code, code) for code in WORDS)
MOST_PRICES = 1000


class PredictionRequest(Body):
    """Which market, how far ahead."""

    symbol = SymbolField()
    horizon = WholeNumber(help_text="Candles ahead; one of those `/markets` lists.")


class BoundsSerializer(serializers.Serializer):
    """The two ends of a band, as prices."""

    lower = DecimalText()
    upper = DecimalText()


class BandSerializer(serializers.Serializer):
    """Where the highest high and the lowest low of the horizon lie, each with this probability."""

    level = serializers.FloatField()
    high = BoundsSerializer()
    low = BoundsSerializer()


class CoverageSerializer(serializers.Serializer):
    """How often the band of this level held lately, as of `made_at`."""

    level = serializers.FloatField()
    high = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)
    n = serializers.IntegerField()

    class Meta:
        """Its name in the schema."""

        ref_name = "BandCoverage"


class PredictionSerializer(serializers.Serializer):
    """What the champions expect of one market from one candle on, and what became of it."""

    id = serializers.UUIDField()
    symbol = serializers.CharField()
    horizon = serializers.IntegerField(help_text="Candles ahead.")
    candle_time = serializers.DateTimeField(help_text="Open of the last closed candle.")
    made_at = serializers.DateTimeField()
    valid_until = serializers.DateTimeField()
    current_price = DecimalText(help_text="That candle's close.")
    predicted_high = DecimalText(help_text="Median of the highest high.")
    predicted_low = DecimalText(help_text="Median of the lowest low.")
    bands = BandSerializer(many=True)
    coverage = CoverageSerializer(many=True)
    model_versions = ModelVersionsField()
    data_age_seconds = serializers.FloatField(help_text="Market time minus the candle's close, at `made_at`.")
    degraded = serializers.BooleanField()
    reasons = serializers.ListField(
        child=serializers.ChoiceField(choices=REASONS), help_text="Codes, most important first."
    )
    reason_details = serializers.DictField(child=serializers.CharField(), help_text="{code: text}.")
    simulated = serializers.BooleanField()
    actual_high = DecimalText(allow_null=True, help_text="Null until due.")
    actual_low = DecimalText(allow_null=True, help_text="Null until due.")
    mae = serializers.FloatField(allow_null=True, help_text="Percent of `current_price`; null until due.")


class PredictionQuery(Query):
    """Which part of the log."""

    spans_time = True
    symbol = SymbolField(required=False)
    horizon = WholeNumber(in_query=True, required=False)
    latest = YesNo(required=False, help_text="`true`: only the newest of each market and horizon.")


class BracketRequest(Body):
    """A take-profit and a stop-loss around the newest close."""

    symbol = SymbolField()
    side = Choice(SIDES)
    horizon = WholeNumber()
    take_profit = PriceField()
    stop_loss = PriceField()


class BracketSerializer(serializers.Serializer):
    """How likely either level is reached first, and what the bracket is worth after costs."""

    symbol = serializers.CharField()
    side = serializers.ChoiceField(choices=SIDES)
    horizon = serializers.IntegerField()
    candle_time = serializers.DateTimeField()
    entry_price = DecimalText(help_text="The close.")
    take_profit = DecimalText()
    stop_loss = DecimalText()
    p_take_profit = serializers.FloatField(allow_null=True)
    p_stop_loss = serializers.FloatField(allow_null=True)
    p_neither = serializers.FloatField(allow_null=True)
    p_break_even = serializers.FloatField(
        allow_null=True, help_text="The p_take_profit at which nothing is earned or lost."
    )
    expected_net_return = serializers.FloatField(allow_null=True, help_text="A fraction, after fees and slippage.")
    expected_candles_to_touch = serializers.FloatField(allow_null=True)
    fee_to_move = serializers.FloatField(allow_null=True, help_text="Costs over the move expected.")
    fee_rate = serializers.FloatField(help_text="A side.")
    model_versions = ModelVersionsField()
    reasons = serializers.ListField(child=serializers.ChoiceField(choices=REASONS))
    reason_details = serializers.DictField(child=serializers.CharField())
    simulated = serializers.BooleanField()


class TouchRequest(Body):
    """Prices that may be reached."""

    symbol = SymbolField()
    horizon = WholeNumber()
    prices = ListOf(child=PriceField(), min_length=1, max_length=MOST_PRICES)


class TouchSerializer(serializers.Serializer):
    """One price and its chance."""

    price = DecimalText()
    p_reached = serializers.FloatField(allow_null=True)


class TouchesSerializer(serializers.Serializer):
    """The chance that each price is reached within the horizon."""

    symbol = serializers.CharField()
    horizon = serializers.IntegerField()
    candle_time = serializers.DateTimeField()
    simulated = serializers.BooleanField()
    results = TouchSerializer(many=True)


class TrackRecordQuery(Query):
    """Which scores."""

    symbol = SymbolField(required=False)
    horizon = WholeNumber(in_query=True, required=False)
    version = serializers.UUIDField(required=False, help_text="Of the range predictor.")
    since = Instant(required=False, help_text="Answers to candles from then on; the last 90 days when left out.")


class TwoSidesSerializer(serializers.Serializer):
    """One number for each target."""

    high = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)


class CoveredSerializer(TwoSidesSerializer):
    """How often the band of this level held."""

    level = serializers.FloatField()


class CalibrationSerializer(serializers.Serializer):
    """How often the outcome was below the quantile of this level; the level itself is perfect."""

    level = serializers.FloatField()
    high_below = serializers.FloatField(allow_null=True)
    low_below = serializers.FloatField(allow_null=True)


class NetSerializer(serializers.Serializer):
    """What its signals earned after fees."""

    signals = serializers.IntegerField()
    mean_percent = serializers.FloatField(allow_null=True)
    total_percent = serializers.FloatField(allow_null=True)


class BesideSerializer(serializers.Serializer):
    """Beside what costs nothing."""

    ewm = serializers.FloatField(allow_null=True, help_text="The walk without drift at EWM volatility.")
    har_season = serializers.FloatField(
        allow_null=True,
        help_text="HAR with time of day, as fitted when the version was trained; null for one that keeps none.",
    )


class ScoreSerializer(serializers.Serializer):
    """How right one version was about one market and horizon."""

    symbol = serializers.CharField()
    horizon = serializers.IntegerField()
    version = serializers.CharField(help_text="Of the range predictor.")
    simulated = serializers.BooleanField()
    n = serializers.IntegerField(help_text="Outcomes scored.")
    n_final = serializers.IntegerField(help_text="Their candles were re-read and stand.")
    n_provisional = serializers.IntegerField()
    effective_n = serializers.IntegerField(help_text="Outcomes that do not overlap.")
    too_few = serializers.BooleanField(help_text="Too few of them to tell anything.")
    mae_percent = serializers.FloatField(allow_null=True)
    bias_bps = TwoSidesSerializer(help_text="Median prediction over outcome, basis points.")
    pinball_bps = serializers.FloatField(allow_null=True, help_text="Mean over levels and both targets.")
    baselines = BesideSerializer(help_text="The same loss of what costs nothing.")
    skill = BesideSerializer(help_text="1 - loss / baseline's loss.")
    coverage = CoveredSerializer(many=True)
    calibration = CalibrationSerializer(many=True)
    net = NetSerializer()

    def get_fields(self) -> dict[str, serializers.Field]:
        """With the two ends of the stretch; `from` is no Python name."""
        fields: dict[str, serializers.Field] = super().get_fields()
        fields["from"] = serializers.DateTimeField(help_text="Open of the first candle answered.")
        fields["to"] = serializers.DateTimeField(help_text="Open of the last one.")
        return fields
