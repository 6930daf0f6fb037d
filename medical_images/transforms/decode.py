"""Decodes images at load time, JPEG at a reduced scale where that is enough."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from medical_images.errors import nearest
from medical_images.fields import masks_of
from medical_images.transforms.crop import Crop, cut, move_boxes
from medical_images.transforms.reduced import View, decode_view, resize

Size = tuple[int, int]


def decode_image(
    data: tf.Tensor,
    size: Size | None,
    *,
    channels: int,
    dtype: Any = tf.uint8,
    antialias: bool = False,
    reduced: bool = True,
    crop: Crop | None = None,
    seed: tf.Tensor | None = None,
) -> tf.Tensor:
    """Decodes one image and gives it a size; eagerly or in a graph.

    JPEG is decoded at 1/8, 1/4, 1/2 or 1/1 of its scale, the smallest that is not under `size` in
    either axis; libjpeg does that with a share of the work. All else is decoded in full. Then the
    image is resized by the bilinear method of `tf.image.resize`, which leaves out pixels where an
    axis shrinks to less than half; or with `antialias` so that every pixel counts, see
    `reduced.resize`, which takes about two fifths more time in all.

    With `reduced=False` and `antialias` the result is just `tf.image.resize(whole, size,
    antialias=True)`, rounded, and takes its time. How near the quick way comes to it, as PSNR:

    - with `antialias`, where the scale is not reduced, as of PNG: 41 dB and more;
    - with `antialias`, at a reduced scale: microscopy 44 dB and more, the lesions of the phantom
      39 dB. Detail as fine as the pixels of the result is lost in part: a photograph of roofs and
      trees (427 x 640) has 40 dB at 64 x 64, 36 dB at 128 x 128, and 32 dB at 200 x 200, since half
      its scale is hardly larger than that. Take `reduced=False` where this matters;
    - without `antialias`, at a reduced scale of 1/4 or 1/2: the same images have 38 dB and more,
      and 31, 29 and 30 dB; where the scale is not reduced, or where 1/8 is more than twice `size`,
      less the finer their detail is.

    A height or width that is no multiple of the scale is taken to its nearest pixel, which shifts
    the far edge by up to half a pixel of the reduced image.

    Args:
      data: string scalar, the bytes of a JPEG, PNG, BMP or GIF file.
      size: Height and width of the result; None decodes in full, without resizing.
      channels: 1, 3 or 4; grey becomes RGB by repetition. JPEG has no 4, BMP no
        1, and GIF only 3.
      dtype: `tf.uint8`, or `tf.uint16`, of which JPEG is decoded in full.
      antialias: Whether an axis that shrinks is averaged over all of its pixels.
      reduced: Whether JPEG may be decoded at a reduced scale.
      crop: The part of the image to take before it is resized; at a reduced scale it is enlarged to
        whole pixels of that scale.
      seed: int32 or int64 of shape (2,), for a random `crop`.

    Returns:
      Of shape (height, width, channels) and the type `dtype`, rounded half up. With neither `size`
      nor `crop` it is what `tfds.features.Image` decodes.

    Raises:
      ValueError: An argument is out of its range, or a random crop has no seed.
      tf.errors.InvalidArgumentError: While decoding, if the bytes are damaged.

    Example:
      >>> data = tf.io.encode_png(tf.fill([40, 60, 1], tf.constant(7, tf.uint8)))
      >>> decode_image(data, (2, 3), channels=1)[..., 0].numpy()
      array([[7, 7, 7],
             [7, 7, 7]], dtype=uint8)
    """
    _check(size, channels, dtype)
    view = _decoded(
        data,
        size,
        channels=channels,
        dtype=dtype,
        antialias=antialias,
        reduced=reduced,
        crop=crop,
        seed=seed,
    )
    return view.image


def resize_mask(
    data: tf.Tensor, size: Size | None, *, window: tf.Tensor | None = None
) -> tf.Tensor:
    """Decodes a mask and gives it a size, each label from the pixel nearest.

    Args:
      data: string scalar, the bytes of a PNG file of one channel.
      size: Height and width of the result; None keeps them.
      window: The part to take before, see `Crop.window`.

    Returns:
      uint8 of shape (height, width, 1) with labels of the mask only.

    Example:
      >>> data = tf.io.encode_png(tf.constant([[[1], [1], [2], [2]]] * 2, tf.uint8))
      >>> resize_mask(data, (1, 2))[..., 0].numpy()
      array([[1, 2]], dtype=uint8)
    """
    mask = tf.image.decode_image(data, 1, expand_animations=False)
    if window is not None:
        mask = cut(mask, window)
    for axis, side in enumerate(size or ()):
        found = tf.shape(mask, tf.int64)[axis]
        middles = (2 * tf.range(side, dtype=tf.int64) + 1) * found // (2 * side)
        mask = tf.gather(mask, middles, axis=axis)
    return tf.ensure_shape(mask, [*(size or (None, None)), 1])


def decode(
    ds: tf.data.Dataset,
    image_size: Size | None = None,
    *,
    features: Mapping[str, Any] | None = None,
    image: str = "image",
    masks: Collection[str] | None = None,
    boxes: Collection[str] | None = None,
    channels: int = 3,
    dtype: Any = tf.uint8,
    antialias: bool = False,
    reduced: bool = True,
    crop: Crop | None = None,
    seed: int = 0,
    epoch: int | tf.Tensor = 0,
    num_parallel_calls: int | None = tf.data.AUTOTUNE,
) -> tf.data.Dataset:
    """Decodes the images and masks of a dataset that was read with them encoded.

    Args:
      ds: Feature dicts, with the image and the masks as bytes
        (`decoders={'image': tfds.decode.SkipDecoding()}`, and the same for each mask).
      image_size: Height and width of images and masks; None keeps those of each image.
      features: `builder.info.features`; says `channels` and `dtype` of the image, and `masks`.
      image: The feature of the image.
      masks: The features of masks, which are resized by `resize_mask`; by default all uint8 images
        of one channel in `features` that stand in the elements beside `image`.
      boxes: The features of boxes, which follow the crop (see `move_boxes`); by default all
        dicts in the elements that hold `bbox`.
      channels: See `decode_image`; without `features`.
      dtype: See `decode_image`; without `features`.
      antialias: See `decode_image`.
      reduced: See `decode_image`.
      crop: See `decode_image`; masks and boxes follow.
      seed: Decides random crops, together with `epoch` and the place of the element in `ds`.
      epoch: A number, or an int64 scalar tensor.
      num_parallel_calls: Images decoded at the same time.

    Returns:
      The same elements, in the same order, with the image and the masks decoded.

    Raises:
      ValueError: A feature is missing or is not encoded, or an argument is out of its range.

    Example:
      >>> data = tf.io.encode_jpeg(tf.fill([48, 64, 3], tf.constant(9, tf.uint8)))
      >>> ds = tf.data.Dataset.from_tensors({'image': data, 'label': 1})
      >>> decode(ds, (24, 24)).element_spec['image']
      TensorSpec(shape=(24, 24, 3), dtype=tf.uint8, name=None)
    """
    spec = ds.element_spec
    _check_elements(spec, [image, *(masks or ()), *(boxes or ())])
    if features is not None:
        channels, dtype = features[image].shape[-1], features[image].np_dtype
        masks = [n for n in masks_of(features, image) if n in spec] if masks is None else masks
    if boxes is None:
        boxes = [
            name for name, held in spec.items() if isinstance(held, Mapping) and "bbox" in held
        ]
    names, boxes = tuple(masks or ()), tuple(boxes)
    _check(image_size, channels, dtype)
    _check_encoded(spec, [image, *names])

    options = {
        "channels": channels,
        "dtype": dtype,
        "antialias": antialias,
        "reduced": reduced,
        "crop": crop,
    }

    def decoded(element: Mapping[str, Any], seed: tf.Tensor | None = None) -> dict[str, Any]:
        view = _decoded(element[image], image_size, seed=seed, **options)
        followers = {
            name: resize_mask(element[name], image_size, window=view.window) for name in names
        }
        if crop is not None:
            followers |= {
                name: move_boxes(element[name], view.window, view.whole) for name in boxes
            }
        return {**element, **followers, image: view.image}

    if crop is None or not crop.is_random:
        return ds.map(decoded, num_parallel_calls=num_parallel_calls)
    start = tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])

    def seeded(number: tf.Tensor, element: Mapping[str, Any]) -> dict[str, Any]:
        return decoded(element, tf.random.experimental.stateless_fold_in(start, number))

    return ds.enumerate().map(seeded, num_parallel_calls=num_parallel_calls)


def _decoded(
    data: tf.Tensor, size: Size | None, *, antialias: bool, reduced: bool, **options: Any
) -> View:
    """Returns what `decode_view` does, with the image of that size."""
    view = decode_view(data, size, reduced=reduced, **options)
    image = view.image
    if size is not None:
        image = resize(
            image, size, antialias=antialias, exact=not reduced, is_reduced=view.is_reduced
        )
    shape = [*(size or (None, None)), options["channels"]]
    return view._replace(image=tf.ensure_shape(image, shape))


def _check_elements(spec: Any, names: Collection[str]) -> None:
    if not isinstance(spec, Mapping):
        raise ValueError(
            "`decode` takes feature dicts; read the dataset without `as_supervised`, and take the"
            " image and the label out of them afterwards"
        )
    problems = [f"no feature '{name}': {nearest(name, spec)}" for name in names if name not in spec]
    if problems:
        raise ValueError("the elements cannot be decoded: " + "; ".join(problems))


def _check_encoded(spec: Mapping[str, Any], names: Collection[str]) -> None:
    wrong = [n for n in names if getattr(spec[n], "dtype", None) != tf.string or spec[n].shape.rank]
    if wrong:
        decoders = ", ".join(f"'{name}': tfds.decode.SkipDecoding()" for name in wrong)
        found = ", ".join(f"'{name}' is {spec[name]}" for name in wrong)
        raise ValueError(
            f"images and masks must be encoded, string scalars, but {found}; read them with"
            f" `decoders={{{decoders}}}`"
        )


def _is_size(size: Any) -> bool:
    return (
        isinstance(size, Sequence)
        and len(size) == 2
        and all(isinstance(side, int | np.integer) and side > 0 for side in size)
    )


def _check(size: Size | None, channels: int, dtype: Any) -> None:
    problems = []
    if size is not None and not _is_size(size):
        problems.append(
            f"the size is {size!r}; it takes (height, width), two whole numbers above 0"
        )
    if channels not in (1, 3, 4):
        problems.append(f"`channels` is {channels}; it must be 1, 3 or 4")
    if tf.as_dtype(dtype) not in (tf.uint8, tf.uint16):
        problems.append(f"`dtype` is {tf.as_dtype(dtype).name}; it must be uint8 or uint16")
    if problems:
        raise ValueError("the images cannot be decoded: " + "; ".join(problems))
