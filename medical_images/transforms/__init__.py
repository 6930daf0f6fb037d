"""Transforms of `tf.data.Dataset`s of feature dicts, for load time."""

from medical_images.transforms.oversample import oversample

__all__ = ["oversample"]
