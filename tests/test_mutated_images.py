"""Two thousand damaged images: each is written so that all readers agree, or rejected by a code."""

import collections
import io
import json
from collections.abc import Iterator

import numpy as np
import pandas as pd
import tensorflow_datasets as tfds
from conftest import build
from image_readers import drawn, encoded, is_read_alike
from PIL import Image

from medical_images.errors import ImageError
from medical_images.prepared_image import Prepared, prepare
from medical_images.rejects import CODES
from medical_images.spec_images import Images

MUTATED, SEED = 2000, 0
BLOCK = 4096
CODES_OF_DAMAGE = {"empty", "not_an_image", "unsupported", "truncated", "corrupt", "corrupt_scan"}
CODES_OF_DAMAGE |= {"too_large", "multi_frame", "needs_window", "channels"}
SPECS = (  # what is not to be the reason of a reject is accepted here
    Images(path="*", alpha="drop"),
    Images(path="*", channels=1, to_grey="luma", alpha="black"),
    Images(path="*", channels=4),
    Images(path="*", channels=1, to_grey="luma", alpha="drop", dtype="uint16"),
    Images(path="*", alpha="drop", corrupt_scan="write", window=(30000, 60000)),
    Images(path="*", alpha="white", resize={"max_side": 50}),
)


def originals() -> list[tuple[str, bytes]]:
    found = []
    for number in range(4):
        image = Image.fromarray(drawn(number, height=97, width=130))
        grey = image.convert("L")
        deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 16)
        tag = Image.Exif()
        tag[0x112], tag[0x10E] = number + 1, "a description"
        found += [
            ("jpeg", encoded(image, "JPEG", quality=95, exif=tag)),
            ("jpeg", encoded(image, "JPEG", quality=90, progressive=True, comment=b"a comment")),
            ("jpeg", encoded(image, "JPEG", quality=80, restart_marker_rows=1, subsampling=0)),
            ("jpeg", encoded(grey, "JPEG", quality=95)),
            ("jpeg", encoded(image.convert("CMYK"), "JPEG", quality=95)),
            ("png", encoded(image, "PNG", exif=tag)),
            ("png", encoded(grey, "PNG")),
            ("png", encoded(image.convert("RGBA"), "PNG")),
            ("png", encoded(image.quantize(), "PNG", transparency=1)),
            ("png", encoded(deep, "PNG")),
            ("tiff", encoded(image, "TIFF", compression="tiff_lzw")),
            ("tiff", encoded(grey, "TIFF")),
            ("tiff", encoded(deep, "TIFF", compression="tiff_adobe_deflate")),
            ("tiff", encoded(image, "TIFF", compression="jpeg")),
            ("tiff", encoded(image.convert("1"), "TIFF", compression="group4")),
            ("webp", encoded(image, "WEBP", quality=90)),
            ("webp", encoded(image, "WEBP", lossless=True, exif=tag)),
            ("gif", encoded(image.quantize(), "GIF")),
            ("bmp", encoded(image, "BMP")),
            ("bmp", encoded(image.quantize(), "BMP")),
        ]
    return found


def cut(data: bytearray, bits: np.random.Generator, other: bytes) -> bytes:
    return data[: bits.integers(len(data))] + bytes(other[-2:]) * int(bits.integers(2))


def flip_bytes(data: bytearray, bits: np.random.Generator, other: bytes) -> bytes:
    reach = len(data) if bits.integers(2) else min(len(data), 400)
    for at in bits.integers(reach, size=bits.integers(1, 9)):
        data[at] = bits.integers(256)
    return data


def zero_block(data: bytearray, bits: np.random.Generator, other: bytes) -> bytes:
    at = bits.integers(len(data))
    data[at : at + BLOCK] = bytes(len(data[at : at + BLOCK]))
    return data


def swap_header(data: bytearray, bits: np.random.Generator, other: bytes) -> bytes:
    size = int(bits.integers(8, 700))
    return other[:size] + data[size:]


MUTATIONS = (cut, flip_bytes, zero_block, swap_header)


def test_unharmed_images_are_written():
    for kind, data in originals():
        found = prepare(data, SPECS[4], name=f"a.{kind}")
        assert set(found.notes) <= {"converted"}
        assert is_read_alike(found.data, channels=3)


def outcome_of(data: bytes, images: Images, *, name: str = "") -> Prepared | str:
    """What is written, or the code of the reject; nothing else may be raised."""
    try:
        return prepare(data, images, name=name)
    except ImageError as error:
        return error.code


def damaged_images() -> Iterator[tuple[str, bytes, np.random.Generator]]:
    """Yields kind and bytes of each, and what further choices are drawn from."""
    sources = originals()
    bits = np.random.default_rng(SEED)
    for number in range(MUTATED):
        kind, data = sources[number % len(sources)]
        other = sources[bits.integers(len(sources))][1]
        mutate = MUTATIONS[bits.integers(len(MUTATIONS))]
        yield kind, bytes(mutate(bytearray(data), bits, other)), bits


def test_damaged_images_are_written_so_that_readers_agree_or_rejected():
    codes = collections.Counter()
    for where, (kind, damaged, bits) in enumerate(damaged_images()):
        images = SPECS[bits.integers(len(SPECS))]
        for check in ("header", "none"):
            found = outcome_of(damaged, images.model_copy(update={"check": check}))
            assert isinstance(found, Prepared) or found in CODES_OF_DAMAGE, where
        found = outcome_of(damaged, images, name=f"a.{kind}")
        if isinstance(found, str):
            assert found in CODES_OF_DAMAGE, where
            codes[found] += 1
            continue
        codes["written"] += 1
        assert set(found.notes) <= CODES.keys(), where
        assert is_read_alike(found.data, channels=images.channels, dtype=images.dtype), where
        with Image.open(io.BytesIO(found.data)) as image:
            assert image.size == found.size, where
    assert codes["written"] > 100
    assert min(codes[code] for code in ("truncated", "corrupt", "corrupt_scan")) > 50


def test_a_corpus_of_damaged_images_is_built(tmp_path):
    """What is written and what is rejected add up, and both engines of reading give one image."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number, (kind, damaged, _) in enumerate(damaged_images()):
        (folder / f"{number:04}.{kind}").write_bytes(damaged)
    spec = {
        "name": "mine",
        "images": {"path": "{n}.*", "channels": 3, "alpha": "drop", "window": [30000, 60000]},
        "features": {"n": {"type": "id"}},
        "duplicates": "report",
        "splits": {"train": 1},
        "rejects": {"max_fraction": 1},
    }
    path = folder / "corpus.yaml"
    path.write_text(json.dumps(spec))
    builder = build(path, tmp_path / "data")
    rejected = builder.info.metadata["rejects"]["rejected"]
    num_written = builder.info.splits["train"].num_examples
    assert num_written + sum(rejected.values()) == MUTATED
    assert set(rejected) <= CODES_OF_DAMAGE
    assert num_written > 100
    raw = builder.as_dataset(split="train", decoders={"image": tfds.decode.SkipDecoding()})
    assert all(is_read_alike(e["image"], channels=3) for e in tfds.as_numpy(raw))
    seen = [example["n"].decode() for example in tfds.as_numpy(raw)]
    listed = pd.read_csv(folder / "mine.rejects.csv", dtype=str, keep_default_na=False)
    lost = listed.path[listed.outcome == "rejected"].str.split(".").str[0].tolist()
    assert sorted([*seen, *lost]) == [f"{number:04}" for number in range(MUTATED)]
