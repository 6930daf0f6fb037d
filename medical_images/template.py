"""Path templates: how rows name their image files, and files their columns.

`png/{image_id}.png` names one file for each row. `{column[:2]}` takes a part of a value, `*` stands
for anything inside one folder or file name, `**/` for any folders, and a final `.*` for any image
extension in any case. A row and a file belong together when their keys are equal: the key is the
path with the text matched by wildcards replaced by the wildcards themselves. A file whose wildcards
can be read in several ways has several keys.

A zip, HDF5, NIfTI or DICOM file on the way to the image, such as in `images.zip/{image_id}.png`, is
told by its extension, which is written out; it stands as a folder (see `medical_images.members`).
"""

from __future__ import annotations

import dataclasses
import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator

import pandas as pd

DICOM_EXTENSIONS = (".dcm", ".dicom")
IMAGE_EXTENSIONS = (
    ".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", *DICOM_EXTENSIONS,
)  # fmt: skip
CONTAINER_EXTENSIONS = (".zip", ".h5", ".hdf5", ".nii.gz", ".nii", *DICOM_EXTENSIONS)

_TOKEN = re.compile(
    r"\{(?P<column>[^{}\[\]]+)(?:\[(?P<start>-?\d*):(?P<stop>-?\d*)\])?\}"
    r"|(?P<folders>\*\*/)|(?P<extension>\.\*$)|(?P<any>\*)"
)

_SLASH = re.compile("/")
_BETWEEN = re.compile(r"(?<=[^/])/(?![^{]*\})")  # a slash that is not in a column's name
_NOWHERE = re.compile(r"(?<![^/])(?:\./|/)+")  # what leads from a folder to itself
_STARS = re.compile(r"^\*\*$|\.\*$")
_EXTENSION = re.compile(rf"\.(?i:{'|'.join(extension[1:] for extension in IMAGE_EXTENSIONS)})")


@dataclasses.dataclass(frozen=True)
class _Literal:
    text: str

    def ends(self, path: str, begin: int, *, is_last: bool) -> Iterable[int]:
        end = begin + len(self.text)
        return [end] if path.startswith(self.text, begin) else []


@dataclasses.dataclass(frozen=True)
class _Column:
    name: str
    start: int | None
    stop: int | None

    @property
    def is_whole(self) -> bool:
        return self.start is None and self.stop is None

    def ends(self, path: str, begin: int, *, is_last: bool) -> Iterable[int]:
        last = len(path)
        return range(last, last + (begin < last)) if is_last else range(begin + 1, last + 1)


@dataclasses.dataclass(frozen=True)
class _Wildcard:
    text: str
    regex: str

    def ends(self, path: str, begin: int, *, is_last: bool) -> Iterable[int]:
        if self.text == "**/":  # any folders
            return [begin, *(m.end() for m in _SLASH.finditer(path, begin) if m.start() > begin)]
        if self.text == "*":  # inside one name
            stop = path.find("/", begin)
            return range(begin, (len(path) if stop < 0 else stop) + 1)
        return [len(path)] if is_last and _EXTENSION.fullmatch(path, begin) else []


@dataclasses.dataclass(frozen=True)
class PathTemplate:
    r"""A pattern of image paths over the columns of the rows.

    Args:
      text: The template, relative to the corpus root, with `/` between folders; `./` and repeated
        slashes are left out, so that each file has one path.

    Raises:
      ValueError: A brace is not closed, or the path is absolute or leaves the root.

    Example:
      >>> template = PathTemplate('part_*/{image_id}.*')
      >>> sorted(template.file_keys('part_2/ISIC_7.JPG'))
      ['part_*/ISIC_7.*']
      >>> template.row_keys(pd.DataFrame({'image_id': ['ISIC_7', '']})).tolist()
      ['part_*/ISIC_7.*', '']
    """

    text: str

    def __post_init__(self) -> None:
        if self.text.startswith("/") or ".." in self.text.split("/"):
            raise ValueError("a path template is relative to the corpus root and stays inside it")
        if re.search(r"[{}]", _TOKEN.sub("", self.text)):
            raise ValueError("a brace is not closed, or stands where no column name does")
        if any(_STARS.sub("", part).count("*") > 2 for part in self.text.split("/")):
            raise ValueError("more than two * in one name; they would fit in too many ways")
        object.__setattr__(self, "text", _NOWHERE.sub("", self.text))

    @functools.cached_property
    def parts(self) -> tuple[_Literal | _Column | _Wildcard, ...]:
        """The template as a sequence of literal text, columns and wildcards."""
        return tuple(_parse(_normal(self.text)))

    @functools.cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns named, each once, in their order."""
        return tuple(dict.fromkeys(p.name for p in self.parts if isinstance(p, _Column)))

    @functools.cached_property
    def whole_columns(self) -> frozenset[str]:
        """Those of which the template takes the whole value, and not slices only."""
        return frozenset(p.name for p in self.parts if isinstance(p, _Column) and p.is_whole)

    @functools.cached_property
    def folder(self) -> str:
        """The folder that holds all files the template can name; empty for the root."""
        if self.containers:
            return self.containers[0].folder
        first = self.parts[0].text if self.parts and isinstance(self.parts[0], _Literal) else ""
        return first.rpartition("/")[0]

    @functools.cached_property
    def folders(self) -> tuple[PathTemplate, ...]:
        """The templates of the folders on the way to the files, outermost first.

        Example:
          >>> [folder.text for folder in PathTemplate('a/part_*.zip/**/{id}.png').folders]
          ['a', 'a/part_*.zip', 'a/part_*.zip/**/*']
        """
        heads = (self.text[: slash.start()] for slash in _BETWEEN.finditer(self.text))
        return tuple(PathTemplate(f"{h}/*" if h.endswith("**") else h) for h in heads)

    @functools.cached_property
    def containers(self) -> tuple[PathTemplate, ...]:
        """The templates of those of them that are files, told by their extensions."""
        return tuple(f for f in self.folders if f.text.lower().endswith(CONTAINER_EXTENSIONS))

    def row_keys(self, rows: pd.DataFrame) -> pd.Series[str]:
        """Returns the key of each row; empty where a column it needs is missing.

        A path in a cell may begin with `./` and have backslashes between folders.
        """
        keys = pd.Series("", index=rows.index, dtype="str")
        incomplete = pd.Series(False, index=rows.index)
        for part in self.parts:
            if isinstance(part, _Column):
                column = rows[part.name]
                incomplete |= column == ""
                keys = keys + column.str.slice(part.start, part.stop)
            else:
                keys = keys + part.text
        keys = keys.str.replace("\\", "/").str.replace(r"^(?:\./)+", "", regex=True)
        return keys.mask(incomplete, "")

    def file_keys(self, path: str) -> frozenset[str]:
        """Returns the keys of a file (Unicode in NFC); none where the template cannot name it.

        There are several where wildcards can stand for more or for less of the path.
        """
        path = _normal(path)
        if not any(isinstance(part, _Wildcard) for part in self.parts):
            return frozenset({path} if self._plain_pattern.fullmatch(path) else ())
        return self._keys_from(path, 0, 0, {})

    def _keys_from(
        self, path: str, number: int, begin: int, known: dict[tuple[int, int], frozenset[str]]
    ) -> frozenset[str]:
        """Returns the keys of `path[begin:]` by the parts from `number` on."""
        if number == len(self.parts):
            return frozenset({""} if begin == len(path) else ())
        if (number, begin) not in known:
            part = self.parts[number]
            keys: set[str] = set()
            for end in part.ends(path, begin, is_last=number + 1 == len(self.parts)):
                text = part.text if isinstance(part, _Wildcard) else path[begin:end]
                rest = self._keys_from(path, number + 1, end, known)
                keys.update(text + key for key in rest)
            known[number, begin] = frozenset(keys)
        return known[number, begin]

    def file_columns(self, path: str) -> dict[str, str] | None:
        """Returns the columns that a file's path tells, or None where it does not fit.

        A column is text inside one folder or file name here. One of which the template takes slices
        only is not told.

        Example:
          >>> PathTemplate('{label}/{patient}-{n}.png').file_columns('CNV/17-2.png')
          {'label': 'CNV', 'patient': '17', 'n': '2'}
        """
        match = self._capturing_pattern.fullmatch(_normal(path))
        if match is None:
            return None
        columns = enumerate(self.columns)
        return {name: match[f"c{k}"] for k, name in columns if name in self.whole_columns}

    @functools.cached_property
    def _plain_pattern(self) -> re.Pattern[str]:
        return re.compile(
            "".join(".+" if isinstance(p, _Column) else re.escape(p.text) for p in self.parts),
            re.DOTALL,
        )

    @functools.cached_property
    def _capturing_pattern(self) -> re.Pattern[str]:
        pieces: list[str] = []
        seen: set[str] = set()
        for part in self.parts:
            if isinstance(part, _Column) and part.is_whole:
                group = f"c{self.columns.index(part.name)}"
                pieces.append(f"(?P={group})" if part.name in seen else f"(?P<{group}>[^/]+)")
                seen.add(part.name)
            elif isinstance(part, _Column):
                pieces.append("[^/]+")
            else:
                pieces.append(part.regex if isinstance(part, _Wildcard) else re.escape(part.text))
        return re.compile("".join(pieces))


def _normal(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _parse(text: str) -> Iterator[_Literal | _Column | _Wildcard]:
    end = 0
    for match in _TOKEN.finditer(text):
        if match.start() > end:
            yield _Literal(text[end : match.start()])
        end = match.end()
        if match["column"]:
            start, stop = match["start"], match["stop"]
            yield _Column(
                match["column"].strip(), int(start) if start else None, int(stop) if stop else None
            )
        elif match["folders"]:
            yield _Wildcard("**/", r"(?:[^/]+/)*")
        elif match["extension"]:
            yield _Wildcard(".*", _EXTENSION.pattern)
        else:
            yield _Wildcard("*", "[^/]*")
    if end < len(text):
        yield _Literal(text[end:])
