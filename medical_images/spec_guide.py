"""docs/spec.md, made from docs/spec.template.md and the models of the spec.

`python -m medical_images.spec_guide` in a clone of the repository writes it. In the template a line
`<!-- keys: Images -->` stands for the table of the keys of that model: what they take, what they
are by default, and what the docstring says of them.
"""

from __future__ import annotations

import inspect
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from medical_images import (
    explode,
    spec,
    spec_features,
    spec_images,
    spec_masks,
    spec_parts,
    spec_privacy,
    spec_splits,
)
from medical_images.spec_docstrings import described
from medical_images.spec_features import BaseFeature
from medical_images.spec_schema import Schema, plain_schema, spec_schema
from medical_images.spec_splits import Splits

__all__ = ["guide", "key_table", "models", "spec_schema", "write_guide"]

_DOCS = pathlib.Path(__file__).parent.parent / "docs"
_MARK = re.compile(r"^<!-- keys: (\w+) -->$", flags=re.M)
_HEADING = re.compile(r"^#+ (.+)$", flags=re.M)
_OF_ALL_FEATURES = {"type", "reader", *BaseFeature.model_fields}
_HEADER = "| key | takes | default | meaning |\n|---|---|---|---|\n"


def models() -> dict[str, type[BaseModel]]:
    """Returns all parts of the spec that have keys, by the names of their models.

    Example:
      >>> models()['Join'].__name__
      'Join'
    """
    modules = (spec, spec_parts, explode, spec_images, spec_features, spec_masks)
    found = {k: v for m in (*modules, spec_splits, spec_privacy) for k, v in vars(m).items()}
    return {
        name: part
        for name, part in found.items()
        if isinstance(part, type) and issubclass(part, spec_parts.SpecPart) and part.model_fields
    }


def guide(template: str) -> str:
    """Returns a guide with the tables of keys in the place of their marks.

    Args:
      template: Markdown with marks.

    Raises:
      KeyError: A mark names no model of the spec.

    Example:
      >>> print(guide('<!-- keys: Explode -->').splitlines()[2])
      | `column` | text | required | A new column, which holds the name of the entry. |
    """
    anchors = dict(_anchors(template))
    return _MARK.sub(lambda mark: key_table(models()[mark[1]], anchors), template)


def key_table(part: type[BaseModel], anchors: Mapping[str, str] | None = None) -> str:
    """Returns the table of the keys of a part of the spec, as Markdown.

    Args:
      part: Its model. Of a feature, the keys that all features have are left out.
      anchors: {model: heading that its table stands under}, to link to.
    """
    schema = plain_schema(part)
    whole = schema["$defs"][part.__name__] if "$ref" in schema else schema
    whole = next((one for one in whole.get("anyOf", ()) if "properties" in one), whole)
    is_feature = issubclass(part, BaseFeature) and part is not BaseFeature
    rows = []
    names = dict.fromkeys([*inspect.get_annotations(part), *part.model_fields])
    for name, field in ((name, part.model_fields.get(name)) for name in names):
        if field is None:  # no key, but a class variable or private
            continue
        key = field.alias or name
        if is_feature and key in _OF_ALL_FEATURES:
            continue
        if (part, name) == (Splits, "sizes"):
            shown, takes = "any name", "share, count or `rest`"
        else:
            shown, takes = f"`{key}`", _takes(whole["properties"][key], anchors or {})
        cells = (shown, takes, _default(field, whole, key), described(part).get(key, ""))
        rows.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return _HEADER + "\n".join(rows)


def write_guide(docs: pathlib.Path = _DOCS) -> None:
    """Writes `spec.md` from `spec.template.md`.

    Args:
      docs: The folder of both.
    """
    text = (docs / "spec.template.md").read_text(encoding="utf-8")
    (docs / "spec.md").write_text(guide(text), encoding="utf-8")


def _anchors(template: str) -> Iterator[tuple[str, str]]:
    """Yields (model, anchor of the heading that its mark stands under)."""
    for mark in _MARK.finditer(template):
        headings = _HEADING.findall(template, 0, mark.start())
        words = re.sub(r"[^\w\- ]", "", headings[-1].lower()) if headings else ""
        yield mark[1], words.replace(" ", "-")


def _takes(schema: Schema, anchors: Mapping[str, str]) -> str:
    """Says in words what a JSON schema accepts."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[keys](#{anchors[name]})" if name in anchors else "keys"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_takes(one, anchors) for one in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return ", ".join(_shown(word) for word in schema.get("enum", [schema.get("const")]) if word)
    match schema.get("type"):
        case "array" if "prefixItems" in schema:
            return f"[{', '.join(_takes(item, anchors) for item in schema['prefixItems'])}]"
        case "array" if schema.get("maxItems", 0) == schema.get("minItems"):
            return f"list of {schema['maxItems']} {_several(_takes(schema['items'], anchors))}"
        case "array":
            return f"list of {_several(_takes(schema['items'], anchors))}"
        case "object" if "allOf" in schema:
            return "keys by `type`"
        case "object":
            return f"{{...: {_takes(schema['additionalProperties'], anchors)}}}"
        case "boolean":
            return "`true`, `false`"
        case "integer" | "number" as kind:
            return ("whole number" if kind == "integer" else "number") + _range(schema)
        case _:
            return "text"


def _several(what: str) -> str:
    """Returns the plural of what is taken.

    Example:
      >>> _several('whole number from 0'), _several('text or list of texts')
      ('whole numbers from 0', 'texts or lists of texts')
    """
    return re.sub(r"\b(text|number|list)\b", r"\1s", what)


def _range(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    return "".join(
        f" {word} {_plain(bound)}"
        for word, bound in (("from", low), ("to", high))
        if bound is not None
    )


def _default(field: FieldInfo, schema: Schema, key: str) -> str:
    if not field.is_required():
        return _shown(field.get_default())
    either = [one["required"][0] for one in schema.get("anyOf", ()) if key not in one["required"]]
    return f"required, or `{either[0]}`" if key not in schema["required"] else "required"


def _shown(value: Any) -> str:
    """Shows a value of a spec in a cell."""
    if isinstance(value, Splits):
        return ", ".join(f"`{name}` {float(size)}" for name, size in value.sizes.items())
    if isinstance(value, BaseModel):
        return "its defaults"
    if isinstance(value, list | tuple) and any(value):
        return ", ".join(_shown(part) for part in value)
    if value in (None, "", [], (), {}, [""]):
        return "none"
    return f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)


if __name__ == "__main__":
    write_guide()
