"""Medical images and their tables as TensorFlow Datasets: typed, complete, leak-free, stratified.

Importing this package registers the builder `medical_images` with TFDS. TensorFlow and Beam are
imported when they are first needed.

Example:
  >>> import medical_images as mi, tensorflow_datasets as tfds
  >>> tfds.builder('medical_images').builder_config.name
  'phantom'
"""

import importlib
from typing import TYPE_CHECKING, Any

from medical_images import sampling
from medical_images._version import __version__
from medical_images.checked import Check
from medical_images.checking import check
from medical_images.class_weights import class_weights, log_prior_offsets, minority_classes
from medical_images.dataset_certificate import Certificate, certificate
from medical_images.dataset_index import ClassCounts, class_counts, index
from medical_images.errors import (
    BuildError,
    CorpusError,
    Problem,
    RejectedError,
    SpecError,
    TableError,
)
from medical_images.infer import Draft, infer_spec
from medical_images.line_slices import even_splits, folds, slices
from medical_images.medical_images_dataset_builder import Builder, MedicalImagesConfig
from medical_images.phantom import write_phantom
from medical_images.rebalancing import Rebalance
from medical_images.spec import CorpusSpec, load_spec
from medical_images.unbuilt import UnbuiltCorpus, from_corpus
from medical_images.verification import verify

if TYPE_CHECKING:
    from medical_images import fusion, transforms
    from medical_images.loading import load
    from medical_images.report import write_report
    from medical_images.transforms.encode import MetadataEncoder

__all__ = [
    # building
    "Builder",
    "CorpusSpec",
    "MedicalImagesConfig",
    "load_spec",
    "write_phantom",
    # before building: a draft of the spec, and all that can be said of the corpus
    "Check",
    "Draft",
    "check",
    "infer_spec",
    # the data card
    "write_report",
    # the index
    "ClassCounts",
    "class_counts",
    "index",
    # the certificate
    "Certificate",
    "certificate",
    # the manifest
    "verify",
    # slices and folds that no group straddles
    "even_splits",
    "folds",
    "slices",
    # loading
    "MetadataEncoder",
    "Rebalance",
    "UnbuiltCorpus",
    "from_corpus",
    "fusion",
    "load",
    "sampling",
    "transforms",
    # weights and offsets
    "class_weights",
    "log_prior_offsets",
    "minority_classes",
    # errors
    "BuildError",
    "CorpusError",
    "Problem",
    "RejectedError",
    "SpecError",
    "TableError",
    "__version__",
]


_LATE = {
    "MetadataEncoder": "medical_images.transforms.encode",
    "fusion": "medical_images",
    "load": "medical_images.loading",
    "write_report": "medical_images.report",
    "transforms": "medical_images",
}


def __getattr__(name: str) -> Any:
    """Imports what needs TensorFlow when it is first asked for."""
    if name not in _LATE:
        raise AttributeError(f"module 'medical_images' has no attribute '{name}'")
    module = _LATE[name]
    if module == "medical_images":
        return importlib.import_module(f"{module}.{name}")
    return getattr(importlib.import_module(module), name)
