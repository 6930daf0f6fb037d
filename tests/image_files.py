"""Image files of kinds that Pillow reads and does not write."""

import struct
import zlib


def png(*, bits, kind, rows, width, chunks=()):
    """A PNG file of rows as they are stored, without their filters."""

    def chunk(name, data):
        parts = name + data
        return struct.pack(">I", len(data)) + parts + struct.pack(">I", zlib.crc32(parts))

    header = struct.pack(">IIBBBBB", width, len(rows), bits, kind, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", packed), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def grey_tiff(*, bits, rows, width, white_is_zero):
    """A TIFF file of rows as they are stored."""
    data = b"".join(rows)
    data += bytes(-len(data) % 2)
    short, long = 3, 4
    tags = [
        (256, short, width),
        (257, short, len(rows)),
        (258, short, bits),
        (259, short, 1),
        (262, short, 0 if white_is_zero else 1),
        (273, long, 8),
        (277, short, 1),
        (278, short, len(rows)),
        (279, long, sum(map(len, rows))),
    ]
    entries = b"".join(struct.pack("<HHII", tag, type_, 1, value) for tag, type_, value in tags)
    head = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    return head + data + struct.pack("<H", len(tags)) + entries + bytes(4)
