"""Writing plans of candle files with pandas, polars and the csv module."""

import csv
import gzip
import io
import random
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_HALF_EVEN, Context, Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl

from tests.candle_files.plans import STEP, Plan, Row

NAMES = ("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "trades", "taker_buy_base", "taker_buy_quote")  # fmt: skip
HEADERS = {
    "engine": NAMES,
    "exchange": ("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count", "taker_buy_volume", "taker_buy_quote_volume"),
    "camel": ("openTime", "open", "high", "low", "close", "volume", "closeTime", "quoteAssetVolume", "numberOfTrades", "takerBuyBaseAssetVolume", "takerBuyQuoteAssetVolume"),
    "spaced": ("Open time", "Open", "High", "Low", "Close", "Volume", "Close time", "Quote asset volume", "Number of trades", "Taker buy base asset volume", "Taker buy quote asset volume"),
    "other tools": ("timestamp", "open", "high", "low", "close", "volume", "close_time", "quote_asset_volume", "num_trades", "taker_base_vol", "taker_quote_vol"),
    "vendor": ("Unix", "Open", "High", "Low", "Close", "Volume XRP", "close_time", "Volume USDT", "tradecount", "taker_buy_base", "taker_buy_quote"),
    "unknown": ("when", "first", "top", "bottom", "last", "amount", "until", "sum", "deals", "bought", "paid"),
}  # fmt: skip
SYMBOL = "XRPUSDT"
EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
EIGHT = Decimal("0.00000001")


def write(plan: Plan, folder: Path) -> tuple[Path, list[Row]]:
    """Write the file; return its path and its rows, rounded by the documented rule."""
    rows = list(plan.rows)
    order = list(range(len(rows)))
    if plan.order == "newest first":
        order.reverse()
    elif plan.order == "shuffled":
        random.Random(plan.place).shuffle(order)
    written = [number_cells(row, plan) for row in rows]
    cells = [[time_cell(rows[i].open_time, plan), *written[i][0]] for i in order]
    written_rows = [row for _, row in written]
    path = (write_text if "csv" in plan.writer else write_typed)(plan, cells, folder)
    return path, written_rows


def adjusted(plan: Plan) -> Plan:
    """Change a plan to a combination that programs can write."""
    if plan.header == "none":
        plan = replace(plan, has_flows=True, times=plan.times if plan.times in {"ms", "us"} else "ms")
    if plan.times == "us":
        later = tuple(replace(row, open_time=row.open_time + 40_000_000_000 // STEP * STEP) for row in plan.rows)
        plan = replace(plan, has_flows=True, rows=later if later[0].open_time > 1_735_700_000_000 else plan.rows)
    return plan


def number_cells(row: Row, plan: Plan) -> tuple[list, Row]:
    """Cells of a row from `open` on, and the row they represent."""
    numbers = [*row.prices, row.volume, *(row.flows if plan.has_flows else ())]
    forms = [form(number, plan.numbers) if isinstance(number, Decimal) else (number, number) for number in numbers]
    cells, values = [cell for cell, _ in forms], [value for _, value in forms]
    if plan.has_flows:
        close = row.open_time + STEP - 1
        wide = 1000 * close + 999
        cells.insert(5, wide if plan.times == "us" else time_cell(close, plan) if "ms" not in plan.times else close)
    return cells, Row(row.open_time, tuple(values[:4]), values[4], tuple(values[5:]))


def form(number: Decimal, kind: str) -> tuple:
    """A cell, and the decimal it represents."""
    match kind:
        case "float64":
            cell = float(number)
        case "float32":
            cell = np.float32(number)
        case "exponent":
            cell = f"{number.normalize(EXACT):e}"
        case "noise":
            cell = repr(float(number) * (1 + 2**-52))
        case "short":
            cell = f"{number.normalize(EXACT):f}"
        case "decimal":
            cell = number
        case _:
            cell = f"{number:.8f}"
    return cell, rounded(str(cell))


def rounded(value) -> Decimal:
    return Decimal(value).quantize(EIGHT, context=EXACT)


def time_cell(ms: int, plan: Plan):  # noqa: PLR0911  (one per form)
    """A time in the format of the plan."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    match plan.times:
        case "ms float":
            return float(ms)
        case "us":
            return ms * 1000
        case "seconds":
            return ms // 1000
        case "zulu":
            return moment
        case "offset":
            return moment.astimezone(timezone(timedelta(hours=5, minutes=30)))
        case "zoneless":
            return moment.replace(tzinfo=None)
    return ms


def header(plan: Plan) -> list[str]:
    names = HEADERS["exchange" if plan.header == "none" else plan.header]
    return list(names if plan.has_flows else names[:6])


def text_table(plan: Plan, cells: list[list]) -> str:
    """The table as text, written by the library of the plan."""
    names = header(plan)
    if plan.header == "none" or "column" in plan.extras:
        names, cells = [*names, "ignore" if plan.header == "none" else "sma_20"], [[*row, 0] for row in cells]
    out = io.StringIO()
    if plan.writer == "pandas csv":
        frame = pd.DataFrame([[typed(cell, plan) for cell in row] for row in cells], columns=names)
        frame.to_csv(
            out,
            index=False,
            sep=plan.delimiter,
            decimal="," if plan.decimal_comma else ".",
            quoting=csv.QUOTE_ALL if plan.quoting == "all" else csv.QUOTE_MINIMAL,
            lineterminator="\n",
        )
        return out.getvalue()
    if plan.writer == "polars csv":
        frame = pl.DataFrame(
            [[typed(cell, plan) for cell in row] for row in cells], schema=names, orient="row", strict=False
        )
        return frame.write_csv(separator=plan.delimiter, quote_style="always" if plan.quoting == "all" else "necessary")
    quoting = csv.QUOTE_ALL if plan.quoting == "all" else csv.QUOTE_MINIMAL
    table = csv.writer(out, delimiter=plan.delimiter, quoting=quoting, lineterminator="\n")
    if plan.header != "none":
        table.writerow(names)
    for row in cells:
        texts = [shown(cell, plan) for cell in row]
        if plan.decimal_comma:
            texts = [text.replace(".", ",") if 1 <= at <= 5 or at >= 7 else text for at, text in enumerate(texts)]
        if "spaces" in plan.extras:
            texts = [f" {text}" for text in texts]
        table.writerow(texts)
    return out.getvalue()


def shown(cell, plan: Plan) -> str:
    if isinstance(cell, datetime):
        return cell.isoformat(sep="T" if plan.place % 2 else " ").replace("+00:00", "Z" if plan.place % 3 else "+00:00")
    return str(cell)


def typed(cell, plan: Plan):
    """Cell of a data frame; times become text for polars CSV."""
    if isinstance(cell, datetime) and plan.writer == "polars csv":
        return cell.isoformat()
    return cell


def write_text(plan: Plan, cells: list[list], folder: Path) -> Path:
    lines = text_table(plan, cells).splitlines()
    if plan.header != "none":
        if "again" in plan.extras:
            lines.insert(1 + plan.place % len(lines), lines[0])
        if "preamble" in plan.extras:
            lines.insert(0, "https://www.example.org")
    if "blanks" in plan.extras:
        lines.append("")
    lines = damage_lines(plan, lines)
    content = (plan.line_end.join(lines) + plan.line_end).encode(plan.encoding)
    if plan.damage == "not text" and plan.encoding != "utf-16":
        at = plan.place % len(content)
        content = content[:at] + b"\xff\xfe\xfa" + content[at:]
    path = folder / f"{SYMBOL}-5m.csv"
    if plan.packing == "gz":
        path = folder / f"{SYMBOL}-5m.csv.gz"
        content = gzip.compress(content, mtime=0)
    elif plan.packing:
        path = folder / f"{SYMBOL}-5m.zip"
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            name = "ADAUSDT" if plan.damage == "other market" else SYMBOL
            archive.writestr(f"{name}-5m.csv", content)
            if plan.packing == "mac zip":
                archive.writestr(f"__MACOSX/._{SYMBOL}-5m.csv", b"\x00\x05\x16\x07")
        content = packed.getvalue()
    path.write_bytes(damage_packed(plan, content) if plan.packing else content)
    return path


def damage_lines(plan: Plan, lines: list[str]) -> list[str]:
    """Apply the fault of the plan to one line of candles."""
    first = 0 if plan.header == "none" else 1 + ("preamble" in plan.extras)
    if not plan.damage or first >= len(lines):
        return lines
    at = first + plan.place % (len(lines) - first)
    cells = lines[at].split(plan.delimiter)
    if len(cells) < 6:
        return lines
    column = plan.place // 7 % 6
    mark = '"' if cells[0].startswith('"') else ""
    match plan.damage:
        case "letter":
            cells[column] = mark + "x" + cells[column].strip('"') + mark
        case "empty cell":
            cells[column] = ""
        case "negative":
            cells[column] = mark + "-" + cells[column].strip('" ') + mark
        case "cut line":
            cells = cells[: max(1, column)]
        case "extra cell":
            cells.append("7")
        case "open quote":
            cells[column] = '"' + cells[column].strip('"')
        case "low above high":
            cells[2], cells[3] = cells[3], cells[2]
        case "off the grid":
            cells[0] = cells[0].replace("00000", "00007", 1).replace(":00", ":01", 1)
        case "other close time" if plan.has_flows:
            cells[6] = cells[0]
        case "mixed units":
            cells[0] = cells[0].replace("00000", "00000000", 1)
        case "repeated row":
            lines = [*lines, lines[at]]
        case "cut file":
            return [*lines[:at], plan.delimiter.join(cells[:-1])]
    lines = list(lines)
    lines[at] = plan.delimiter.join(cells)
    return lines


def damage_packed(plan: Plan, content: bytes) -> bytes:
    """Apply the fault of the plan to a file's bytes: cut or flipped bit."""
    if plan.damage == "cut file":
        return content[: plan.place % len(content)]
    if plan.damage == "flipped byte" and plan.packing:
        changed = bytearray(content)
        changed[plan.place % len(content)] ^= 1 << plan.place % 8
        return bytes(changed)
    return content


def write_typed(plan: Plan, cells: list[list], folder: Path) -> Path:
    names = header(plan)
    if "column" in plan.extras:
        names, cells = [*names, "sma_20"], [[*row, 0.5] for row in cells]
    cells = damage_cells(plan, cells)
    kind = plan.writer.split()[1]
    path = folder / f"{SYMBOL}-5m.{kind}"
    columns = dict(zip(names, map(list, zip(*cells, strict=True)), strict=True))
    if plan.writer.startswith("pandas"):
        frame = pd.DataFrame({name: series(column, plan) for name, column in columns.items()})
        (frame.to_parquet if kind == "parquet" else frame.to_feather)(path)
    else:
        frame = pl.DataFrame({name: polars_series(name, column, plan) for name, column in columns.items()})
        (frame.write_parquet if kind == "parquet" else frame.write_ipc)(path)
    path.write_bytes(damage_packed(plan, path.read_bytes()))
    return path


def series(column: list, plan: Plan) -> pd.Series:
    if plan.numbers == "category" and isinstance(column[0], str):
        return pd.Series(column, dtype="category")
    if isinstance(column[0], np.float32):
        return pd.Series(column, dtype="float32")
    return pd.Series(column)


def polars_series(name: str, column: list, plan: Plan) -> pl.Series:
    if plan.numbers == "category" and isinstance(column[0], str):
        return pl.Series(name, column, dtype=pl.Categorical)
    if isinstance(column[0], np.float32):
        return pl.Series(name, column, dtype=pl.Float32)
    if isinstance(column[0], datetime):
        zone = None if column[0].tzinfo is None else "UTC"
        return pl.Series(name, column, dtype=pl.Datetime("us", zone))
    if isinstance(column[0], Decimal):
        return pl.Series(name, column, dtype=pl.Decimal(38, 8))
    return pl.Series(name, column)


def damage_cells(plan: Plan, cells: list[list]) -> list[list]:
    """Apply the fault of the plan to one row of typed cells."""
    at = plan.place % len(cells)
    cells = [list(row) for row in cells]
    column = 1 + plan.place // 7 % 5
    match plan.damage:
        case "empty cell":
            cells[at][column] = None if at else cells[at][column]
        case "negative":
            cells[at][column] = f"-{cells[at][column]}" if isinstance(cells[at][column], str) else -cells[at][column]
        case "low above high":
            cells[at][2], cells[at][3] = cells[at][3], cells[at][2]
        case "off the grid" if not isinstance(cells[at][0], datetime):
            cells[at][0] += 7
        case "other close time" if plan.has_flows and not isinstance(cells[at][0], datetime):
            cells[at][6] += 60_000
        case "repeated row":
            cells.append(cells[at])
        case "mixed units" if isinstance(cells[at][0], int):
            cells[at][0] *= 1000
    return cells
