"""Strict parser of Universal Binary JSON, the format XGBoost writes; every length is checked."""

from typing import Any

import numpy as np

from modelregistry.errors import ModelLoadError

MAX_DEPTH = 32
MAX_VALUES = 20_000_000
NUMBERS: dict[bytes, np.dtype] = {
    b"i": np.dtype(">i1"),
    b"U": np.dtype(">u1"),
    b"I": np.dtype(">i2"),
    b"l": np.dtype(">i4"),
    b"L": np.dtype(">i8"),
    b"d": np.dtype(">f4"),
    b"D": np.dtype(">f8"),
}
LENGTHS = b"iUIlL"


def parse_ubjson(content: bytes, name: str) -> dict[str, Any]:
    r"""Parse a UBJSON object; typed arrays come back as NumPy arrays.

    Every length is compared with the remaining bytes before anything is allocated,
    so a malicious file costs at most a small multiple of its own size.

    Raises
    ------
    ModelLoadError
        If the content is truncated, nested too deep, or not UBJSON.

    Examples
    --------
    >>> parse_ubjson(b"{i\x01a[$U#i\x02\x07\x09i\x01bZ}", "x.ubj")
    {'a': array([7, 9], dtype=uint8), 'b': None}
    >>> parse_ubjson(b"{i\x7fa", "x.ubj")
    Traceback (most recent call last):
        ...
    modelregistry.errors.ModelLoadError: x.ubj is not UBJSON: it ends within a value at byte 3
    """
    try:
        return _Reader(content).page()
    except ValueError as error:
        raise ModelLoadError(f"{name} is not UBJSON: {error}") from error


class _Reader:
    """Cursor over the content."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0
        self.values = 0

    def page(self) -> dict[str, Any]:
        """Read the single object of the content."""
        if self.take(1) != b"{":
            raise ValueError("it does not begin with an object")
        value = self.object(0)
        if self.at != len(self.content):
            raise ValueError(f"{len(self.content) - self.at} bytes follow its end")
        return value

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        if count < 0 or count > len(self.content) - self.at:
            raise ValueError(f"it ends within a value at byte {self.at}")
        self.at += count
        return self.content[self.at - count : self.at]

    def peek(self) -> bytes:
        """Return the next byte without consuming it."""
        return self.content[self.at : self.at + 1]

    def number(self, marker: bytes) -> int | float:
        """Read one number of the type of `marker`."""
        dtype = NUMBERS[marker]
        found: int | float = np.frombuffer(self.take(dtype.itemsize), dtype)[0].item()
        return found

    def length(self) -> int:
        """Read a length: a marker and a number that is not negative."""
        marker = self.take(1)
        if marker not in NUMBERS or marker not in LENGTHS:
            raise ValueError(f"a length of type {marker!r} at byte {self.at}")
        length = int(self.number(marker))
        if length < 0:
            raise ValueError(f"a negative length at byte {self.at}")
        return length

    def text(self) -> str:
        """Read a length and as many bytes of UTF-8."""
        return self.take(self.length()).decode("utf-8")

    def value(self, depth: int) -> Any:
        """Read a marker and its value."""
        self.values += 1
        if depth > MAX_DEPTH or self.values > MAX_VALUES:
            raise ValueError(f"it has too many values, or nests too deep, at byte {self.at}")
        marker = self.take(1)
        if marker in NUMBERS:
            return self.number(marker)
        if marker == b"S":
            return self.text()
        if marker == b"{":
            return self.object(depth)
        if marker == b"[":
            return self.array(depth)
        if marker in {b"T", b"F", b"Z"}:
            return {b"T": True, b"F": False, b"Z": None}[marker]
        if marker == b"C":
            return self.take(1).decode("ascii")
        raise ValueError(f"an unknown marker {marker!r} at byte {self.at}")

    def object(self, depth: int) -> dict[str, Any]:
        """Read names and values up to the closing brace."""
        found: dict[str, Any] = {}
        if self.peek() in {b"#", b"$"}:
            raise ValueError(f"a counted object at byte {self.at}, which XGBoost never writes")
        while self.peek() != b"}":
            name = self.text()
            if name in found:
                raise ValueError(f"the key {name[:40]!r} appears twice")
            found[name] = self.value(depth + 1)
        self.take(1)
        return found

    def array(self, depth: int) -> "list[Any] | np.ndarray":
        """Read an array: typed and counted, counted, or up to the closing bracket."""
        if self.peek() == b"$":
            self.take(1)
            marker = self.take(1)
            if marker not in NUMBERS or self.take(1) != b"#":
                raise ValueError(f"a typed array of {marker!r} at byte {self.at}")
            dtype = NUMBERS[marker]
            packed = self.take(self.length() * dtype.itemsize)
            return np.frombuffer(packed, dtype).astype(dtype.newbyteorder("="))
        if self.peek() == b"#":
            self.take(1)
            count = self.length()
            if count > len(self.content) - self.at:
                raise ValueError(f"an array longer than the page at byte {self.at}")
            return [self.value(depth + 1) for _ in range(count)]
        found = []
        while self.peek() != b"]":
            found.append(self.value(depth + 1))
        self.take(1)
        return found
