"""Made-up trees in the exact layout of each corpus of the catalog: one module a corpus.

A module has the name of its corpus, and

- `write(tree)`: writes tables and images below `tree.root`, with the headers, sentinels and
  oddities of the real ones and pixels of the phantom;
- `EXPECTED`: what a build of it must hold.

Nothing in them is of a real patient.
"""

from __future__ import annotations

import csv
import dataclasses
import gzip
import importlib
import io
import itertools
import pathlib
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medical_images.phantom import CLASSES
from medical_images.phantom_images import draw_image


@dataclasses.dataclass(frozen=True, kw_only=True)
class Expected:
    """What a build of a tree must hold.

    Attributes:
      splits: {split: images}; of planned splits too, as small as they are.
      examples: {path below the root: {feature: value as `mi.index` gives it}}: rows that exercise
        sentinels, renaming, units; a missing float is `None`.
      rejects: {outcome: {code: number}}, exactly as `info.metadata["rejects"]`.
      together: Sets of paths that share a group.
      apart: Pairs of paths of different groups (blank ids, equal numbers of different patients).
      draft_images: What the drafted `images: path` may be: one of these templates.
      draft_group: What the drafted `group` may be: one of these lists of columns; an empty list is
        "each image alone", right where nothing in names or tables tells more.
    """

    splits: Mapping[str, int]
    examples: Mapping[str, Mapping[str, Any]]
    rejects: Mapping[str, Mapping[str, int]] = dataclasses.field(default_factory=dict)
    together: Sequence[Sequence[str]] = ()
    apart: Sequence[tuple[str, str]] = ()
    draft_images: Sequence[str] = ()
    draft_group: Sequence[Sequence[str]] = ((),)


class Tree:
    """Writes a corpus below a folder. No two images have the same pixels.

    Args:
      root: The folder; it is made.
    """

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self._numbers = itertools.count()

    def write(self, path: str, data: bytes) -> None:
        """Writes a file, packed where its name ends with `.gz`."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(gzip.compress(data, mtime=0) if path.endswith(".gz") else data)

    def table(
        self,
        path: str,
        header: str | None,
        rows: Iterable[Sequence[object]],
        *,
        end: str = "\n",
        encoding: str = "utf-8",
        separator: str = ",",
    ) -> None:
        """Writes a table: `header` letter by letter, then rows with quotes where they need them."""
        text = io.StringIO()
        if header is not None:
            text.write(header + end)
        csv.writer(text, lineterminator=end, delimiter=separator).writerows(rows)
        self.write(path, text.getvalue().encode(encoding))

    def pixels(self, size: tuple[int, int] = (24, 32), *, look: str = "nv") -> NDArray[np.uint8]:
        """Draws an image: uint8 of shape (height, width, 3), never the same twice."""
        assert look in CLASSES
        return draw_image(look, next(self._numbers), *size, 7)

    def image(
        self, path: str, *, mode: str = "RGB", size: tuple[int, int] = (24, 32), look: str = "nv"
    ) -> None:
        """Draws and writes an image of the kind that its name's end tells (JPEG, PNG, TIFF, ...).

        Args:
          path: Below the root; letter case of the extension is free.
          mode: Pillow's: `RGB`, `L`, `RGBA` (opaque), or `I;16` (16 bits, grey).
          size: Height and width.
          look: A class of the phantom.
        """
        self.write(path, self.encoded(path, mode=mode, size=size, look=look))

    def encoded(
        self, name: str, *, mode: str = "RGB", size: tuple[int, int] = (24, 32), look: str = "nv"
    ) -> bytes:
        """Draws an image and returns the bytes of its file; see `image`."""
        drawn = self.pixels(size, look=look)
        if mode == "I;16":
            image = Image.fromarray(drawn[..., 0].astype(np.uint16) * 257)
        else:
            image = Image.fromarray(drawn).convert(mode)
        kind = pathlib.PurePath(name).suffix.lower().removeprefix(".")
        names = {"jpg": "JPEG", "jpeg": "JPEG", "tif": "TIFF", "tiff": "TIFF"}
        file = io.BytesIO()
        image.save(file, names.get(kind, kind.upper()))
        return file.getvalue()

    def dicom(self, path: str, *, size: tuple[int, int] = (24, 32), **fields: Any) -> None:
        """Draws and writes a grey DICOM file; for `fields` see `dicom_files.dataset_of`.

        With `bits=12` or more the array is uint16. `WindowCenter` and `WindowWidth` are set unless
        they are given.
        """
        from dicom_files import dicom_bytes

        grey: NDArray[Any] = self.pixels(size)[..., 1]
        bits = fields.get("bits") or 8
        if bits > 8:
            grey = grey.astype(np.uint16) << (bits - 8)
        fields = {"WindowCenter": 1 << (bits - 1), "WindowWidth": 1 << bits} | fields
        self.write(path, dicom_bytes(grey, **fields))


def modules() -> dict[str, ModuleType]:
    """Returns the module of each corpus, by its name."""
    found = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}") for name in found}
