"""Tables of the prediction log, challenger forecasts and seal chains.

A row is sealed when written; outcomes are not covered by the seal.
"""

import uuid
from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from marketdata.decimals import ExactDecimalField, price_field
from marketdata.models import Market


class PredictionLog(models.Model):
    """Prediction of the champions for one market, candle and horizon."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    market = models.ForeignKey(Market, on_delete=models.PROTECT, related_name="predictions")
    symbol = models.CharField(max_length=20)
    horizon = models.IntegerField(help_text="Candles ahead.")
    candle_time = models.DateTimeField(help_text="Open time of the last closed candle.")
    ensemble = models.CharField(max_length=64, help_text="SHA-256 of the sorted champion ids.")
    model_versions = models.JSONField(help_text="{kind: id} of the champions that answered.")
    made_at = models.DateTimeField(help_text="Market time of the answer.")
    valid_until = models.DateTimeField(help_text="Market time after which it must not be used.")
    late = models.BooleanField(default=False, help_text="Made after valid_until: kept, outside the track record.")
    current_price = price_field(help_text="The candle's close.")
    predicted_high = price_field(help_text="Median of the highest high of the horizon.")
    predicted_low = price_field(help_text="Median of the lowest low of the horizon.")
    high_quantiles = models.JSONField(help_text="Prices as decimal strings at levels 5 10 25 50 75 90 95.")
    low_quantiles = models.JSONField(help_text="Prices as decimal strings at levels 5 10 25 50 75 90 95.")
    coverage = models.JSONField(default=list, help_text="Realised coverage of the bands as of made_at.")
    data_age_seconds = models.FloatField(help_text="Market time minus the candle's close, at made_at.")
    degraded = models.BooleanField(default=False)
    reasons = models.JSONField(default=list)
    reason_details = models.JSONField(default=dict)
    simulated = models.BooleanField(default=False)
    chain_index = models.BigIntegerField(help_text="Position in the market's chain, from 1.")
    seal = models.CharField(max_length=64)
    previous_seal = models.CharField(max_length=64)
    created_at = models.DateTimeField(db_default=Now())

    actual_high = price_field(null=True, blank=True)
    actual_low = price_field(null=True, blank=True)
    mae = ExactDecimalField(
        max_digits=10,
        decimal_places=6,
        null=True,
        blank=True,
        help_text="Mean absolute error of high and low, percent of the price at prediction time.",
    )
    outcome_final = models.BooleanField(default=False, help_text="The candles behind it were re-read and stand.")
    outcome_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """One row per market, candle, horizon and set of champions."""

        db_table = "prediction_logs"
        ordering: ClassVar = ["-candle_time", "symbol", "horizon"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["market", "candle_time", "horizon", "ensemble"], name="prediction_is_unique"
            ),
            models.UniqueConstraint(fields=["market", "chain_index"], name="prediction_chain_is_linear"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["-candle_time", "symbol", "horizon"], name="prediction_by_time"),
            models.Index(fields=["symbol", "horizon", "-candle_time"], name="prediction_by_symbol"),
            models.Index(fields=["-created_at"], name="prediction_newest"),
            models.Index(
                fields=["horizon", "candle_time"],
                condition=models.Q(outcome_final=False),
                name="prediction_unscored",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.horizon} {self.candle_time:%Y-%m-%d %H:%M}"


class ChallengerLog(models.Model):
    """Forecast of a candidate, kept apart from the served predictions."""

    market = models.ForeignKey(Market, on_delete=models.PROTECT, related_name="challenger_predictions")
    version = models.ForeignKey("modelregistry.ModelVersion", on_delete=models.PROTECT, related_name="silent_answers")
    champion = models.ForeignKey(
        "modelregistry.ModelVersion",
        null=True,
        on_delete=models.PROTECT,
        related_name="silent_comparisons",
        help_text="Who was in charge at the time, and what its loss is of.",
    )
    horizon = models.IntegerField()
    candle_time = models.DateTimeField()
    answer = models.JSONField(help_text="Quantiles or probabilities of both, as the kind gives them.")
    loss = models.FloatField(null=True, blank=True)
    champion_loss = models.FloatField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """One row per version, market, candle and horizon."""

        db_table = "challenger_logs"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["market", "version", "candle_time", "horizon"], name="challenger_answer_is_unique"
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["candle_time"], condition=models.Q(loss__isnull=True), name="challenger_unscored")
        ]

    def __str__(self) -> str:
        return f"{self.version_id} {self.horizon} {self.candle_time:%Y-%m-%d %H:%M}"


class ChainHead(models.Model):
    """Newest seal of one market's chain; its row lock keeps the chain linear."""

    class Log(models.TextChoices):
        """Log of the chain."""

        PREDICTIONS = "predictions", "Predictions"
        SIGNALS = "signals", "Signals"

    market = models.ForeignKey(Market, on_delete=models.PROTECT, related_name="chain_heads")
    log = models.CharField(max_length=12, choices=Log.choices)
    index = models.BigIntegerField(default=0)
    seal = models.CharField(max_length=64, default="0" * 64)

    class Meta:
        """One head per market and log."""

        db_table = "chain_heads"
        constraints: ClassVar = [models.UniqueConstraint(fields=["market", "log"], name="chain_head_is_unique")]

    def __str__(self) -> str:
        return f"{self.market_id} {self.log} {self.index}"


class ChainCut(models.Model):
    """Cut of one market's chain: rows up to `index` are in a file."""

    market = models.ForeignKey(Market, on_delete=models.PROTECT, related_name="chain_cuts")
    log = models.CharField(max_length=12, choices=ChainHead.Log.choices)
    first_index = models.BigIntegerField(help_text="Place in the chain of the file's first row.")
    index = models.BigIntegerField(help_text="Place in the chain of the file's last row.")
    seal = models.CharField(max_length=64, help_text="Seal of the file's last row.")
    last_seq = models.BigIntegerField(
        null=True, help_text="For signals: the newest seq that can no longer be replayed."
    )
    file = models.CharField(max_length=200, help_text="Path below ARCHIVE_PATH.")
    sha256 = models.CharField(max_length=64, help_text="Of the file.")
    written_at = models.DateTimeField()

    class Meta:
        """Oldest first; files follow one another without a gap."""

        db_table = "chain_cuts"
        ordering: ClassVar = ["market", "log", "first_index"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["market", "log", "first_index"], name="chain_cut_is_unique")
        ]

    def __str__(self) -> str:
        return self.file
