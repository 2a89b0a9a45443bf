"""Arguments and results of jobs, by kind."""

from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from marketdata import clock
from marketdata.api.request_fields import Body, Choice, Instant, ListOf, SymbolField, WholeNumber
from marketdata.clock import iso
from marketdata.errors import MarketDisabled
from marketdata.exchange.parsing import EARLIEST_MS, LATEST_MS
from marketdata.models import Market, Source
from modelregistry.models import Kind

MAX_SYMBOLS = 1000
MAX_WORKERS = 64
MAX_SEED = 2**31 - 1
NO_ARGUMENTS = {"type": "object", "additionalProperties": False, "description": "None."}


@extend_schema_field({"oneOf": [{"type": "string", "format": "date-time"}, {"type": "integer"}]})
class JsonTime(Instant):
    """A time in JSON: ISO 8601 text, or milliseconds as a number or as text."""

    def to_internal_value(self, data: Any) -> datetime:
        """An aware UTC datetime in the years 2017 to 2099."""
        is_number = isinstance(data, int) and not isinstance(data, bool)
        instant = super().to_internal_value(str(data) if is_number else data)
        if not EARLIEST_MS <= clock.to_ms(instant) < LATEST_MS:
            raise serializers.ValidationError("The time is outside 2017 to 2099.")
        return instant


class StrictBoolean(serializers.BooleanField):
    """A boolean field that accepts only `true` and `false`."""

    def to_internal_value(self, data: Any) -> bool:
        """Refuse texts and numbers that DRF would convert to a boolean."""
        if not isinstance(data, bool):
            raise serializers.ValidationError("Write true or false.")
        return data


class Arguments(Body):
    """Arguments of one kind of job; `from` is added here since it is a Python keyword."""

    begin_help = ""

    def get_fields(self) -> dict[str, serializers.Field]:
        """The declared fields and the time span."""
        fields: dict[str, serializers.Field] = super().get_fields()
        fields["from"] = JsonTime(required=False, help_text=self.begin_help)
        fields["until"] = JsonTime(required=False, help_text="Exclusive. ISO or ms; now when left out.")
        return fields

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Check that `from` is before `until` and every symbol has an enabled market."""
        if "from" in attrs and "until" in attrs and attrs["from"] >= attrs["until"]:
            raise serializers.ValidationError({"from": ["Must be before `until`."]})
        if "symbols" in attrs:
            attrs["symbols"] = _enabled(attrs["symbols"], attrs.get("source"))
        return attrs


class TrainingArguments(Arguments):
    """What a training learns from, and how."""

    begin_help = "First row to learn from; the oldest candle when left out. ISO or ms."
    kinds = ListOf(
        child=Choice(Kind.choices), required=False, allow_empty=False, max_length=len(Kind.values),
        help_text="Kinds of estimators; all when left out.",
    )  # fmt: skip
    symbols = ListOf(
        child=SymbolField(), required=False, allow_empty=False, max_length=MAX_SYMBOLS,
        help_text="Enabled markets; all when left out.",
    )  # fmt: skip
    source = Choice(  # type: ignore[assignment]  # the stubs mean Field.source
        Source.choices, required=False, help_text="Candles to learn from; those of the enabled markets when left out."
    )
    seed = WholeNumber(required=False, min_value=0, max_value=MAX_SEED, help_text="1 when left out.")
    workers = WholeNumber(
        required=False, min_value=1, max_value=MAX_WORKERS, help_text="Processes side by side; 1 when left out."
    )
    small = StrictBoolean(required=False, help_text="A quick run: fewer rows and fewer trees.")


class BackfillArguments(Arguments):
    """Which history is fetched."""

    begin_help = "Inclusive. ISO or ms; 90 days before `until` when left out."
    symbols = ListOf(
        child=SymbolField(), required=False, allow_empty=False, max_length=MAX_SYMBOLS,
        help_text="Enabled markets; all when left out.",
    )  # fmt: skip


class Outcome(serializers.Serializer):
    """What a job leaves when it has ended; empty before."""

    output = serializers.CharField(required=False, help_text="The last lines its command wrote.")
    code = serializers.IntegerField(required=False, help_text="Exit code of a command that failed.")


class TrainedVersionSerializer(serializers.Serializer):
    """One version a training made; the rest is under /models/{id}."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=Kind.choices)
    digest = serializers.CharField()
    stage = serializers.CharField(help_text="As the training left it.")
    gate_accepted = serializers.BooleanField()
    gate_reasons = serializers.ListField(child=serializers.CharField())
    skill = serializers.FloatField(allow_null=True, help_text="A fraction, against the best reference baseline.")


class TrainingResult(Outcome):
    """The versions a training made."""

    versions = TrainedVersionSerializer(many=True, required=False)


class FilledMarketSerializer(serializers.Serializer):
    """What is stored of one market in the span that was asked for."""

    symbol = serializers.CharField()
    expected = serializers.IntegerField(help_text="Candles of the span.")
    stored = serializers.IntegerField()
    missing = serializers.IntegerField()
    absent = serializers.IntegerField(help_text="Known to be lacking at the exchange itself.")
    complete = serializers.BooleanField()


class BackfillResult(Outcome):
    """What is complete after a backfill."""

    markets = FilledMarketSerializer(many=True, required=False)


class StoredMarketSerializer(serializers.Serializer):
    """Candles stored of one market."""

    symbol = serializers.CharField()
    stored = serializers.IntegerField()
    refused = serializers.CharField(
        allow_null=True, help_text="Why the exchange refused the symbol; null if it did not."
    )


class BootstrapResult(Outcome):
    """What a bootstrap found and requested."""

    needed = serializers.IntegerField(required=False, help_text="Candles of a market a training needs.")
    markets = StoredMarketSerializer(many=True, required=False)
    training = serializers.UUIDField(
        required=False, allow_null=True, help_text="The training it requested; null where no model was missing."
    )


def stored_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    """Validated arguments as stored in a job's row: plain JSON, times in UTC."""
    return {name: iso(value) if isinstance(value, datetime) else value for name, value in arguments.items()}


def typed(shape: type[serializers.Serializer] | dict[str, Any]) -> serializers.JSONField:
    """A JSON column passed on unchanged, described by a serializer or a schema fragment."""
    field = type("TypedField", (serializers.JSONField,), {})
    return extend_schema_field(shape)(field)()  # type: ignore[no-any-return]


def _enabled(symbols: list[str], source: str | None) -> list[str]:
    """The symbols without duplicates, if each has an enabled market of that source."""
    markets = Market.objects.filter(**({"source": source} if source else {}))
    enabled = set(markets.filter(enabled=True).values_list("symbol", flat=True))
    wrong = [symbol for symbol in symbols if symbol not in enabled]
    switched_off = set(markets.filter(symbol__in=wrong).values_list("symbol", flat=True))
    if unknown := [symbol for symbol in wrong if symbol not in switched_off]:
        sentence = f"No market has the symbol {', '.join(unknown)[:100]!r}; enabled are {', '.join(sorted(enabled))}."
        raise serializers.ValidationError({"symbols": [sentence]})
    if wrong:
        raise MarketDisabled(f"{', '.join(wrong)[:100]} is known and switched off")
    return list(dict.fromkeys(symbols))
