"""Image files, good ones and others, made byte by byte where Pillow would not write them."""

import io
import struct
import zlib

import numpy as np
from dicom_files import dicom_bytes
from PIL import Image


def noise(height=16, width=16, channels=3, *, seed=0, dtype=np.uint8):
    """Pixels of shape (height, width, channels), or (height, width) for `channels=0`."""
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def encoded(image, file_format="PNG", **options):
    """The file of a Pillow image, or of an array."""
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    file = io.BytesIO()
    image.save(file, format=file_format, **options)
    return file.getvalue()


def decoded(data, mode="RGB"):
    """What Pillow reads; the numpy oracle of files that it reads rightly."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert(mode))


def jpeg(*, height=64, width=64, seed=0, quality=95, **options):
    """A JPEG file with a scan that is long enough to be damaged in the middle."""
    return encoded(noise(height, width, seed=seed), "JPEG", quality=quality, **options)


def jpeg_told_as(width, height):
    """A JPEG file whose header tells of another size."""
    data = bytearray(jpeg())
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def chunk(kind, content):
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def chunks_of(png):
    """[(kind, content)] of a PNG file."""
    found, place = [], 8
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        found.append((png[place + 4 : place + 8], png[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def png_with_wrong_crc(png):
    """A PNG file, one bit of whose pixels was flipped."""
    place = png.index(b"IDAT") + 8
    return png[:place] + bytes([png[place] ^ 1]) + png[place + 1 :]


def png_without_end(png):
    """A PNG file whose last chunk is lost."""
    return png[: png.rindex(b"IEND") - 4]


def png_of_zeros(width, height):
    """A small file of a large grey image; what is packed is packed in equal blocks."""
    row, packer = bytes(1 + width), zlib.compressobj(9)
    start = packer.compress(row) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(row * 100) + packer.flush(zlib.Z_FULL_FLUSH)
    rest = packer.compress(row * ((height - 1) % 100)) + packer.flush(zlib.Z_FULL_FLUSH)
    total = (1 + width) * height
    adler = ((total % 65521) << 16) | 1  # of zeros
    packed = start + block * ((height - 1) // 100) + rest + b"\x03\x00" + struct.pack(">I", adler)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", packed), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png_told_as(width, height):
    """A PNG file whose header tells of another size."""
    png = encoded(noise())
    header = struct.pack(">II", width, height) + chunks_of(png)[0][1][8:]
    return png[:8] + chunk(b"IHDR", header) + png[33:]


def animated(file_format, *, num_frames=3, height=16, width=16):
    """An image of several frames, or of several pages."""
    frames = [Image.new("RGB", (width, height), (k % 256, 0, 0)) for k in range(num_frames)]
    for k, frame in enumerate(frames):
        frame.putpixel((k % width, 0), (0, 255, 0))
    return encoded(frames[0], file_format, save_all=True, append_images=frames[1:])


def dicom(pixels, **fields):
    """The DICOM file of grey pixels of 16 bits, with tokens for the name and id of a patient."""
    patient = {"PatientName": "surnameQZ00", "PatientID": "patientQZ00"}
    return dicom_bytes(pixels.astype(np.uint16), **(patient | fields))
