"""Serializers of signals and of the filters of their log."""

from rest_framework import serializers

from marketdata.api.request_fields import Body, Choice, Query, SymbolField, WholeNumber
from marketdata.api.serializers import DecimalText
from modelregistry.api.serializers import ModelVersionsField
from predictions.api.serializers import REASONS, SIDES
from signals.models import SignalLog


class SignalRequest(Body):
    """Request of a signal: the market."""

    symbol = SymbolField()


class SignalSerializer(serializers.Serializer):
    """Signal of one closed candle: buy, sell, or hold with its reasons."""

    id = serializers.UUIDField()
    seq = serializers.IntegerField(help_text="Gapless per symbol, from 1.")
    symbol = serializers.CharField()
    candle_time = serializers.DateTimeField(help_text="Open of the closed candle.")
    made_at = serializers.DateTimeField()
    valid_until = serializers.DateTimeField()
    signal_type = serializers.ChoiceField(choices=SignalLog.Type.choices)
    confidence = serializers.FloatField(allow_null=True, help_text="p_take_profit of the chosen side; null for a hold.")
    horizon = serializers.IntegerField(allow_null=True, help_text="Chosen horizon, in candles.")
    entry_price = DecimalText(help_text="The candle's close.")
    considered_side = serializers.ChoiceField(SIDES, allow_null=True, help_text="Side of the bracket.")
    take_profit = DecimalText(allow_null=True)
    stop_loss = DecimalText(allow_null=True)
    p_take_profit = serializers.FloatField(allow_null=True)
    p_stop_loss = serializers.FloatField(allow_null=True)
    p_neither = serializers.FloatField(allow_null=True)
    p_break_even = serializers.FloatField(allow_null=True)
    expected_net_return = serializers.FloatField(allow_null=True)
    fee_rate = serializers.FloatField(help_text="Fee per side, as a fraction.")
    reasons = serializers.ListField(
        child=serializers.ChoiceField(choices=REASONS), help_text="Codes, most important first."
    )
    reason_details = serializers.DictField(child=serializers.CharField(), help_text="{code: text}.")
    model_versions = ModelVersionsField()
    simulated = serializers.BooleanField()
    outcome = serializers.ChoiceField(
        choices=SignalLog.Outcome.choices, allow_null=True, help_text="Null until due, and for a hold."
    )
    pnl_percent = serializers.FloatField(allow_null=True, help_text="Net of fees; null until due, and when void.")


class SignalQuery(Query):
    """Filters of the signal log; `after` replays one symbol in order."""

    spans_time = True
    symbol = SymbolField(required=False)
    signal_type = Choice(SignalLog.Type.choices, required=False)
    after = WholeNumber(
        in_query=True, required=False, min_value=0, help_text="Signals with a higher seq, in order; needs `symbol`."
    )
