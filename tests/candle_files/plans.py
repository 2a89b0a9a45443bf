"""Candle files as users write them: rows, the form they are written in, and damage, all drawn by hypothesis."""

from dataclasses import dataclass, field
from decimal import Decimal

from hypothesis import strategies as st

STEP = 300_000
STARTS = (1_709_251_200_000, 1_738_368_000_000)
"""March 2024 and February 2025: before and after the exchange's dumps went over to microseconds."""
WRITERS = ("csv", "pandas csv", "pandas parquet", "pandas feather", "polars csv", "polars parquet", "polars feather")
NUMBERS = {
    "csv": ("plain", "short", "exponent", "noise"),
    "pandas csv": ("float64", "text"),
    "polars csv": ("float64", "text"),
}
TYPED_NUMBERS = ("float64", "float32", "text", "decimal", "category")
TIMES = ("ms", "ms float", "us", "zulu", "offset", "zoneless", "seconds")
HEADERS = ("engine", "exchange", "camel", "spaced", "other tools", "vendor", "unknown", "none")
DAMAGE = (
    "letter", "empty cell", "negative", "cut line", "extra cell", "low above high", "repeated row", "cut file",
    "flipped byte", "off the grid", "other close time", "open quote", "other market", "not text", "mixed units",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One candle; the flows are of all rows or of none."""

    open_time: int
    prices: tuple[Decimal, Decimal, Decimal, Decimal]
    volume: Decimal
    flows: tuple[Decimal, int, Decimal, Decimal]


@dataclass(frozen=True)
class Plan:
    """A file: what is in it, who writes it, and how."""

    rows: tuple[Row, ...]
    writer: str
    numbers: str
    times: str
    header: str
    has_flows: bool
    order: str
    delimiter: str = ","
    decimal_comma: bool = False
    quoting: str = "minimal"
    line_end: str = "\n"
    encoding: str = "utf-8"
    packing: str = ""
    extras: frozenset[str] = field(default_factory=frozenset)
    damage: str = ""
    place: int = 0


@st.composite
def rows(draw, most: int = 10) -> tuple[Row, ...]:
    """Candles on the grid with holes; sizes from the cheapest coin to the dearest."""
    places = draw(st.integers(0, 8))
    scale = 10 ** draw(st.integers(0, 8))
    begin, opens, result = draw(st.sampled_from(STARTS)), 0, []
    for _ in range(draw(st.integers(1, most))):
        low, spread, first, last = (draw(st.integers(0, 10**6)) for _ in range(4))
        low = (low + 1) * scale
        ticks = (low + first % (spread + 1), low + spread, low, low + last % (spread + 1))
        prices = tuple(Decimal(tick).scaleb(-8).quantize(Decimal(1).scaleb(-8)) for tick in ticks)
        volume = Decimal(draw(st.integers(1, 10 ** draw(st.integers(1, 20))))).scaleb(-places)
        quote = Decimal(draw(st.integers(1, 10**15))).scaleb(-places)
        flows = (quote, draw(st.integers(1, 10**6)), volume / 2, quote / 4)
        exact = tuple(part if isinstance(part, int) else part.quantize(Decimal(1).scaleb(-8)) for part in flows)
        result.append(Row(begin + opens * STEP, prices, volume.quantize(Decimal(1).scaleb(-8)), exact))
        opens += draw(st.sampled_from((1, 1, 1, 1, 2, 5)))
    return tuple(result)


@st.composite
def plans(draw) -> Plan:
    """Any file: half of them whole, half of them with one damage."""
    writer = draw(st.sampled_from(WRITERS))
    text = "csv" in writer
    delimiter = draw(st.sampled_from((",", ",", ";", "\t", "|"))) if text else ","
    return Plan(
        rows=draw(rows()),
        writer=writer,
        numbers=draw(st.sampled_from(NUMBERS.get(writer, TYPED_NUMBERS))),
        times=draw(st.sampled_from(TIMES)),
        header=draw(st.sampled_from(HEADERS if writer == "csv" else HEADERS[:-1])),
        has_flows=draw(st.booleans()),
        order=draw(st.sampled_from(("oldest first", "newest first", "shuffled"))),
        delimiter=delimiter,
        decimal_comma=text and delimiter != "," and draw(st.booleans()),
        quoting=draw(st.sampled_from(("minimal", "all"))),
        line_end=draw(st.sampled_from(("\n", "\n", "\r\n", "\r"))),
        encoding=draw(st.sampled_from(("utf-8", "utf-8", "utf-8-sig", "utf-16"))),
        packing=draw(st.sampled_from(("", "", "gz", "zip", "mac zip"))) if text else "",
        extras=draw(st.frozensets(st.sampled_from(("preamble", "again", "blanks", "spaces", "column")), max_size=3)),
        damage=draw(st.sampled_from(("",) * len(DAMAGE) + DAMAGE)),
        place=draw(st.integers(0, 10**6)),
    )
