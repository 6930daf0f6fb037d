"""A spec as YAML text: values in the order given, and reasons above their lines as comments."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from medical_images.yaml_source import Path

_WIDTH = 100
_PLAIN = re.compile(r"[A-Za-z0-9_./(+-][\w ./()+\-%$^=<>;]*")
_BLOCKS = {("tables",), ("features",), ("derive",), ("images",), ("about",), ("splits", "values")}


def render(
    data: Mapping[str, Any],
    *,
    comments: Mapping[Path, Sequence[str]],
    after: Mapping[Path, Sequence[str]] | None = None,
) -> str:
    """Writes a spec.

    Args:
      data: Mappings, lists and plain values.
      comments: {place: sentences to stand above it}; those of `()` stand at the top.
      after: {place of a mapping: lines to stand at its end, as comments}.

    Example:
      >>> print(render({'name': 'mine', 'images': {'path': '{id}.png', 'channels': 1}},
      ...              comments={('images', 'channels'): ['all are grey']}), end='')
      name: mine
      images:
        path: "{id}.png"
        # all are grey
        channels: 1
    """
    lines = [line for text in comments.get((), ()) for line in _comment(text, 0)]
    lines += _block(data, (), comments, after or {}, 0)
    return "\n".join(lines) + "\n"


def _comment(text: str, indent: int) -> list[str]:
    space = " " * indent
    return textwrap.wrap(
        " ".join(text.split()),
        _WIDTH,
        initial_indent=f"{space}# ",
        subsequent_indent=f"{space}#   ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _block(
    data: Mapping[str, Any],
    place: Path,
    comments: Mapping[Path, Sequence[str]],
    after: Mapping[Path, Sequence[str]],
    indent: int,
) -> list[str]:
    lines: list[str] = []
    for key, value in data.items():
        here = (*place, key)
        space = " " * indent
        for text in comments.get(here, ()):
            lines += _comment(text, indent)
        inner = [p for p in (*comments, *after) if p[: len(here)] == here and p != here]
        is_open = here in _BLOCKS or inner or here in after
        flow = f"{space}{scalar(key)}: {flow_of(value)}"
        if isinstance(value, Mapping) and value and (is_open or len(flow) > _WIDTH):
            lines.append(f"{space}{scalar(key)}:")
            lines += _block(value, here, comments, after, indent + 2)
        elif isinstance(value, list) and value and all(map(_is_block, value)):
            lines.append(f"{space}{scalar(key)}:")
            for number, item in enumerate(value):
                inside = _block(item, (*here, number), comments, after, indent + 4)
                first = next(n for n, line in enumerate(inside) if line.strip()[0] != "#")
                inside[:first] = [line[2:] for line in inside[:first]]
                inside[first] = f"{' ' * (indent + 2)}- {inside[first].lstrip()}"
                lines += inside
        else:
            lines += _wrapped(flow, indent)
        for text in after.get(here, ()):
            lines.append(f"{' ' * (indent + 2)}# {text}")
    return lines


def _is_block(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value)


def _wrapped(line: str, indent: int) -> list[str]:
    """Breaks a flow of values behind commas; quoted ones stay whole."""
    if len(line) <= _WIDTH:
        return [line]
    lines, space = [], " " * (indent + 2)
    pieces = re.findall(r"(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'|[^,\"'])+,?\s*", line)
    current = ""
    for piece in pieces:
        if current.strip() and len(current) + len(piece.rstrip()) > _WIDTH:
            lines.append(current.rstrip())
            current = space
        current += piece
    return [*lines, current.rstrip()]


def flow_of(value: Any) -> str:
    """Writes a value in one line.

    Example:
      >>> flow_of({'type': 'class', 'values': ['no', 'a, b', '']})
      '{type: class, values: [no, "a, b", ""]}'
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(k)}: {flow_of(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow_of, value)) + "]"
    return scalar(value)


def scalar(value: Any) -> str:
    r"""Writes one value, quoted where YAML would read something else.

    Example:
      >>> scalar('PA'), scalar('a: b'), scalar(r'(\d+)'), scalar(True)
      ('PA', '"a: b"', "'(\\d+)'", 'true')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if _PLAIN.fullmatch(text) and text == text.strip() and not text.startswith("- "):
        return text if text not in ("-", "---", "...") else f'"{text}"'
    if "\\" in text and "\n" not in text and text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return json.dumps(text, ensure_ascii=False)
