"""Invalid candles: every form changes a valid one, with seeded randomness."""

import gzip
import json
import random
import string

STEP = 300_000
TEXTS = ("o", "h", "l", "c", "v", "q", "V", "Q")
PLACES = {"t": 0, "o": 1, "h": 2, "l": 3, "c": 4, "v": 5, "T": 6, "q": 7, "n": 8, "V": 9, "Q": 10}
HTML = "<html><head><title>503 Service Temporarily Unavailable</title></head><body>{}</body></html>"

# Invalid decimal texts.
NUMBERS = {
    "NaN": lambda rng: rng.choice(["NaN", "nan", "-NaN", "NaN.0"]),
    "Infinity": lambda rng: rng.choice(["Infinity", "-Infinity", "inf", "1e999"]),
    "empty": lambda rng: rng.choice(["", " ", "\t"]),
    "null": lambda rng: None,
    "a boolean": lambda rng: rng.choice([True, False]),
    "a JSON number": lambda rng: rng.choice([rng.randint(0, 10**6), rng.random() * 1e5]),
    "negative": lambda rng: f"-{rng.randint(1, 10**6)}.{rng.randint(0, 10**8 - 1):08}",
    "with an exponent": lambda rng: f"{rng.randint(1, 9)}e{rng.randint(0, 30)}",
    "nine decimals": lambda rng: f"{rng.randint(1, 10**5)}.{rng.randint(0, 10**8 - 1):08}{rng.randint(1, 9)}",
    "too many digits": lambda rng: "9" * rng.randint(23, 5_000),
    "in another script": lambda rng: "".join(rng.choice("٠١٢٣٤٥٦٧٨٩") for _ in range(5)),
    "separated": lambda rng: rng.choice(["1_000", "1,000", "1 000", "1.000.0", "+1", "0x1F", ".5", "5."]),
    "a container": lambda rng: rng.choice([[], {}, ["1.0"], {"value": "1.0"}]),
    "with a NUL": lambda rng: f"{rng.randint(1, 9)}\0",
}
PRICES = {
    "zero price": lambda k, rng: k.update({rng.choice("ohlc"): "0.00000000"}),
    "high below low": lambda k, rng: k.update(h=k["l"], l=_more(k["h"], rng)),
    "close outside": lambda k, rng: k.update(c=_more(k["h"], rng)),
    "open outside": lambda k, rng: k.update(o=_less(k["l"])),
    "price beyond any": lambda k, rng: k.update(h=f"{10**12 + rng.randint(0, 10**9)}.00000000"),
    "volume beyond any": lambda k, rng: k.update(v=f"{10**21}.00000000"),
    "takers bought more than all": lambda k, rng: k.update(V=_more(k["v"], rng)),
}
COUNTS = {
    "trades negative": lambda rng: -rng.randint(1, 10**6),
    "trades a fraction": lambda rng: rng.random(),
    "trades a text": lambda rng: str(rng.randint(0, 100)),
    "trades true": lambda rng: True,
    "trades beyond any": lambda rng: 2**62 + rng.randint(0, 2**61),
}
TIMES = {
    "open off the grid": lambda t, rng: t + rng.randint(1, STEP - 1),
    "open in seconds": lambda t, rng: t // 1000,
    "open in microseconds": lambda t, rng: t * 1000,
    "open in 1970": lambda t, rng: STEP * rng.randint(0, 100),
    "open a text": lambda t, rng: str(t),
    "open a fraction": lambda t, rng: t + 0.5,
    "open missing": lambda t, rng: None,
}


def _more(text, rng):
    return f"{float(text) * (1 + rng.random()) + 1:.8f}"


def _less(text):
    return f"{float(text) / 2:.8f}"


def of_candles():
    """Forms of stream and REST: functions that change a kline with its short names."""
    forms = {f"a value {name}": _with_invalid_text(change) for name, change in NUMBERS.items()}
    forms |= PRICES
    forms |= {name: _with_value("n", change) for name, change in COUNTS.items()}
    forms |= {name: _with_open_time(change) for name, change in TIMES.items()}
    forms["close time of another candle"] = lambda k, rng: k.update(T=k["T"] + rng.choice([1, -1, STEP, 1000]))
    forms["close time a text"] = lambda k, rng: k.update(T=str(k["T"]))
    return forms


def _with_invalid_text(change):
    return lambda k, rng: k.update({rng.choice(TEXTS): change(rng)})


def _with_value(name, change):
    return lambda k, rng: k.update({name: change(rng)})


def _with_open_time(shift):
    return lambda k, rng: k.update(t=shift(k["t"], rng))


def _event(**changes):
    def change(k, event, rng):
        event.update({name: change(k, rng) for name, change in changes.items()})

    return change


def of_messages():
    """Forms of stream messages: functions that change (kline, event), given (kline, event, rng)."""
    forms = {name: (lambda k, event, rng, form=form: form(k, rng)) for name, form in of_candles().items()}
    forms |= {
        "called closed before its end": _event(E=lambda k, rng: k["t"] + rng.randint(0, STEP - 2)),
        "event time a text": _event(E=lambda k, rng: str(k["T"])),
        "of another kind": _event(e=lambda k, rng: rng.choice(["trade", "error", "24hrTicker", None, 7, ["kline"]])),
        "without a candle": _event(k=lambda k, rng: rng.choice([None, [], "k", 5, True])),
        "from another symbol's stream": _event(s=lambda k, rng: rng.choice(["ETHUSDT", "", None, 5])),
        "x is no boolean": lambda k, event, rng: k.update(x=rng.choice(["true", 1, None, "false", []])),
        "x is missing": lambda k, event, rng: k.pop("x"),
        "another symbol": lambda k, event, rng: k.update(s=rng.choice(["SOLUSDT", "", None, 1])),
        "a symbol in mixed case": lambda k, event, rng: k.update(s=k["s"].capitalize()),
        "a symbol beyond ASCII": lambda k, event, rng: k.update(
            s=rng.choice(["币安USDT", "BTCUSD\u0422", "BTC\0USDT"])
        ),
        "another interval": lambda k, event, rng: k.update(i=rng.choice(["1m", "5M", "1h", "", None, 5])),
        "a field missing": lambda k, event, rng: k.pop(rng.choice([*TEXTS, "t", "T", "n"])),
    }
    return forms


def wire(kline, event):
    """A stream message as JSON text."""
    return json.dumps({"stream": "btcusdt@kline_5m", "data": {**event, "k": event.get("k", kline)}})


def of_frames():
    """Forms that are not messages: (valid message as text, rng) -> text or bytes."""
    return {
        "cut off": lambda text, rng: text[: rng.randint(1, len(text) - 1)],
        "HTML": lambda text, rng: HTML.format(rng.randint(0, 9)),
        "noise": lambda text, rng: "".join(rng.choice(string.printable) for _ in range(rng.randint(1, 300))) + "{",
        "bytes": lambda text, rng: b"\xff" + rng.randbytes(rng.randint(1, 300)),
        "bad UTF-8 in bytes": lambda text, rng: text.encode().replace(b"BTC", b"\xc3\x28"),
        "a byte order mark": lambda text, rng: "\ufeff" + text,
        "a list": lambda text, rng: f"[{text}]",
        "a scalar": lambda text, rng: rng.choice(["null", "true", "0", '"kline"', "1e400", "-0.0"]),
        "an empty object": lambda text, rng: rng.choice(["{}", '{"data":{}}', '{"stream":"","data":[]}']),
        "nothing": lambda text, rng: "",
        "nested deeply": lambda text, rng: "[" * rng.randint(2_000, 100_000),
        "NaN as a number": lambda text, rng: text.replace('"o": "', '"o": NaN, "oo": "'),
        "a lone surrogate": lambda text, rng: text.replace("BTCUSDT", "\\ud800"),
        "an endless integer": lambda text, rng: '{"e": ' + "7" * 5_000 + "}",
        "a key twice": lambda text, rng: text.replace('"c": "', '"c": "NaN", "c": "-'),
        "very long": lambda text, rng: json.dumps({"e": "x" * 300_000}),
        "an error of the library's kind": lambda text, rng: json.dumps({"e": "error", "type": "X", "m": text[:20]}),
        "an answer without a request": lambda text, rng: json.dumps({"result": None, "id": rng.randint(1, 99)}),
    }


def of_rows():
    """Forms of one row of a page: functions of (row, rng) that give its replacement."""

    def through(form):
        def change(row, rng):
            kline = {name: row[place] for name, place in PLACES.items()}
            form(kline, rng)
            return [kline[name] for name in PLACES] + ["0"]

        return change

    return {name: through(form) for name, form in of_candles().items()} | {
        "a row too short": lambda row, rng: row[: rng.randint(0, 11)],
        "a row too long": lambda row, rng: [*row, "0"],
        "a row that is none": lambda row, rng: rng.choice([None, {}, "row", 5, True]),
        "a day earlier": lambda row, rng: _moved(row, -288),
    }


def _moved(row, n_candles):
    return [row[0] + n_candles * STEP, *row[1:6], row[6] + n_candles * STEP, *row[7:]]


def of_pages():
    """Forms of pages: functions of (rows, rng) that give the value sent as JSON instead."""
    return {
        "newest first": lambda rows, rng: rows[::-1],
        "rows twice": lambda rows, rng: [row for row in rows for _ in range(2)],
        "more rows than asked for": lambda rows, rng: [*rows, *(_moved(rows[-1], n) for n in range(1, 5))],
        "1,001 rows": lambda rows, rng: rows * (1001 // len(rows) + 1),
        "no list": lambda rows, rng: rng.choice([{}, {"rows": rows}, None, "page", 5, True]),
        "an error's body with status 200": lambda rows, rng: {"code": -1000, "msg": "An unknown error occurred."},
    }


def of_bodies():
    """Forms of bodies that are not JSON: (valid body, rng) -> bytes and headers."""
    return {
        "cut off": lambda body, rng: (body[: rng.randint(1, len(body) - 1)], {}),
        "HTML": lambda body, rng: (HTML.format(rng.randint(0, 9)).encode(), {"Content-Type": "text/html"}),
        "nothing": lambda body, rng: (b"", {}),
        "noise": lambda body, rng: (b"\xff" + rng.randbytes(rng.randint(1, 300)), {}),
        "a byte order mark": lambda body, rng: (b"\xef\xbb\xbf" + body, {}),
        "nested deeply": lambda body, rng: (b"[" * rng.randint(2_000, 100_000), {}),
        "gzip cut off": lambda body, rng: (gzip.compress(body)[:-12], {"Content-Encoding": "gzip"}),
        "gzip that is none": lambda body, rng: (body, {"Content-Encoding": "gzip"}),
        "50 MB": lambda body, rng: (b"[" + b"0," * 26_000_000 + b"0]", {}),
    }


RARE = {"50 MB": 3, "very long": 20, "nested deeply": 50}
"""Maximum numbers of the expensive forms."""


def rng_of(seed, form, number):
    """Random generator of one message, so that every message can be reproduced alone."""
    return random.Random(f"{seed}:{form}:{number}")
