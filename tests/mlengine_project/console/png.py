"""PNG files written smaller: the same pixels without row filters, which screens of flat colours do not need."""

import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {2: 3, 6: 4}
"""Bytes of a pixel by PNG colour type: RGB and RGBA of 8 bits."""


def compressed(picture):
    """The same picture with unfiltered rows at the highest compression.

    >>> pixels = bytes(range(6))
    >>> row = struct.pack(">IIBBBBB", 2, 1, 8, 2, 0, 0, 0)
    >>> small = compressed(written(row, [pixels]))
    >>> small == written(row, [pixels])
    True
    """
    parts = list(chunks(picture))
    header = next(content for name, content in parts if name == b"IHDR")
    width, height, depth, colour, *_, interlaced = struct.unpack(">IIBBBBB", header)
    if depth != 8 or colour not in CHANNELS or interlaced:
        raise ValueError("only plain RGB and RGBA pictures of 8 bits are read")
    packed = b"".join(content for name, content in parts if name == b"IDAT")
    return written(header, rows(zlib.decompress(packed), height, width * CHANNELS[colour], CHANNELS[colour]))


def chunks(picture):
    """Name and content of each chunk."""
    at = len(SIGNATURE)
    while at < len(picture):
        (length,) = struct.unpack_from(">I", picture, at)
        yield picture[at + 4 : at + 8], picture[at + 8 : at + 8 + length]
        at += 12 + length


def rows(packed, height, length, channels):
    """Bytes of each row with its filter undone."""
    before = bytes(length)
    for number in range(height):
        at = number * (length + 1)
        before = unfiltered(packed[at], packed[at + 1 : at + 1 + length], before, channels)
        yield before


def unfiltered(kind, row, above, channels):
    """One row, given its filter (0 to 4) and the row above it.

    >>> unfiltered(1, bytes([1, 1, 1, 2, 2, 2]), bytes(6), 3), unfiltered(2, bytes([1, 2, 3]), bytes([4, 5, 6]), 3)
    (b'\\x01\\x01\\x01\\x03\\x03\\x03', b'\\x05\\x07\\t')
    >>> unfiltered(4, bytes([1, 0, 0, 5, 0, 0]), bytes([9, 0, 0, 7, 0, 0]), 3)
    b'\\n\\x00\\x00\\x0c\\x00\\x00'
    """
    if kind == 0:
        return row
    values, over = np.frombuffer(row, np.uint8), np.frombuffer(above, np.uint8)
    if kind == 1:
        return np.add.accumulate(values.reshape(-1, channels), dtype=np.uint8).tobytes()
    if kind == 2:
        return (values + over).tobytes()
    found = [0] * channels + values.tolist()
    for place, upper in enumerate(above):
        left, corner = found[place], above[place - channels] if place >= channels else 0
        guess = (left + upper) >> 1 if kind == 3 else nearest(left, upper, corner)
        found[place + channels] = (found[place + channels] + guess) & 255
    return bytes(found[channels:])


def nearest(left, upper, corner):
    """Paeth's predictor: of three neighbours the one nearest to `left + upper - corner`."""
    sum_of_three = left + upper - corner
    return min((left, upper, corner), key=lambda value: abs(sum_of_three - value))


def written(header, unfiltered_rows):
    """A PNG file of one header and the bytes of its rows."""
    packed = zlib.compress(b"".join(b"\0" + bytes(row) for row in unfiltered_rows), 9)
    named = [(b"IHDR", header), (b"IDAT", packed), (b"IEND", b"")]
    return SIGNATURE + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in named
    )
