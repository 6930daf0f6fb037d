"""YAML read as plain text values, each with the place where it stands.

YAML guesses types: `no` becomes False, `0123` an octal number, `NA`'s neighbour `~` becomes null.
Class names and missing tokens must stay as they are written, so every scalar is read as text and
the spec's own types convert it. Keys that stand twice are errors; plain YAML keeps the last.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import yaml

from medical_images.errors import Problem, SpecError

Path = tuple[str | int, ...]
_MOST_PARTS = 200_000  # aliases of aliases become any number


@dataclasses.dataclass(frozen=True)
class YamlSource:
    """A YAML document and the places of its parts.

    Attributes:
      name: The file's name, for messages.
      data: The document: mappings, lists and text.
      places: (line, column), from 1, of each key or item by its path.
    """

    name: str
    data: Any
    places: Mapping[Path, tuple[int, int]]

    def where(self, path: Path) -> str:
        """Returns `file:line:column key.path` of the deepest part of `path` that exists."""
        known = path
        while known and known not in self.places:
            known = known[:-1]
        line, column = self.places.get(known, (1, 1))
        dotted = ".".join(str(part) for part in path)
        return f"{self.name}:{line}:{column}{' ' + dotted if dotted else ''}"


def parse_yaml(text: str, *, name: str) -> YamlSource:
    """Parses a YAML document.

    Raises:
      SpecError: The text is not YAML, a key stands twice, or it has too many parts.

    Example:
      >>> source = parse_yaml('values: [no, 007]', name='corpus.yaml')
      >>> source.data
      {'values': ['no', '007']}
      >>> source.where(('values', 1))
      'corpus.yaml:1:14 values.1'
    """
    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)
        builder = _Builder(name)
        data = builder.build(node, ()) if node is not None else {}
    except yaml.YAMLError as error:
        raise SpecError([_syntax_problem(error, name)], headline="Not valid YAML") from None
    except RecursionError:
        problem = Problem(where=name, what="its parts stand too deep in each other")
        raise SpecError([problem], headline="The spec cannot be used") from None
    if builder.problems:
        raise SpecError(builder.problems, headline="The spec cannot be used")
    return YamlSource(name, data, builder.places)


def _syntax_problem(error: yaml.YAMLError, name: str) -> Problem:
    mark = getattr(error, "problem_mark", None)
    where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
    return Problem(where=where, what=getattr(error, "problem", None) or "cannot be parsed")


class _Builder:
    """Turns YAML nodes into plain values and notes their places."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.places: dict[Path, tuple[int, int]] = {}
        self.problems: list[Problem] = []
        self._num_parts = 0
        self._open: list[yaml.Node] = []  # the nodes around the one that is built

    def build(self, node: yaml.Node, path: Path) -> Any:
        if any(node is outer for outer in self._open):
            self._problem(node, "an alias stands inside what it refers to")
            return None
        self._num_parts += 1
        if self._num_parts > _MOST_PARTS:
            if self._num_parts == _MOST_PARTS + 1:
                self._problem(node, f"the spec has more than {_MOST_PARTS:,} parts")
            return None
        self._note(path, node)
        self._open.append(node)
        value = self._value(node, path)
        self._open.pop()
        return value

    def _value(self, node: yaml.Node, path: Path) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return node.value

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            here = (*path, key)
            if key in result:
                self._problem(key_node, f"the key '{key}' stands twice")
            result[key] = self.build(value_node, here)
            self._note(here, key_node)
        return result

    def _note(self, path: Path, node: yaml.Node) -> None:
        self.places[path] = (node.start_mark.line + 1, node.start_mark.column + 1)

    def _problem(self, node: yaml.Node, what: str) -> None:
        where = f"{self.name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"
        self.problems.append(Problem(where=where, what=what))
