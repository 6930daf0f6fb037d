"""Masks in files of their own, such as `x_mask.png` beside `x.png`."""

from __future__ import annotations

import collections
import re
from collections.abc import Sequence
from typing import Any

from medical_images.drafting.document import flow_of
from medical_images.drafting.features_found import Features
from medical_images.drafting.survey import Survey, extension_of, stem_of
from medical_images.template import PathTemplate

_AFFIX = re.compile(r"(?i)[_ -](?:mask|seg|segmentation)(?:[_ -]?\d+)?$")


def find_masks(
    images: dict[str, Any],
    features: Features,
    found: Survey,
    templates: Sequence[str],
    paths: Sequence[str],
) -> None:
    """Keeps masks out of the images, and says where they are.

    Args:
      images: What the spec says of images; `exclude:` is added.
      features: A line is added to what is left out.
      found: The folder.
      templates: The path templates of images.
      paths: The images.
    """
    parsed = [PathTemplate(text) for text in templates]
    fits = [path for path in found.masks if any(t.file_keys(path) for t in parsed)]
    if fits:
        images["exclude"] = sorted({_pattern_of(path) for path in fits})
    stems = {stem_of(path) for path in paths}
    ways: collections.Counter[str] = collections.Counter()
    for path in found.masks:
        stem = stem_of(path)
        bare = _AFFIX.sub("", stem)
        if bare in stems:
            folder = path.rsplit("/", 1)[0] + "/" if "/" in path else ""
            ways[f"{folder}NAME{stem[len(bare) :]}{extension_of(path)}"] += 1
    named = re.search(r"(\{[^{}\[\]]+\})(?:\.\w+|\.\*)$", templates[0]) if templates else None
    name = named[1] if named else "{name}"
    more = "" if named else ", with `{name}` in `images: path` too"
    for way, number in ways.most_common(4):
        keys = {"type": "mask", "path": way.replace("NAME", name), "absent": "empty"}
        features.left_out.append(f"mask: {flow_of(keys)}  # {number:,} masks{more}")


def _pattern_of(path: str) -> str:
    folders = path.split("/")[:-1]
    for number, folder in enumerate(folders):
        if re.search(r"(?i)mask|^seg|ground", folder):
            return "/".join(folders[: number + 1]) + "/*"
    found = _AFFIX.search(stem_of(path))
    word = re.sub(r"\d+$", "", found[0]) if found else "_mask"
    return f"*{word}*"
