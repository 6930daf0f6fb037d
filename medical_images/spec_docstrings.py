"""What the docstrings of the spec's models say of their keys."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Mapping

import docstring_parser
from docstring_parser import DocstringStyle
from pydantic import BaseModel


@functools.cache
def described(part: type[BaseModel]) -> Mapping[str, str]:
    """Returns what the docstrings of a part of the spec, and of its bases, say of its keys.

    Args:
      part: Its model.

    Returns:
      {key as in YAML: meaning}.

    Example:
      >>> from medical_images.spec_splits import Stratum
      >>> described(Stratum)['feature']
      'Its name.'
    """
    found: dict[str, str] = {}
    for base in reversed(part.__mro__):
        if not issubclass(base, BaseModel):
            continue
        text = inspect.cleandoc(base.__doc__ or "")
        for told in docstring_parser.parse(text, DocstringStyle.GOOGLE).params:
            if told.args[0] == "attribute" and told.description:
                text = " ".join(told.description.split()).removesuffix(" Or")
                found[told.arg_name] = re.sub(r" \(`\w+:` in YAML\)", "", text)
    keys = {name: field.alias or name for name, field in part.model_fields.items()}
    return {keys[name]: text for name, text in found.items() if name in keys}


def summary(part: type[BaseModel]) -> str:
    """Returns the first paragraph of what a part's docstring says."""
    return " ".join(inspect.cleandoc(part.__doc__ or "").partition("\n\n")[0].split())
