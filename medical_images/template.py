"""Path templates: how rows name their image files, and files their columns.

`png/{image_id}.png` names one file for each row. `{column[:2]}` takes a part of a value, `*` stands
for anything inside one folder or file name, `**/` for any folders, and a final `.*` for any image
extension in any case. A row and a file belong together when their keys are equal: the key is the
path with the text matched by wildcards replaced by the wildcards themselves.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import unicodedata
from collections.abc import Iterator

import pandas as pd

IMAGE_EXTENSIONS = (
    ".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".dcm", ".dicom",
)  # fmt: skip

_TOKEN = re.compile(
    r"\{(?P<column>[^{}\[\]]+)(?:\[(?P<start>-?\d*):(?P<stop>-?\d*)\])?\}"
    r"|(?P<folders>\*\*/)|(?P<extension>\.\*$)|(?P<any>\*)"
)


@dataclasses.dataclass(frozen=True)
class _Literal:
    text: str


@dataclasses.dataclass(frozen=True)
class _Column:
    name: str
    start: int | None
    stop: int | None

    @property
    def is_whole(self) -> bool:
        return self.start is None and self.stop is None


@dataclasses.dataclass(frozen=True)
class _Wildcard:
    text: str
    regex: str


@dataclasses.dataclass(frozen=True)
class PathTemplate:
    r"""A pattern of image paths over the columns of the rows.

    Args:
      text: The template, relative to the corpus root, with `/` between folders.

    Raises:
      ValueError: A brace is not closed, or the path is absolute or leaves the root.

    Example:
      >>> template = PathTemplate('part_*/{image_id}.*')
      >>> template.file_key('part_2/ISIC_7.JPG')
      'part_*/ISIC_7.*'
      >>> template.row_keys(pd.DataFrame({'image_id': ['ISIC_7', '']})).tolist()
      ['part_*/ISIC_7.*', '']
    """

    text: str

    def __post_init__(self) -> None:
        if self.text.startswith("/") or ".." in self.text.split("/"):
            raise ValueError("a path template is relative to the corpus root and stays inside it")
        if re.search(r"[{}]", _TOKEN.sub("", self.text)):
            raise ValueError("a brace is not closed, or stands where no column name does")

    @functools.cached_property
    def parts(self) -> tuple[_Literal | _Column | _Wildcard, ...]:
        """The template as a sequence of literal text, columns and wildcards."""
        return tuple(_parse(self.text))

    @functools.cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns named, each once, in their order."""
        return tuple(dict.fromkeys(p.name for p in self.parts if isinstance(p, _Column)))

    @functools.cached_property
    def folder(self) -> str:
        """The folder that holds all files the template can name; empty for the root."""
        first = self.parts[0].text if self.parts and isinstance(self.parts[0], _Literal) else ""
        return first.rpartition("/")[0]

    def row_keys(self, rows: pd.DataFrame) -> pd.Series[str]:
        """Returns the key of each row; empty where a column it needs is missing."""
        keys = pd.Series("", index=rows.index, dtype="str")
        incomplete = pd.Series(False, index=rows.index)
        for part in self.parts:
            if isinstance(part, _Column):
                column = rows[part.name]
                incomplete |= column == ""
                keys = keys + column.str.slice(part.start, part.stop)
            else:
                keys = keys + part.text
        return keys.mask(incomplete, "")

    def file_key(self, path: str) -> str | None:
        """Returns the key of a file (Unicode in NFC), or None where the template cannot name it."""
        path = path if path.isascii() else unicodedata.normalize("NFC", path)
        match = self._pattern.fullmatch(path)
        if match is None:
            return None
        wildcards = [part for part in self.parts if isinstance(part, _Wildcard)]
        key, end = "", 0
        for number, wildcard in enumerate(wildcards, start=1):
            key += path[end : match.start(number)] + wildcard.text
            end = match.end(number)
        return key + path[end:]

    def file_columns(self, path: str) -> dict[str, str] | None:
        """Returns the columns that a file's path tells, or None where it does not fit.

        Example:
          >>> PathTemplate('{label}/{patient}-{n}.png').file_columns('CNV/17-2.png')
          {'label': 'CNV', 'patient': '17', 'n': '2'}
        """
        path = path if path.isascii() else unicodedata.normalize("NFC", path)
        match = self._capturing_pattern.fullmatch(path)
        if match is None:
            return None
        return {name: match[f"c{number}"] for number, name in enumerate(self.columns)}

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str]:
        pieces = []
        for part in self.parts:
            if isinstance(part, _Wildcard):
                pieces.append(f"({part.regex})")
            else:
                pieces.append(re.escape(part.text) if isinstance(part, _Literal) else ".+")
        return re.compile("".join(pieces))

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
            known = "|".join(extension[1:] for extension in IMAGE_EXTENSIONS)
            yield _Wildcard(".*", rf"\.(?i:{known})")
        else:
            yield _Wildcard("*", "[^/]*")
    if end < len(text):
        yield _Literal(text[end:])
