"""What is wrong with a spec, in the words of its YAML instead of pydantic's. Pure."""

from __future__ import annotations

from typing import Any, get_args

import pydantic
from pydantic import BaseModel

from medical_images.errors import Problem, nearest
from medical_images.spec_feature_types import FEATURE_TYPES
from medical_images.spec_parts import Derive, Place, PlacedError
from medical_images.yaml_source import YamlSource

# By the name of pydantic's error, without what follows its first part.
_TAKES = {
    "bool": "true or false",
    "decimal": "a number",
    "float": "a number",
    "int": "a whole number",
    "list": "a list, such as [a, b]",
    "string": "text",
    "tuple": "a list, such as [a, b]",
}
_MAPPINGS = ("dict_type", "mapping_type", "model_type", "model_attributes_type")
_PARTS_THAT_FAIL = ("type", "parsing", "from", "sub")


def problems_of(
    error: pydantic.ValidationError, model: type[BaseModel], source: YamlSource
) -> list[Problem]:
    """Says what is wrong, and where in the YAML text.

    Args:
      error: What `model` said of the data of `source`.
      model: The model of the whole spec.
      source: The spec as it was written, with the places of its keys.
    """
    return [problem for one in error.errors() for problem in _problems(one, model, source)]


def _problems(error: Any, model: type[BaseModel], source: YamlSource) -> list[Problem]:
    loc: Place = error["loc"]
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, PlacedError):
        found = [(_path(loc + place, source.data), what) for place, what in cause.found]
        return [Problem(where=source.where(path), what=what) for path, what in found]
    path = _path(loc, source.data)
    kind, last = error["type"], str(loc[-1]) if loc else ""
    if kind == "extra_forbidden":
        what = f"unknown key '{last}'; {nearest(last, _known_keys(model, loc[:-1]))}"
    elif kind == "missing":
        path, what = path[:-1], f"the key '{last}' is missing"
    elif kind == "union_tag_invalid":
        found = error["ctx"]["tag"]
        path, what = (*path, "type"), f"unknown type '{found}'; {nearest(found, FEATURE_TYPES)}"
    elif kind == "union_tag_not_found":
        what = f"the key 'type' is missing; known types: {', '.join(FEATURE_TYPES)}"
    elif kind == "literal_error":
        what = f"'{error['input']}' is not allowed; allowed: {error['ctx']['expected']}"
    elif kind == "string_pattern_mismatch":
        what = f"'{error['input']}' does not fit the pattern {error['ctx']['pattern']}"
    elif kind in _MAPPINGS:
        what = f"takes keys with values{_of_keys(model, loc)}, and not {_shown(error['input'])}"
    elif takes := _takes(kind):
        what = f"takes {takes}, and not {_shown(error['input'])}"
    elif kind == "value_error":
        what = error["msg"].removeprefix("Value error, ")
    else:  # bounds
        what = f"{error['msg'].replace('Input should', 'must')}, and is {_shown(error['input'])}"
    return [Problem(where=source.where(path), what=what)]


def _takes(kind: str) -> str:
    name, _, failed = kind.partition("_")
    return _TAKES.get(name, "") if failed.partition("_")[0] in _PARTS_THAT_FAIL else ""


def _of_keys(model: type[BaseModel], loc: Place) -> str:
    if loc[:1] == ("features",):
        return ", such as {type: id}"
    known = _known_keys(model, loc)
    return "" if known == _known_keys(model, ()) else f" ({', '.join(known)})"


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, dict):
        return "keys with values"
    return "nothing" if value is None else repr(value)


def _path(loc: Place, data: Any) -> Place:
    """Returns the path in YAML of one of pydantic's locations.

    Inside a feature pydantic names its type and inside the splits the field `sizes`, which YAML
    does not have; and it numbers what YAML may give without a list.
    """
    if loc[:1] == ("features",):
        loc = loc[:2] + loc[3:]
    elif loc[:2] == ("splits", "sizes"):
        loc = loc[:1] + loc[2:]
    if loc[:1] == ("stratify",) and not isinstance(data.get("stratify"), list | tuple):
        loc = loc[:1] + loc[2:]
    return loc


def _known_keys(model: type[BaseModel], loc: Place) -> list[str]:
    """Returns the keys that the part of the spec at `loc` knows."""
    part = model
    if loc[:1] == ("features",) and len(loc) > 2:
        part = FEATURE_TYPES[str(loc[2])]
    elif loc[:1] == ("derive",) and len(loc) > 1:
        part = Derive
    else:
        for piece in loc:
            field = part.model_fields.get(str(piece))
            part = (_model_inside(field.annotation) if field else None) or part
    return [field.alias or name for name, field in part.model_fields.items()]


def _model_inside(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_inside, get_args(annotation))), None)
