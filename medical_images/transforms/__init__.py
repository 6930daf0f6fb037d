"""Transforms of `tf.data.Dataset`s of feature dicts, for load time: the parts of `mi.load`."""

from medical_images.transforms.augment import augment, mix
from medical_images.transforms.crop import Crop
from medical_images.transforms.decode import decode, decode_image, resize_mask
from medical_images.transforms.elements import COPIES, COPY
from medical_images.transforms.encode import MetadataEncoder
from medical_images.transforms.epochs import epochs
from medical_images.transforms.oversample import oversample
from medical_images.transforms.repeat import repeat
from medical_images.transforms.shuffle import shuffle

__all__ = [
    "COPIES",
    "COPY",
    "Crop",
    "MetadataEncoder",
    "augment",
    "decode",
    "decode_image",
    "epochs",
    "mix",
    "oversample",
    "repeat",
    "resize_mask",
    "shuffle",
]
