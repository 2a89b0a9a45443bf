"""Markets, their closed candles, and records of revised, missing and refused candles."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from marketdata.decimals import amount_field, price_field

PRICE_CEILING = 10**12 - 1
"""Upper bound in CHECKs; it also excludes NaN, which sorts above every number in PostgreSQL."""
AMOUNT_CEILING = 10**21
TRADING = "TRADING"
"""The exchange's status of a market that is open."""


class Source(models.TextChoices):
    """Where a market's candles come from; the two never mix."""

    EXCHANGE = "exchange", "Exchange"
    SIMULATED = "simulated", "Simulated"


class MarketQuerySet(models.QuerySet["Market"]):
    """Queries of markets."""

    def enabled(self) -> "MarketQuerySet":
        """Enabled markets, by symbol."""
        return self.filter(enabled=True).order_by("symbol")


class Market(models.Model):
    """One symbol at one interval from one source."""

    symbol = models.CharField(max_length=20, help_text="Exchange symbol in upper case, for example BTCUSDT.")
    interval = models.CharField(max_length=5, default="5m", help_text="Candle length in the exchange's words.")
    source = models.CharField(max_length=10, choices=Source.choices, help_text="Real or simulated prices.")
    enabled = models.BooleanField(default=True, help_text="Followed, predicted and signalled.")
    live_since = models.DateTimeField(
        null=True, blank=True, help_text="Open time of the first candle this engine processed live."
    )
    quarantined_until = models.DateTimeField(
        null=True, blank=True, help_text="Left alone until then after repeated errors of this symbol alone."
    )
    status = models.CharField(max_length=200, blank=True, help_text="What the feed last said about this market.")
    trading = models.CharField(
        max_length=20, default="", blank=True, help_text="The exchange's last word on its trading, for example BREAK."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = MarketQuerySet.as_manager()

    class Meta:
        """Constraints: one row per market, one enabled market per symbol."""

        db_table = "markets"
        ordering: ClassVar = ["symbol", "source"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["symbol", "interval", "source"], name="market_is_unique"),
            models.UniqueConstraint(fields=["symbol"], condition=Q(enabled=True), name="one_enabled_market_per_symbol"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.interval} ({self.source})"

    @property
    def is_halted(self) -> bool:
        """Whether the exchange has stopped it, so that no candle closes."""
        return self.trading not in {"", TRADING}

    @property
    def simulated(self) -> bool:
        """Whether its prices are generated or replayed."""
        return self.source == Source.SIMULATED


class Candle(models.Model):
    """One closed candle, stored once; it changes only by a visible revision."""

    class Origin(models.TextChoices):
        """How the candle was received."""

        STREAM = "stream", "Websocket"
        REST = "rest", "REST"
        IMPORT = "import", "Imported file"

    # No index of its own: the unique constraint begins with it.
    market = models.ForeignKey(Market, on_delete=models.PROTECT, related_name="candles", db_index=False)
    open_time = models.BigIntegerField(help_text="Open, milliseconds since 1970-01-01 UTC.")
    open = price_field()
    high = price_field()
    low = price_field()
    close = price_field()
    volume = amount_field(help_text="Traded quantity in the base asset.")
    quote_volume = amount_field(null=True, blank=True)
    trades = models.BigIntegerField(null=True, blank=True)
    taker_buy_base = amount_field(null=True, blank=True)
    taker_buy_quote = amount_field(null=True, blank=True)
    origin = models.CharField(max_length=10, choices=Origin.choices)
    revision = models.PositiveSmallIntegerField(
        default=0, help_text="How often the exchange changed it after the close."
    )
    received_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """Constraints that exclude NaN, crossed and negative values."""

        db_table = "candles"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["market", "open_time"], name="candle_is_unique"),
            models.CheckConstraint(
                condition=Q(low__gt=0, open__gte=F("low"), close__gte=F("low"), high__gte=F("low")),
                name="candle_low_is_lowest",
            ),
            models.CheckConstraint(
                condition=Q(high__lt=PRICE_CEILING, open__lte=F("high"), close__lte=F("high")),
                name="candle_high_is_highest",
            ),
            models.CheckConstraint(condition=Q(volume__gte=0, volume__lt=AMOUNT_CEILING), name="candle_volume_is_sane"),
            models.CheckConstraint(
                condition=Q(
                    quote_volume__gte=0,
                    quote_volume__lt=AMOUNT_CEILING,
                    taker_buy_base__gte=0,
                    taker_buy_base__lt=AMOUNT_CEILING,
                    taker_buy_quote__gte=0,
                    taker_buy_quote__lt=AMOUNT_CEILING,
                    trades__gte=0,
                ),
                name="candle_flows_are_sane",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.market_id} {self.open_time}"


class CandleBlock(models.Model):
    """Stamp of thirty days of one market, renewed by database triggers when a candle changes."""

    market = models.ForeignKey(Market, on_delete=models.CASCADE, related_name="blocks", db_index=False)
    block = models.BigIntegerField(help_text="Number of the thirty days since 1970-01-01 UTC.")
    stamp = models.UUIDField(help_text="Random; equal stamps are equal candles.")
    settled = models.UUIDField(
        null=True, help_text="Random; renewed by any change but one candle later than all others."
    )
    newest = models.BigIntegerField(default=0, help_text="Open of the newest candle ever stored in it, ms.")

    class Meta:
        """One row per block that ever held a candle."""

        db_table = "candle_blocks"
        constraints: ClassVar = [models.UniqueConstraint(fields=["market", "block"], name="block_is_unique")]

    def __str__(self) -> str:
        return f"{self.market_id} {self.block}"


class CandleRevision(models.Model):
    """A change of a closed candle by the exchange, with values before and after."""

    market = models.ForeignKey(Market, on_delete=models.PROTECT, related_name="revisions")
    open_time = models.BigIntegerField()
    before = models.JSONField()
    after = models.JSONField()
    origin = models.CharField(max_length=10, choices=Candle.Origin.choices)
    seen_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """Newest first."""

        db_table = "candle_revisions"
        ordering: ClassVar = ["-seen_at"]

    def __str__(self) -> str:
        return f"{self.market_id} {self.open_time}"


class CutShortCandle(models.Model):
    """Mark of a stored candle that closed early: the exchange was halted within it."""

    # No index of its own: the unique constraint begins with it.
    market = models.ForeignKey(Market, on_delete=models.PROTECT, related_name="cut_short", db_index=False)
    open_time = models.BigIntegerField(help_text="Open, milliseconds since 1970-01-01 UTC.")
    close_time = models.BigIntegerField(help_text="Its last millisecond, as the exchange gave it.")
    origin = models.CharField(max_length=10, choices=Candle.Origin.choices)
    seen_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """One mark per candle."""

        db_table = "cut_short_candles"
        ordering: ClassVar = ["-open_time"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["market", "open_time"], name="cut_short_candle_is_unique"),
            models.CheckConstraint(condition=Q(close_time__gte=F("open_time")), name="cut_short_candle_has_length"),
        ]

    def __str__(self) -> str:
        return f"{self.market_id} {self.open_time}"


class AbsentStretch(models.Model):
    """Candles the exchange itself lacks, with the evidence; never forward-filled."""

    market = models.ForeignKey(Market, on_delete=models.PROTECT, related_name="absences")
    start = models.BigIntegerField(help_text="Open of the first absent candle, ms.")
    end = models.BigIntegerField(help_text="Open of the first candle after the hole, ms (exclusive).")
    evidence = models.JSONField(help_text="What was asked, what was answered, how often and when.")
    recorded_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """Oldest first."""

        db_table = "absent_stretches"
        verbose_name_plural = "absent stretches"
        ordering: ClassVar = ["start"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["market", "start"], name="absence_is_unique"),
            models.CheckConstraint(condition=Q(end__gt=F("start")), name="absence_has_length"),
        ]

    def __str__(self) -> str:
        return f"{self.market_id} [{self.start}, {self.end})"


class SuspectedStretch(models.Model):
    """Candles requested without result; after enough attempts over enough time they become absent."""

    market = models.ForeignKey(Market, on_delete=models.PROTECT, related_name="suspicions")
    start = models.BigIntegerField(help_text="Open of the first candle in doubt, ms.")
    end = models.BigIntegerField(help_text="Open of the first candle after it, ms (exclusive).")
    attempts = models.JSONField(default=list, help_text="What was asked, what was answered, and when.")

    class Meta:
        """Oldest first."""

        db_table = "suspected_stretches"
        verbose_name_plural = "suspected stretches"
        ordering: ClassVar = ["start"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["market", "start"], name="suspicion_is_unique"),
            models.CheckConstraint(condition=Q(end__gt=F("start")), name="suspicion_has_length"),
        ]

    def __str__(self) -> str:
        return f"{self.market_id} [{self.start}, {self.end})"


class QuarantinedMessage(models.Model):
    """A raw message or row that broke a rule, with the reason."""

    market = models.ForeignKey(Market, null=True, blank=True, on_delete=models.PROTECT, related_name="quarantined")
    origin = models.CharField(max_length=10, choices=Candle.Origin.choices)
    reason = models.CharField(max_length=200)
    raw = models.TextField(help_text="The message as it came, cut at 4 KiB.")
    seen_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """Newest first."""

        db_table = "quarantined_messages"
        ordering: ClassVar = ["-seen_at"]

    def __str__(self) -> str:
        return self.reason


class ExchangeState(models.Model):
    """The single row with the exchange's clock, request weight and bans, shared by all processes."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    base_url = models.CharField(max_length=200, blank=True)
    clock_wall_ms = models.BigIntegerField(null=True, blank=True, help_text="Wall time of the newest reading, ms.")
    clock_market_ms = models.BigIntegerField(null=True, blank=True, help_text="Exchange time at that reading, ms.")
    clock_rate = models.FloatField(
        default=1.0, help_text="Exchange seconds per wall second; above 1 only in simulation."
    )
    used_weight = models.PositiveIntegerField(default=0)
    weight_limit = models.PositiveIntegerField(default=6000)
    weight_seen_at = models.DateTimeField(null=True, blank=True)
    banned_until_ms = models.BigIntegerField(null=True, blank=True, help_text="Wall time, ms.")
    reconnects = models.PositiveIntegerField(default=0)
    last_message_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """A single row."""

        db_table = "exchange_state"
        verbose_name_plural = "exchange state"
        constraints: ClassVar = [models.CheckConstraint(condition=Q(id=1), name="exchange_state_is_one_row")]

    def __str__(self) -> str:
        return self.base_url or "exchange"
