"""The JSON schema of the spec, made from its models: what an editor completes, checks and explains.

A spec is read as text and then converted by its keys, so `seed: 3` and `seed: "3"` are one. The
schema accepts both, as an editor sees numbers where this package sees text.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from medical_images.spec import CorpusSpec
from medical_images.spec_docstrings import described, summary
from medical_images.spec_features import ClassFeature, LabelsFeature
from medical_images.spec_images import Images
from medical_images.spec_masks import MaskFeature
from medical_images.spec_parts import Dialect, Table
from medical_images.spec_privacy import Privacy, ShiftDates
from medical_images.spec_splits import Splits, Stratum

Schema = dict[str, Any]
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_TEXT = ["string", "number", "boolean", "null"]  # `NA`, `007`, `no` and `null` are texts here
_INTEGER = r"^\s*[+-]?\d[\d_]*(\.0*)?\s*$"
_NUMBER = r"^\s*[+-]?(\d[\d_]*\.?\d*|\.\d+|[iI]nf(inity)?|[nN]a[nN])([eE][+-]?\d+)?\s*$"
_BOOLEAN = r"^([Tt]rue|TRUE|[Ff]alse|FALSE|[Yy]es|YES|[Nn]o|NO|[Oo]n|ON|[Oo]ff|OFF|[01tfynTFYN])$"


def spec_schema() -> Schema:
    """Returns the JSON schema (draft 2020-12) of `corpus.yaml`.

    It knows keys, types and words. What depends on several keys, or on the corpus, only
    `load_spec` and a check of the corpus find.

    Example:
      >>> schema = spec_schema()
      >>> schema['required']
      ['name', 'images', 'features']
      >>> schema['properties']['seed']['description']
      'Another seed, other splits.'
    """
    told = CorpusSpec.model_json_schema(schema_generator=_AsWritten)
    return {"$schema": _DRAFT, "title": "corpus.yaml", **told}


def plain_schema(part: type[BaseModel]) -> Schema:
    """Returns the JSON schema of a part of the spec without the forms that text may take.

    Args:
      part: Its model.
    """
    return part.model_json_schema(schema_generator=_Plain)


class _Plain(GenerateJsonSchema):
    """Adds what the docstrings say, and what `before` validators accept."""

    def model_schema(self, schema: Any) -> Schema:
        part = schema["cls"]
        told = super().model_schema(schema)
        told.pop("title", None)
        told["description"] = summary(part)
        properties = told.get("properties", {})
        for key, text in properties.items():
            text.pop("title", None)
            if isinstance(text.get("default"), dict) or text.get("default", 0) is None:
                del text["default"]
            if key in described(part):
                text["description"] = described(part)[key]
            if accept := _ACCEPTED.get((part, key)):
                properties[key] = _with_notes_of(text, accept(self, _bare(text)))
        reshape = _SHAPES.get(part)
        return reshape(self, told) if reshape else told

    def nullable_schema(self, schema: Any) -> Schema:
        return self.generate_inner(schema["schema"])  # YAML's null is a text

    def tagged_union_schema(self, schema: Any) -> Schema:
        """Each type by a condition, so that an editor tells what is wrong with the type meant."""
        tag = schema["discriminator"]
        cases = {word: self.generate_inner(part) for word, part in schema["choices"].items()}
        return {
            "type": "object",
            "required": [tag],
            "properties": {tag: {"enum": list(cases)}},
            "allOf": [
                {"if": {"properties": {tag: {"const": word}}, "required": [tag]}, "then": part}
                for word, part in cases.items()
            ],
        }


class _AsWritten(_Plain):
    """Accepts numbers as texts, and texts that look like numbers."""

    def str_schema(self, schema: Any) -> Schema:
        return {**super().str_schema(schema), "type": _TEXT}

    def int_schema(self, schema: Any) -> Schema:
        return _or_text(super().int_schema(schema), _INTEGER)

    def float_schema(self, schema: Any) -> Schema:
        return _or_text(super().float_schema(schema), _NUMBER)

    def bool_schema(self, schema: Any) -> Schema:
        return _or_text(super().bool_schema(schema), _BOOLEAN)

    def literal_schema(self, schema: Any) -> Schema:
        words = schema["expected"]
        texts = [str(word) for word in words if not isinstance(word, str)]
        return {"enum": [*words, *texts]}


Change = Callable[[_Plain, Schema], Schema]


def _or_text(schema: Schema, pattern: str) -> Schema:
    return {"anyOf": [schema, {"type": "string", "pattern": pattern}]}


def _bare(schema: Schema) -> Schema:
    return {key: part for key, part in schema.items() if key not in ("default", "description")}


def _with_notes_of(schema: Schema, other: Schema) -> Schema:
    notes: Schema = {key: schema[key] for key in ("default", "description") if key in schema}
    return {**other, **notes}


def _one_or_several(made: _Plain, schema: Schema) -> Schema:
    return {"anyOf": [copy.deepcopy(schema["items"]), schema]}


def _one_or_several_each(made: _Plain, schema: Schema) -> Schema:
    return {**schema, "additionalProperties": _one_or_several(made, schema["additionalProperties"])}


def _names_or_mapping(made: _Plain, schema: Schema) -> Schema:
    return {
        "anyOf": [
            {
                "type": "array",
                "items": made.generate_inner(core_schema.str_schema()),
                "minItems": 1,
            },
            schema,
        ]
    }


def _cells_of_splits(made: _Plain, schema: Schema) -> Schema:
    names = {"type": "array", "items": made.generate_inner(core_schema.str_schema())}
    return {"anyOf": [names, _one_or_several_each(made, schema)]}


def _bins(made: _Plain, schema: Schema) -> Schema:
    edges = {
        "type": "array",
        "items": made.generate_inner(core_schema.float_schema()),
        "minItems": 1,
    }
    return {"anyOf": [made.generate_inner(core_schema.int_schema(ge=2)), edges]}


def _window(made: _Plain, schema: Schema) -> Schema:
    pair = {
        "type": "array",
        "items": made.generate_inner(core_schema.float_schema()),
        "minItems": 2,
        "maxItems": 2,
    }
    return {"anyOf": [{"const": "file"}, pair]}


def _separator(made: _Plain, schema: Schema) -> Schema:
    return {"anyOf": [{"enum": ["tab", "space", "\\t"]}, schema]}


# What validators of mode `before` take beside the type of a field.
_ACCEPTED: dict[tuple[type[BaseModel], str], Change] = {
    (CorpusSpec, "group"): _one_or_several,
    (CorpusSpec, "stratify"): _one_or_several,
    (Dialect, "separator"): _separator,
    (Table, "path"): _one_or_several,
    (Table, "or"): _one_or_several,
    (Table, "optional"): _one_or_several,
    (Table, "aliases"): _one_or_several_each,
    (Table, "where"): _one_or_several_each,
    (Images, "path"): _one_or_several,
    (Images, "exclude"): _one_or_several,
    (Images, "window"): _window,
    (ClassFeature, "columns"): _names_or_mapping,
    (LabelsFeature, "columns"): _names_or_mapping,
    (LabelsFeature, "separator"): _one_or_several,
    (MaskFeature, "path"): _one_or_several,
    (ShiftDates, "columns"): _one_or_several,
    (Privacy, "pseudonymize"): _one_or_several,
    (Privacy, "keep"): _one_or_several,
    (Splits, "values"): _cells_of_splits,
    (Stratum, "bins"): _bins,
}


def _values_or_columns(made: _Plain, schema: Schema) -> Schema:
    """`columns:` names the classes, where `values:` does not."""
    required = [key for key in schema["required"] if key != "values"]
    either = [{"required": ["values"]}, {"required": ["columns"]}]
    return {**schema, "required": required, "anyOf": either}


def _splits(made: _Plain, schema: Schema) -> Schema:
    """The names of planned splits stand beside the keys."""
    properties = {key: part for key, part in schema["properties"].items() if key != "sizes"}
    note = {"description": described(Splits)["sizes"]}
    size: Schema = {**note, **made.generate_inner(core_schema.str_schema())}
    return {**schema, "properties": properties, "additionalProperties": size}


def _name_or_stratum(made: _Plain, schema: Schema) -> Schema:
    note = {"description": schema["description"]}
    return {"anyOf": [made.generate_inner(core_schema.str_schema()), _bare(schema)], **note}


_SHAPES: dict[type[BaseModel], Change] = {
    ClassFeature: _values_or_columns,
    LabelsFeature: _values_or_columns,
    Splits: _splits,
    Stratum: _name_or_stratum,
}
