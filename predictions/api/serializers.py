"""Serializers of requests and responses of predictions, brackets, touches and track record."""

from rest_framework import serializers

from marketdata.api.request_fields import (
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
from marketdata.api.serializers import DecimalText
from modelregistry.api.serializers import ModelVersionsField
from predictions.reasons import REASON_TEXTS
from predictions.requests import MAX_PRICES

SIDES = (("buy", "buy"), ("sell", "sell"))
REASONS = tuple((code, code) for code in REASON_TEXTS)


class PredictionRequest(Body):
    """Request of a prediction: market and horizon."""

    symbol = SymbolField()
    horizon = WholeNumber(help_text="Candles ahead; one of those `/markets` lists.")


class BoundsSerializer(serializers.Serializer):
    """The two ends of a band, as prices."""

    lower = DecimalText()
    upper = DecimalText()


class BandSerializer(serializers.Serializer):
    """Intervals of the highest high and lowest low, each with this probability."""

    level = serializers.FloatField()
    high = BoundsSerializer()
    low = BoundsSerializer()


class CoverageSerializer(serializers.Serializer):
    """Realised coverage of the band of this level over the trailing month, as of `made_at`."""

    level = serializers.FloatField()
    high = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)
    n = serializers.IntegerField()

    class Meta:
        """Name in the schema."""

        ref_name = "BandCoverage"


class PredictionSerializer(serializers.Serializer):
    """Prediction of the champions for one market and candle, with its outcome."""

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
    """Filters of the prediction log."""

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
    """Probabilities of reaching either level first, and expected return after costs."""

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
        allow_null=True, help_text="The p_take_profit at which the expected net return is 0."
    )
    expected_net_return = serializers.FloatField(allow_null=True, help_text="A fraction, after fees and slippage.")
    expected_candles_to_touch = serializers.FloatField(allow_null=True)
    fee_to_move = serializers.FloatField(allow_null=True, help_text="Costs divided by the expected move.")
    fee_rate = serializers.FloatField(help_text="Fee per side, as a fraction.")
    model_versions = ModelVersionsField()
    reasons = serializers.ListField(child=serializers.ChoiceField(choices=REASONS))
    reason_details = serializers.DictField(child=serializers.CharField())
    simulated = serializers.BooleanField()


class TouchRequest(Body):
    """Request of touch probabilities for a list of prices."""

    symbol = SymbolField()
    horizon = WholeNumber()
    prices = ListOf(child=PriceField(), min_length=1, max_length=MAX_PRICES)


class TouchSerializer(serializers.Serializer):
    """A price and the probability that it is reached."""

    price = DecimalText()
    p_reached = serializers.FloatField(allow_null=True)


class TouchesSerializer(serializers.Serializer):
    """Probabilities that prices are reached within the horizon."""

    symbol = serializers.CharField()
    horizon = serializers.IntegerField()
    candle_time = serializers.DateTimeField()
    simulated = serializers.BooleanField()
    results = TouchSerializer(many=True)


class TrackRecordQuery(Query):
    """Filters of the track record."""

    symbol = SymbolField(required=False)
    horizon = WholeNumber(in_query=True, required=False)
    version = serializers.UUIDField(required=False, help_text="Of the range predictor.")
    since = Instant(required=False, help_text="Predictions for candles from then on; the last 90 days when left out.")


class TwoSidesSerializer(serializers.Serializer):
    """One number for the high and one for the low."""

    high = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)


class CoveredSerializer(TwoSidesSerializer):
    """Share of outcomes inside the band of this level."""

    level = serializers.FloatField()


class CalibrationSerializer(serializers.Serializer):
    """Share of outcomes below the quantile of this level; ideally the level itself."""

    level = serializers.FloatField()
    high_below = serializers.FloatField(allow_null=True)
    low_below = serializers.FloatField(allow_null=True)


class NetSerializer(serializers.Serializer):
    """Net return of the signals after fees."""

    signals = serializers.IntegerField()
    mean_percent = serializers.FloatField(allow_null=True)
    total_percent = serializers.FloatField(allow_null=True)


class BesideSerializer(serializers.Serializer):
    """One number for each reference baseline."""

    ewm = serializers.FloatField(allow_null=True, help_text="Random walk without drift at EWM volatility.")
    har_season = serializers.FloatField(
        allow_null=True,
        help_text="HAR with time of day, as fitted when the version was trained; null if none was stored.",
    )


class SkillIntervalSerializer(serializers.Serializer):
    """95 % interval."""

    lower = serializers.FloatField()
    upper = serializers.FloatField()


class BesideIntervalsSerializer(serializers.Serializer):
    """One interval for each reference baseline; null from fewer than ten days."""

    ewm = SkillIntervalSerializer(allow_null=True)
    har_season = SkillIntervalSerializer(allow_null=True)


class ScoreSerializer(serializers.Serializer):
    """Scores of one version for one market and horizon."""

    symbol = serializers.CharField()
    horizon = serializers.IntegerField()
    version = serializers.CharField(help_text="Of the range predictor.")
    simulated = serializers.BooleanField()
    n = serializers.IntegerField(help_text="Outcomes scored.")
    n_final = serializers.IntegerField(help_text="Outcomes whose candles were re-read and confirmed.")
    n_provisional = serializers.IntegerField()
    effective_n = serializers.IntegerField(help_text="Outcomes that do not overlap.")
    too_few = serializers.BooleanField(help_text="Too few independent outcomes for a conclusion.")
    mae_percent = serializers.FloatField(allow_null=True)
    bias_bps = TwoSidesSerializer(help_text="Mean log ratio of predicted median to outcome, basis points.")
    pinball_bps = serializers.FloatField(allow_null=True, help_text="Mean over levels and both targets.")
    baselines = BesideSerializer(help_text="The same loss of the reference baselines.")
    skill = BesideSerializer(help_text="1 - loss / baseline's loss.")
    skill_interval = BesideIntervalsSerializer(
        help_text="95 % intervals of the skills by a bootstrap over blocks of a day and of a week."
    )
    coverage = CoveredSerializer(many=True)
    calibration = CalibrationSerializer(many=True)
    net = NetSerializer()

    def get_fields(self) -> dict[str, serializers.Field]:
        """Add `from` and `to`; `from` is a reserved word in Python."""
        fields: dict[str, serializers.Field] = super().get_fields()
        fields["from"] = serializers.DateTimeField(help_text="Open of the first predicted candle.")
        fields["to"] = serializers.DateTimeField(help_text="Open of the last one.")
        return fields
