"""What a dataset tells of itself in the words of Croissant, for catalogues and other tools.

`croissant.json` stands beside `dataset_info.json`. It tells of the shards, which TFDS reads, and of
the index, whose records any reader of Croissant (https://docs.mlcommons.org/croissant) gets. The
same dataset gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import mlcroissant as mlc  # type: ignore[import-untyped]
from etils import epath

from medical_images.croissant_records import as_text, record_sets
from medical_images.dataset_index import FOLDER
from medical_images.spec import CorpusSpec

FILE = "croissant.json"
_INFO = "dataset_info.json"
_PARQUET = "application/x-parquet"
_PIECE = 1 << 22
_FORMATS = {
    "tfrecord": "https://www.tensorflow.org/tutorials/load_data/tfrecord",
    "array_record": "https://github.com/google/array_record",
    "parquet": _PARQUET,
}


def write_croissant(folder: epath.Path, spec: CorpusSpec) -> epath.Path:
    """Writes `croissant.json` into the folder of a dataset.

    Args:
      folder: That of the dataset, with `dataset_info.json` and the index.
      spec: What the dataset was made for.

    Returns:
      The file.

    Raises:
      OSError: The index cannot be read, or the file cannot be written.
    """
    info = json.loads((folder / _INFO).read_text())
    files = {
        f"{FOLDER}/{split['name']}.parquet": folder / FOLDER / f"{split['name']}.parquet"
        for split in info["splits"]
    }
    sums = {name: _sum_of(path) for name, path in files.items()}
    path = folder / FILE
    told = croissant_of(info, spec, index=sums)
    path.write_text(json.dumps(told, indent=1) + "\n")
    return path


def croissant_of(
    info: Mapping[str, Any], spec: CorpusSpec, *, index: Mapping[str, tuple[int, str]]
) -> dict[str, Any]:
    """Tells of a dataset as Croissant 1.0 does.

    Args:
      info: What its `dataset_info.json` holds.
      spec: What it was made for.
      index: {name of a file of the index, below the dataset's folder: (bytes, SHA-256)}.

    Returns:
      The JSON-LD.

    Example:
      >>> spec = CorpusSpec.from_dict({
      ...     'name': 'mine', 'images': {'path': '{label}/*.png'},
      ...     'features': {'label': {'type': 'class', 'values': ['benign', 'malignant']}},
      ... })
      >>> info = {'name': 'medical_images', 'version': '1.0.0', 'splits': [{'name': 'train'}]}
      >>> told = croissant_of(info, spec, index={'index/train.parquet': (8, 'e3b0c442')})
      >>> [records['@id'] for records in told['recordSet']]
      ['splits', 'classes-label', 'examples']
      >>> [field['name'] for field in told['recordSet'][-1]['field']]
      ['_split', 'label', '_group', '_key', '_position']
    """
    about = spec.about
    metadata = mlc.Metadata(
        ctx=mlc.Context(conforms_to="http://mlcommons.org/croissant/1.0"),
        name=info.get("configName") or info["name"],
        description=as_text(about.title, spec.description or info.get("description", "")),
        version=info["version"],
        url=spec.homepage or None,
        license=[spec.license] if spec.license else None,
        cite_as=spec.citation or None,
        keywords=["medical images", *([about.modality] if about.modality else [])],
        data_limitations=list(about.warnings) or None,
        distribution=[*_shards(info), *_index_files(index)],
        record_sets=record_sets(spec, [split["name"] for split in info["splits"]]),
    )
    told: dict[str, Any] = metadata.to_json()
    return told


def _shards(info: Mapping[str, Any]) -> Iterator[mlc.FileSet]:
    """The shards of each split. Their sizes and checksums are in the manifest."""
    kind = info.get("fileFormat", "tfrecord")
    prefix = info["name"]
    for split in info["splits"]:
        yield mlc.FileSet(
            id=f"shards-{split['name']}",
            name=f"shards-{split['name']}",
            description=f"The examples of {split['name']} with their images, which TFDS reads.",
            encoding_formats=[_FORMATS.get(kind, "application/octet-stream")],
            includes=[f"{prefix}-{split['name']}.{kind}-*"],
        )


def _index_files(index: Mapping[str, tuple[int, str]]) -> Iterator[mlc.FileObject | mlc.FileSet]:
    for name, (num_bytes, sha256) in index.items():
        yield mlc.FileObject(
            id=name,
            name=name,
            content_url=name,
            content_size=f"{num_bytes} B",
            encoding_formats=[_PARQUET],
            sha256=sha256,
        )
    yield mlc.FileSet(
        id=FOLDER,
        name=FOLDER,
        description="The index: what is known of each example, in the order of the shards.",
        encoding_formats=[_PARQUET],
        includes=[f"{FOLDER}/*.parquet"],
    )


def _sum_of(path: epath.Path) -> tuple[int, str]:
    """Returns the size of a file, and its SHA-256."""
    size, hashed = 0, hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            size += len(piece)
            hashed.update(piece)
    return size, hashed.hexdigest()
