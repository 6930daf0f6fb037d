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

from medical_images._version import __version__
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
from medical_images.line_slices import even_splits, folds, slices
from medical_images.medical_images_dataset_builder import Builder, MedicalImagesConfig
from medical_images.phantom import write_phantom
from medical_images.spec import CorpusSpec, load_spec
from medical_images.verification import verify

if TYPE_CHECKING:
    from medical_images import transforms

__all__ = [
    # building
    "Builder",
    "CorpusSpec",
    "MedicalImagesConfig",
    "load_spec",
    "write_phantom",
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
    "transforms",
    # errors
    "BuildError",
    "CorpusError",
    "Problem",
    "RejectedError",
    "SpecError",
    "TableError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Imports what needs TensorFlow when it is first asked for."""
    if name == "transforms":
        return importlib.import_module("medical_images.transforms")
    raise AttributeError(f"module 'medical_images' has no attribute '{name}'")
