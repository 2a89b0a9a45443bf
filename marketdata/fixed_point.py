"""Whole columns of exact decimals with eight places, as pairs of integers. Pure.

A column is read from text, decimals or floats, compared exactly, and written as PostgreSQL's binary
numeric or as fixed-width text, without a Python object per number.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

PLACES = 8
UNIT = 10**PLACES
WHOLE_LIMIT = 9 * 10**18
_EXACT_FLOAT = 2.0**26
"""Below this a float is less than 0.4e-8 from the decimal with 8 places it was written from."""
_TEXT = r"^[0-9]{1,18}(\.[0-9]{0,8}0{0,12})?$"
_GROUPS = 5


@dataclass(frozen=True)
class FixedColumn:
    """Numbers ``whole + frac / 10^8``; `missing` where there was none, `bad` where it was no such number."""

    whole: npt.NDArray[np.int64]
    frac: npt.NDArray[np.int64]
    missing: npt.NDArray[np.bool_]
    bad: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.whole)

    def exceeds(self, other: "FixedColumn") -> npt.NDArray[np.bool_]:
        """Where this is more than the other, exactly."""
        more: npt.NDArray[np.bool_] = (self.whole > other.whole) | (
            (self.whole == other.whole) & (self.frac > other.frac)
        )
        return more

    def is_zero(self) -> npt.NDArray[np.bool_]:
        """Where it is 0."""
        zero: npt.NDArray[np.bool_] = (self.whole == 0) & (self.frac == 0)
        return zero

    def take(self, rows: npt.NDArray[Any]) -> "FixedColumn":
        """Some of the rows, by mask or position."""
        return FixedColumn(self.whole[rows], self.frac[rows], self.missing[rows], self.bad[rows])

    def at(self, row: int) -> Decimal | None:
        """One number, None where it is missing.

        Examples
        --------
        >>> read_column(pa.array(["12.5", None])).at(0)
        Decimal('12.50000000')
        """
        if self.missing[row]:
            return None
        return Decimal(f"{self.whole[row]}.{self.frac[row]:08d}")

    def to_text(self, digits: int) -> list[str | None]:
        """Fixed-width text with `digits` digits in all, as the store keeps it on SQLite."""
        width = digits - PLACES
        pairs = zip(self.whole.tolist(), self.frac.tolist(), self.missing.tolist(), strict=True)
        return [None if missing else f"{whole:0{width}d}.{frac:08d}" for whole, frac, missing in pairs]

    def to_wire(self) -> tuple[npt.NDArray[np.int16], int]:
        """Base-10000 digits, shape (n, groups), and the weight of the first: PostgreSQL's numeric on the wire."""
        groups = [(self.whole // 10_000**power % 10_000) for power in range(_GROUPS - 1, -1, -1)]
        groups += [self.frac // 10_000, self.frac % 10_000]
        return np.stack(groups, axis=1).astype(">i2"), _GROUPS - 1


def read_column(column: pa.Array) -> FixedColumn:
    """Read text, integers, decimals or floats; what is no number from 0 with at most 8 places is bad.

    Floats are taken as the shortest decimal that gives them, rounded half-even to 8 places.

    Examples
    --------
    >>> column = read_column(pa.array(["0.1", "NaN", "-1", "1.123456789", None]))
    >>> column.bad.tolist(), column.missing.tolist()
    ([False, True, True, True, False], [False, False, False, False, True])
    >>> read_column(pa.array([93661.2, float("nan")])).at(0)
    Decimal('93661.20000000')
    """
    if pa.types.is_floating(column.type):
        return _from_floats(column.cast(pa.float64()))
    if pa.types.is_integer(column.type) or pa.types.is_decimal(column.type):
        column = column.cast(pa.string())
    if pa.types.is_binary(column.type) or pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return _from_text(column.cast(pa.binary()))
    nothing = np.zeros(len(column), dtype=np.int64)
    return FixedColumn(nothing, nothing, np.zeros(len(column), bool), np.ones(len(column), bool))


def _from_text(column: pa.Array) -> FixedColumn:
    missing = column.is_null().to_numpy(zero_copy_only=False)
    fits = pc.match_substring_regex(column, _TEXT).fill_null(False).to_numpy(zero_copy_only=False)
    good = pc.if_else(pa.array(fits), column, pa.scalar(b"0")).cast(pa.string())
    parts = pc.extract_regex(good, r"^(?P<whole>[0-9]+)\.?(?P<frac>[0-9]{0,8})0*$")
    frac = pc.utf8_rpad(parts.field("frac"), PLACES, "0")
    return FixedColumn(
        parts.field("whole").cast(pa.int64()).to_numpy(zero_copy_only=False),
        frac.cast(pa.int64()).to_numpy(zero_copy_only=False),
        missing,
        ~fits & ~missing,
    )


def _from_floats(column: pa.Array) -> FixedColumn:
    missing = column.is_null().to_numpy(zero_copy_only=False)
    values = column.fill_null(0.0).to_numpy(zero_copy_only=False)
    bad = ~(np.isfinite(values) & (values >= 0) & (values < WHOLE_LIMIT))
    small = ~bad & (values < _EXACT_FLOAT)
    # The part after the point by itself: the float minus its whole part is exact, and scaling it loses nothing.
    floor = np.floor(np.where(small, values, 0.0))
    scaled = np.rint((np.where(small, values, 0.0) - floor) * UNIT).astype(np.int64)
    whole, frac = floor.astype(np.int64) + scaled // UNIT, scaled % UNIT
    for row in np.flatnonzero(~bad & ~small):
        exact = Decimal(repr(float(values[row]))).quantize(Decimal(1).scaleb(-PLACES), rounding=ROUND_HALF_EVEN)
        whole[row], frac[row] = divmod(int(exact.scaleb(PLACES)), UNIT)
    return FixedColumn(whole, frac, missing, bad)
