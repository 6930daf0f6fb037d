"""How the readers of a dataset decode an image, and images of each kind to try them with."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from medical_images.phantom_images import draw_image

JPEG_LEVELS = 16  # TensorFlow takes JPEG's fast transformation, which is that inexact


def by_each_reader(data: bytes, *, channels: int, dtype: str = "uint8") -> dict[str, np.ndarray]:
    """What `as_dataset` gives, and `as_data_source` with and without OpenCV: (h, w, channels)."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    feature = tfds.features.Image(shape=(None, None, channels), dtype=np.dtype(dtype))
    found = {
        "as_dataset": feature.decode_example(tf.constant(data)).numpy(),
        "opencv": feature.decode_example_np_with_opencv(data, channels),
    }
    if dtype == "uint8":  # the path by Pillow knows no other type
        found["pillow"] = feature.decode_example_np_with_pil(data, channels)
    return found


def is_read_alike(data: bytes, *, channels: int, dtype: str = "uint8") -> bool:
    """Whether the readers agree; with JPEG, TensorFlow's transformation is put aside."""
    import tensorflow as tf

    found = by_each_reader(data, channels=channels, dtype=dtype)
    shapes = {array.shape for array in found.values()}
    types = {array.dtype for array in found.values()}
    if data.startswith(b"\xff\xd8"):
        exact = tf.io.decode_jpeg(data, channels=channels, dct_method="INTEGER_ACCURATE").numpy()
        found["as_dataset"] = exact
    first, *others = found.values()
    same = all(np.array_equal(first, other) for other in others)
    return same and len(shapes) == 1 and types == {np.dtype(dtype)} and first.shape[2] == channels


def drawn(number: int = 1, *, height: int = 45, width: int = 62) -> np.ndarray:
    """A coloured image, uint8 of shape (height, width, 3)."""
    return draw_image("mel", number, height, width, 0)


def encoded(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of PNG."""
    total = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", total)


def with_chunks(png: bytes, *chunks: bytes) -> bytes:
    """A PNG file with more chunks behind its header."""
    return png[:33] + b"".join(chunks) + png[33:]


def segment(code: int, content: bytes) -> bytes:
    """A segment of JPEG."""
    return bytes([0xFF, code]) + struct.pack(">H", len(content) + 2) + content


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """A JPEG file with more segments behind its first."""
    at = 4 + struct.unpack_from(">H", jpeg, 4)[0]
    return jpeg[:at] + b"".join(segments) + jpeg[at:]


def exif(orientation: int, *, more: bytes = b"") -> bytes:
    """EXIF that tells an orientation, from the mark of its byte order on."""
    return struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 0x112, 3, 1, orientation, 0, 0) + more
