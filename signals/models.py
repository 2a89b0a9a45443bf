"""Tables of the signal log, its outbox and the kill switch."""

import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from marketdata.decimals import ExactDecimalField, price_field
from marketdata.models import Market


class SignalLog(models.Model):
    """Signal of one closed candle: buy, sell, or hold with its reasons."""

    class Type(models.TextChoices):
        """Type of a signal."""

        BUY = "buy", "Buy"
        SELL = "sell", "Sell"
        HOLD = "hold", "Hold"

    class Outcome(models.TextChoices):
        """Outcome of a signal."""

        TAKE_PROFIT = "tp", "Take-profit"
        STOP_LOSS = "sl", "Stop-loss"
        TIMEOUT = "timeout", "Timeout"
        VOID = "void", "Void"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    market = models.ForeignKey(Market, on_delete=models.PROTECT, related_name="signals")
    symbol = models.CharField(max_length=20)
    seq = models.BigIntegerField(help_text="Gapless per symbol, from 1.")
    candle_time = models.DateTimeField(help_text="Open time of the closed candle.")
    made_at = models.DateTimeField(help_text="Market time of the answer.")
    valid_until = models.DateTimeField()
    signal_type = models.CharField(max_length=10, choices=Type.choices)
    confidence = ExactDecimalField(
        max_digits=5, decimal_places=4, null=True, blank=True, help_text="P(take-profit first); null for a hold."
    )
    horizon = models.IntegerField(null=True, blank=True)
    entry_price = price_field(help_text="The candle's close.")
    considered_side = models.CharField(max_length=4, blank=True, default="")
    take_profit = price_field(null=True, blank=True)
    stop_loss = price_field(null=True, blank=True)
    p_take_profit = models.FloatField(null=True, blank=True)
    p_stop_loss = models.FloatField(null=True, blank=True)
    p_neither = models.FloatField(null=True, blank=True)
    p_break_even = models.FloatField(null=True, blank=True)
    expected_net_return = models.FloatField(null=True, blank=True)
    fee_rate = models.FloatField(help_text="Fee a side, as a fraction.")
    reasons = models.JSONField(default=list)
    reason_details = models.JSONField(default=dict)
    model_versions = models.JSONField(default=dict)
    simulated = models.BooleanField(default=False)
    chain_index = models.BigIntegerField()
    seal = models.CharField(max_length=64)
    previous_seal = models.CharField(max_length=64)
    created_at = models.DateTimeField(db_default=Now())

    outcome = models.CharField(max_length=10, choices=Outcome.choices, null=True, blank=True)  # noqa: DJ001
    pnl_percent = ExactDecimalField(max_digits=10, decimal_places=4, null=True, blank=True)
    outcome_final = models.BooleanField(default=False)
    outcome_at = models.DateTimeField(null=True, blank=True)
    exit_rule = models.SmallIntegerField(
        default=1,
        db_default=1,
        help_text="Rule the outcome is booked under: 2, a stop that is gapped through exits at the open.",
    )

    class Meta:
        """One row per market and candle; one row per symbol and seq."""

        db_table = "signal_logs"
        ordering: ClassVar = ["-candle_time", "symbol"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["market", "candle_time"], name="signal_is_unique"),
            models.UniqueConstraint(fields=["symbol", "seq"], name="signal_seq_is_unique"),
            models.UniqueConstraint(fields=["market", "chain_index"], name="signal_chain_is_linear"),
            models.CheckConstraint(
                condition=Q(signal_type="hold") | Q(expected_net_return__gt=0), name="signal_expects_to_earn"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["-candle_time", "symbol"], name="signal_by_time"),
            models.Index(fields=["-created_at"], name="signal_newest"),
            models.Index(
                fields=["candle_time"],
                condition=Q(outcome_final=False) & ~Q(signal_type="hold"),
                name="signal_unscored",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} #{self.seq} {self.signal_type}"


class SymbolSequence(models.Model):
    """Newest seq of one symbol; the row is locked to assign the next one."""

    symbol = models.CharField(max_length=20, primary_key=True)
    head = models.BigIntegerField(default=0)

    class Meta:
        """One row per symbol."""

        db_table = "symbol_sequences"

    def __str__(self) -> str:
        return f"{self.symbol} {self.head}"


class OutboxMessage(models.Model):
    """Exact bytes to publish for one signal, written in the signal's transaction."""

    signal = models.OneToOneField(SignalLog, on_delete=models.PROTECT, related_name="outbox")
    symbol = models.CharField(max_length=20)
    seq = models.BigIntegerField()
    payload = models.TextField(help_text="The signal object as JSON; a repeat has the same bytes.")
    written_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)

    class Meta:
        """Ordered by symbol and seq."""

        db_table = "outbox_messages"
        ordering: ClassVar = ["symbol", "seq"]
        indexes: ClassVar = [
            models.Index(fields=["symbol", "seq"], condition=Q(sent_at__isnull=True), name="outbox_unsent")
        ]

    def __str__(self) -> str:
        return f"{self.symbol} #{self.seq}"


class SignalSwitch(models.Model):
    """Kill switch of one market, or of all markets if `symbol` is empty."""

    symbol = models.CharField(max_length=20, blank=True, default="", unique=True)
    off = models.BooleanField(default=False, help_text="While on, every signal is a hold with KILL_SWITCH.")
    reason = models.CharField(max_length=300, blank=True)
    changed_by = models.CharField(max_length=150, blank=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        """One row per symbol, and one for all markets."""

        db_table = "signal_switches"
        verbose_name = "kill switch"
        verbose_name_plural = "kill switches"

    def __str__(self) -> str:
        return self.symbol or "all markets"
