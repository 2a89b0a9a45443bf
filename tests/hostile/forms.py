"""Candles as no exchange should send them: every form takes a right one and spoils it, by seeded chance."""

import gzip
import json
import random
import string

STEP = 300_000
TEXTS = ("o", "h", "l", "c", "v", "q", "V", "Q")
PLACES = {"t": 0, "o": 1, "h": 2, "l": 3, "c": 4, "v": 5, "T": 6, "q": 7, "n": 8, "V": 9, "Q": 10}
HTML = "<html><head><title>503 Service Temporarily Unavailable</title></head><body>{}</body></html>"

# What a decimal text may not be.
NUMBERS = {
    "NaN": lambda dice: dice.choice(["NaN", "nan", "-NaN", "NaN.0"]),
    "Infinity": lambda dice: dice.choice(["Infinity", "-Infinity", "inf", "1e999"]),
    "empty": lambda dice: dice.choice(["", " ", "\t"]),
    "null": lambda dice: None,
    "a boolean": lambda dice: dice.choice([True, False]),
    "a JSON number": lambda dice: dice.choice([dice.randint(0, 10**6), dice.random() * 1e5]),
    "negative": lambda dice: f"-{dice.randint(1, 10**6)}.{dice.randint(0, 10**8 - 1):08}",
    "with an exponent": lambda dice: f"{dice.randint(1, 9)}e{dice.randint(0, 30)}",
    "nine decimals": lambda dice: f"{dice.randint(1, 10**5)}.{dice.randint(0, 10**8 - 1):08}{dice.randint(1, 9)}",
    "too many digits": lambda dice: "9" * dice.randint(23, 5_000),
    "in another script": lambda dice: "".join(dice.choice("٠١٢٣٤٥٦٧٨٩") for _ in range(5)),
    "separated": lambda dice: dice.choice(["1_000", "1,000", "1 000", "1.000.0", "+1", "0x1F", ".5", "5."]),
    "a container": lambda dice: dice.choice([[], {}, ["1.0"], {"value": "1.0"}]),
    "with a NUL": lambda dice: f"{dice.randint(1, 9)}\0",
}
PRICES = {
    "zero price": lambda k, dice: k.update({dice.choice("ohlc"): "0.00000000"}),
    "high below low": lambda k, dice: k.update(h=k["l"], l=_more(k["h"], dice)),
    "close outside": lambda k, dice: k.update(c=_more(k["h"], dice)),
    "open outside": lambda k, dice: k.update(o=_less(k["l"])),
    "price beyond any": lambda k, dice: k.update(h=f"{10**12 + dice.randint(0, 10**9)}.00000000"),
    "volume beyond any": lambda k, dice: k.update(v=f"{10**21}.00000000"),
    "takers bought more than all": lambda k, dice: k.update(V=_more(k["v"], dice)),
}
COUNTS = {
    "trades negative": lambda dice: -dice.randint(1, 10**6),
    "trades a fraction": lambda dice: dice.random(),
    "trades a text": lambda dice: str(dice.randint(0, 100)),
    "trades true": lambda dice: True,
    "trades beyond any": lambda dice: 2**62 + dice.randint(0, 2**61),
}
TIMES = {
    "open off the grid": lambda t, dice: t + dice.randint(1, STEP - 1),
    "open in seconds": lambda t, dice: t // 1000,
    "open in microseconds": lambda t, dice: t * 1000,
    "open in 1970": lambda t, dice: STEP * dice.randint(0, 100),
    "open a text": lambda t, dice: str(t),
    "open a fraction": lambda t, dice: t + 0.5,
    "open missing": lambda t, dice: None,
}


def _more(text, dice):
    return f"{float(text) * (1 + dice.random()) + 1:.8f}"


def _less(text):
    return f"{float(text) / 2:.8f}"


def of_candles():
    """Forms both doors know: functions of a kline by its short names, which they change."""
    forms = {f"a value {name}": _spoil(spoil) for name, spoil in NUMBERS.items()}
    forms |= PRICES
    forms |= {name: _put("n", spoil) for name, spoil in COUNTS.items()}
    forms |= {name: _shift(spoil) for name, spoil in TIMES.items()}
    forms["close time of another candle"] = lambda k, dice: k.update(T=k["T"] + dice.choice([1, -1, STEP, 1000]))
    forms["close time a text"] = lambda k, dice: k.update(T=str(k["T"]))
    return forms


def _spoil(spoil):
    return lambda k, dice: k.update({dice.choice(TEXTS): spoil(dice)})


def _put(name, spoil):
    return lambda k, dice: k.update({name: spoil(dice)})


def _shift(shift):
    return lambda k, dice: k.update(t=shift(k["t"], dice))


def _event(**changes):
    def change(k, event, dice):
        event.update({name: spoil(k, dice) for name, spoil in changes.items()})

    return change


def of_messages():
    """Forms of whole messages of the stream: functions of (kline, event, dice), which they change."""
    forms = {name: (lambda k, event, dice, form=form: form(k, dice)) for name, form in of_candles().items()}
    forms |= {
        "called closed before its end": _event(E=lambda k, dice: k["t"] + dice.randint(0, STEP - 2)),
        "event time a text": _event(E=lambda k, dice: str(k["T"])),
        "of another kind": _event(e=lambda k, dice: dice.choice(["trade", "error", "24hrTicker", None, 7, ["kline"]])),
        "without a candle": _event(k=lambda k, dice: dice.choice([None, [], "k", 5, True])),
        "from another symbol's stream": _event(s=lambda k, dice: dice.choice(["ETHUSDT", "", None, 5])),
        "x is no boolean": lambda k, event, dice: k.update(x=dice.choice(["true", 1, None, "false", []])),
        "x is missing": lambda k, event, dice: k.pop("x"),
        "another symbol": lambda k, event, dice: k.update(s=dice.choice(["SOLUSDT", "", None, 1])),
        "a symbol in mixed case": lambda k, event, dice: k.update(s=k["s"].capitalize()),
        "a symbol beyond ASCII": lambda k, event, dice: k.update(
            s=dice.choice(["币安USDT", "BTCUSD\u0422", "BTC\0USDT"])
        ),
        "another interval": lambda k, event, dice: k.update(i=dice.choice(["1m", "5M", "1h", "", None, 5])),
        "a field missing": lambda k, event, dice: k.pop(dice.choice([*TEXTS, "t", "T", "n"])),
    }
    return forms


def wire(kline, event):
    """A message as it goes over the wire."""
    return json.dumps({"stream": "btcusdt@kline_5m", "data": {**event, "k": event.get("k", kline)}})


def of_frames():
    """Forms that are no message at all: functions of (a right message as text, dice), giving text or bytes."""
    return {
        "cut off": lambda text, dice: text[: dice.randint(1, len(text) - 1)],
        "HTML": lambda text, dice: HTML.format(dice.randint(0, 9)),
        "noise": lambda text, dice: "".join(dice.choice(string.printable) for _ in range(dice.randint(1, 300))) + "{",
        "bytes": lambda text, dice: b"\xff" + dice.randbytes(dice.randint(1, 300)),
        "bad UTF-8 in bytes": lambda text, dice: text.encode().replace(b"BTC", b"\xc3\x28"),
        "a byte order mark": lambda text, dice: "\ufeff" + text,
        "a list": lambda text, dice: f"[{text}]",
        "a scalar": lambda text, dice: dice.choice(["null", "true", "0", '"kline"', "1e400", "-0.0"]),
        "an empty object": lambda text, dice: dice.choice(["{}", '{"data":{}}', '{"stream":"","data":[]}']),
        "nothing": lambda text, dice: "",
        "nested deeply": lambda text, dice: "[" * dice.randint(2_000, 100_000),
        "NaN as a number": lambda text, dice: text.replace('"o": "', '"o": NaN, "oo": "'),
        "a lone surrogate": lambda text, dice: text.replace("BTCUSDT", "\\ud800"),
        "an endless integer": lambda text, dice: '{"e": ' + "7" * 5_000 + "}",
        "a key twice": lambda text, dice: text.replace('"c": "', '"c": "NaN", "c": "-'),
        "very long": lambda text, dice: json.dumps({"e": "x" * 300_000}),
        "an error of the library's kind": lambda text, dice: json.dumps({"e": "error", "type": "X", "m": text[:20]}),
        "an answer nobody asked for": lambda text, dice: json.dumps({"result": None, "id": dice.randint(1, 99)}),
    }


def of_rows():
    """Forms of one row of a page: functions of (row, dice), giving what stands in its place."""

    def through(form):
        def change(row, dice):
            kline = {name: row[place] for name, place in PLACES.items()}
            form(kline, dice)
            return [kline[name] for name in PLACES] + ["0"]

        return change

    return {name: through(form) for name, form in of_candles().items()} | {
        "a row too short": lambda row, dice: row[: dice.randint(0, 11)],
        "a row too long": lambda row, dice: [*row, "0"],
        "a row that is none": lambda row, dice: dice.choice([None, {}, "row", 5, True]),
        "a day earlier": lambda row, dice: _moved(row, -288),
    }


def _moved(row, n_candles):
    return [row[0] + n_candles * STEP, *row[1:6], row[6] + n_candles * STEP, *row[7:]]


def of_pages():
    """Forms of whole pages: functions of (rows, dice), giving what is sent as JSON instead."""
    return {
        "newest first": lambda rows, dice: rows[::-1],
        "rows twice": lambda rows, dice: [row for row in rows for _ in range(2)],
        "more rows than asked for": lambda rows, dice: [*rows, *(_moved(rows[-1], n) for n in range(1, 5))],
        "1,001 rows": lambda rows, dice: rows * (1001 // len(rows) + 1),
        "no list": lambda rows, dice: dice.choice([{}, {"rows": rows}, None, "page", 5, True]),
        "an error's body with status 200": lambda rows, dice: {"code": -1000, "msg": "An unknown error occurred."},
    }


def of_bodies():
    """Forms of bodies that are no JSON: functions of (the right body, dice), giving bytes and headers."""
    return {
        "cut off": lambda body, dice: (body[: dice.randint(1, len(body) - 1)], {}),
        "HTML": lambda body, dice: (HTML.format(dice.randint(0, 9)).encode(), {"Content-Type": "text/html"}),
        "nothing": lambda body, dice: (b"", {}),
        "noise": lambda body, dice: (b"\xff" + dice.randbytes(dice.randint(1, 300)), {}),
        "a byte order mark": lambda body, dice: (b"\xef\xbb\xbf" + body, {}),
        "nested deeply": lambda body, dice: (b"[" * dice.randint(2_000, 100_000), {}),
        "gzip cut off": lambda body, dice: (gzip.compress(body)[:-12], {"Content-Encoding": "gzip"}),
        "gzip that is none": lambda body, dice: (body, {"Content-Encoding": "gzip"}),
        "50 MB": lambda body, dice: (b"[" + b"0," * 26_000_000 + b"0]", {}),
    }


RARE = {"50 MB": 3, "very long": 20, "nested deeply": 50}
"""Forms that cost more than they tell, and how many of each are enough."""


def dice_of(seed, form, number):
    """Chance of its own for every single message, so that any of them can be made again."""
    return random.Random(f"{seed}:{form}:{number}")
