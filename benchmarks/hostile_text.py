"""CPU time of all readers of external text, by the length of the text.

    uv run python -m benchmarks.hostile_text --json [--sizes 8192 16384 32768 65536] [--repeats 5]

Each reader is given the worst texts for its kind of pattern: runs of one character, beginnings
without an end, labels without a value. The slowest text counts. The last line is one JSON object: seconds by size and
the largest ratio of seconds when the length doubles (2 is linear, 4 is quadratic), by reader. Measurements under a
tenth of a millisecond are noise, so they carry no ratio.
"""

import argparse
import ast
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("indicators", "marketdata", "modelregistry", "predictions", "signals", "mlengine_project")
SIZES = (8192, 16_384, 32_768, 65_536)
NOISE_SECONDS = 1e-4
IMPORTS_RE = re.compile(r"^[ ]*import re$", re.MULTILINE)
"""A file without this line cannot call a function of `re` by the name `re`."""
PIECES = (
    "a", "A", "0", " ", "\\", '"', "'", "/", ":", "=", "-", ".", "[", "%", "é",
    "a:", "a://", "a://a:", "://", "://:", "a=", "a;", "0.", "0-", "A-", " =", "token", "token ", "token=", "token: ",
    "api_key", "bearer ", "token=bearer ", "mle_", "mle_00000000_", "mle_00000000_a", "banned until ", "banned until 1",
)  # fmt: skip
"""Pieces repeated in a hostile text, also after a beginning and before an end that cannot match."""
BEGINNINGS = ("", "a://a:", "token=", "token", "mle_00000000_", "A-0m-", "/")
ENDS = ("", "\n", "!")

Reader = Callable[[str], object]


@cache
def literal_patterns() -> tuple[tuple[str, str, int], ...]:
    """Every regular expression in the source: location, pattern and flags."""
    found = []
    for path in _source_files():
        text = path.read_text()
        if not IMPORTS_RE.search(text):  # parsing all files takes seconds
            continue
        for call in ast.walk(ast.parse(text)):
            if _is_pattern_call(call):
                flags = "re.IGNORECASE" in map(ast.unparse, call.args)
                place = f"{path.relative_to(ROOT)}:{call.lineno}"
                found.append((place, ast.literal_eval(call.args[0]), re.IGNORECASE if flags else 0))
    return tuple(found)


def _source_files() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def _is_pattern_call(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and node.func.attr in {"compile", "match", "search", "fullmatch", "sub", "split", "findall", "finditer"}
    )


def pattern_readers() -> dict[str, Reader]:
    """Search and full match of every pattern of the source."""

    def reader(pattern: re.Pattern[str]) -> Reader:
        return lambda text: (pattern.sub("", text), pattern.fullmatch(text))

    return {place: reader(re.compile(pattern, flags)) for place, pattern, flags in literal_patterns()}


def function_readers() -> dict[str, Reader]:
    """Functions of the engine and of libraries that read external text completely."""
    import orjson
    from django.http import QueryDict
    from django.http.cookie import parse_cookie
    from django.utils.http import url_has_allowed_host_and_scheme

    from mlengine_project.http.json_codec import media_type_of, read_json
    from mlengine_project.http.limits import with_plain_cookies
    from mlengine_project.operations.logs.redaction import redact, shortened
    from mlengine_project.operations.logs.structured import request_id_from
    from signals.delivery.protocol import parse

    def cookies(text: str) -> object:
        """A header has 8 KiB at most (`mlengine_project.http.protocol`)."""
        scope = {"headers": [(b"cookie", b'a="%b"' % text[:8192].encode("latin-1", "replace"))]}
        return [parse_cookie(value.decode("latin-1")) for _, value in with_plain_cookies(scope)["headers"]]

    def tolerant(read: Reader) -> Reader:
        def reading(text: str) -> object:
            try:
                return read(text)
            except Exception as refusal:
                return refusal

        return reading

    readers: dict[str, Reader] = {
        "redact": redact,
        "shortened": shortened,
        "request_id_from": request_id_from,
        "media_type_of": media_type_of,
        "read_json": lambda text: read_json(orjson.dumps({"symbol": text})),
        "read_json, as it is": lambda text: read_json(text.encode()),
        "websocket message": lambda text: parse(orjson.dumps({"type": "subscribe", "symbols": [text]}).decode()),
        "next of a sign-in": lambda text: url_has_allowed_host_and_scheme(text, {"localhost"}),
        "query": QueryDict,
        "cookies": cookies,
    }
    return {name: tolerant(read) for name, read in readers.items()}


def texts(size: int) -> Iterator[str]:
    """Hostile texts of one length."""
    for piece in PIECES:
        for beginning in BEGINNINGS:
            for end in ENDS:
                room = size - len(beginning) - len(end)
                yield beginning + (piece * (room // len(piece) + 1))[:room] + end


def seconds_of(read: Reader, text: str, repeats: int = 1) -> float:
    """Minimum CPU time of one reading."""
    found = []
    for _ in range(repeats):
        started = time.process_time()
        read(text)
        found.append(time.process_time() - started)
    return min(found)


def worst(read: Reader, sizes: Sequence[int], repeats: int) -> dict[int, float]:
    """Seconds by length, of the texts that are slowest at a quarter of the shortest length."""
    first = {n: seconds_of(read, text) for n, text in enumerate(texts(sizes[0] // 4))}
    slowest = sorted(first, key=first.__getitem__, reverse=True)[:8]
    found: dict[int, float] = {}
    for n in slowest:
        seconds = {size: seconds_of(read, next(islice(texts(size), n, None)), repeats) for size in sizes}
        if seconds[sizes[-1]] > found.get(sizes[-1], -1.0):
            found = seconds
    return found


def largest_doubling(seconds: dict[int, float]) -> float | None:
    """Largest ratio of seconds from one length to its double; None below the noise level."""
    ratios = [
        seconds[2 * size] / max(spent, NOISE_SECONDS)
        for size, spent in seconds.items()
        if 2 * size in seconds and seconds[2 * size] > 2 * NOISE_SECONDS
    ]
    return round(max(ratios), 2) if ratios else None


def main() -> None:
    """Measure every reader and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlengine_project.settings")
    import django

    django.setup()
    found = {}
    for name, read in {**function_readers(), **pattern_readers()}.items():
        seconds = worst(read, options.sizes, options.repeats)
        found[name] = {"seconds": {str(size): round(spent, 6) for size, spent in seconds.items()}}
        found[name]["largest_doubling"] = largest_doubling(seconds)
        figures = "  ".join(f"{size // 1024} KiB {spent * 1000:8.3f} ms" for size, spent in seconds.items())
        print(f"{name:44} {figures}  doubling {found[name]['largest_doubling'] or '-'}")
    ratios = [entry["largest_doubling"] for entry in found.values() if entry["largest_doubling"]]
    slowest = max(max(entry["seconds"].values()) for entry in found.values())
    summary = {"readers": found, "largest_doubling": max(ratios, default=None), "most_seconds": slowest}
    if options.json:
        print(json.dumps(summary))


if __name__ == "__main__":
    main()
