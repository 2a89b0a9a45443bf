"""A model field for decimals that are exact on every database.

SQLite's own decimals are 8-byte floats with about 15 digits. There, short decimals are stored as
scaled integers and long ones as fixed-width text, so that equality, order and CHECKs stay exact.
"""

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

WIDE = Context(prec=60, rounding=ROUND_HALF_EVEN)
"""Precise enough for every column; the default context has 28 digits, fewer than an amount may have."""
INT64_DIGITS = 18
"""Decimals of up to this many digits fit a signed 64-bit integer once scaled."""


def decimal_text(value: Decimal | None) -> str | None:
    """Format a decimal with the eight places of the price and amount columns.

    >>> decimal_text(Decimal("1.5")), decimal_text(None)
    ('1.50000000', None)
    """
    return None if value is None else f"{value:.8f}"


def plain_text(number: Decimal | str) -> str:
    """Digits of a decimal without exponent and trailing zeros.

    >>> plain_text(Decimal("64210.50000000")), plain_text(Decimal("1E+2")), plain_text("0.00000000")
    ('64210.5', '100', '0')
    """
    written = number if isinstance(number, str) else f"{number:f}"
    return written.rstrip("0").rstrip(".") if "." in written else written


class ExactDecimalField(models.DecimalField):  # type: ignore[type-arg]
    """A DecimalField that is exact on SQLite; long ones (text) hold no negative numbers."""

    def get_internal_type(self) -> str:
        """Own type name, since SQLite's float converter applies to the built-in name."""
        return "ExactDecimalField"

    @property
    def _is_text(self) -> bool:
        return int(self.max_digits or 0) > INT64_DIGITS

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        """NUMERIC(p, s) where it is exact, an integer or text on SQLite."""
        if connection.vendor == "sqlite":
            return "text" if self._is_text else "bigint"
        return f"numeric({self.max_digits}, {self.decimal_places})"

    def cast_db_type(self, connection: BaseDatabaseWrapper) -> str:
        """The type a cast to this field uses."""
        return self.db_type(connection)

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:  # noqa: ARG002
        """Encode for the database, refusing values that it cannot return exactly."""
        if value is None or hasattr(value, "resolve_expression"):
            return value
        if connection.vendor != "sqlite":
            return self.to_python(value)
        return self.encode_sqlite(self.to_python(value))

    def encode_sqlite(self, value: Decimal) -> int | str:
        """Scaled integer, or fixed-width text with leading zeros."""
        if not value.is_finite():
            raise ValueError(f"{self.name} must be finite, got {value}")
        step = Decimal(1).scaleb(-int(self.decimal_places or 0))
        exact = value.quantize(step, context=WIDE)
        if not self._is_text:
            return int(exact.scaleb(int(self.decimal_places or 0), context=WIDE))
        if exact < 0:
            raise ValueError(f"{self.name} must not be negative, got {value}")
        return f"{exact:0{int(self.max_digits or 0) + 1}.{self.decimal_places}f}"

    def from_db_value(self, value: Any, *_: Any) -> Decimal | None:
        """Decode a value of `encode_sqlite`; other databases already give a Decimal."""
        if value is None or isinstance(value, Decimal):
            return value
        if isinstance(value, int):
            return Decimal(value).scaleb(-int(self.decimal_places or 0))
        return Decimal(value)

    def get_db_converters(self, connection: BaseDatabaseWrapper) -> list[Any]:  # noqa: ARG002
        """Only this field's decoder, never the backend's float one."""
        return [self.from_db_value]


def price_field(**options: Any) -> ExactDecimalField:
    """A price in quote currency: 12 digits before the point, 8 after."""
    return ExactDecimalField(max_digits=20, decimal_places=8, **options)


def amount_field(**options: Any) -> ExactDecimalField:
    """A traded amount, which may exceed 10^12 for low-priced coins."""
    return ExactDecimalField(max_digits=30, decimal_places=8, **options)
