"""Random changes of images while they are loaded: of single images, and of batches."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from medical_images.transforms.augmenting.chosen import chooser
from medical_images.transforms.augmenting.keras_layers import flat_layers, run_layers, run_mix
from medical_images.transforms.augmenting.layer_checks import (
    dict_spec,
    feature_problems,
    layer_problems,
    mix_problems,
    refuse,
)
from medical_images.transforms.augmenting.moved_boxes import boxes_in, still_seen
from medical_images.transforms.augmenting.pure_changes import (
    Change,
    Element,
    from_float,
    key_of,
    pure,
    seed_of,
    to_float,
)


def augment(
    ds: tf.data.Dataset,
    layer: Any,
    *,
    to: str | Collection[str | int] = "copies",
    label: str | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
    epoch: int | tf.Tensor = 0,
    image: str = "image",
    masks: Sequence[str] = (),
    boxes: Sequence[str] = (),
    num_parallel_calls: int = tf.data.AUTOTUNE,
) -> tf.data.Dataset:
    """Changes images at random, by default only the copies that oversampling made.

    What an image becomes is a function of (seed, epoch, place of the element in `ds`) and of
    nothing else; seeds that layers were made with are ignored. Elements that `to` does not choose
    pass as they are, bit by bit.

    Layers see the pixels of integer images as float32 from 0 to 255, of uint16 too; the result is
    rounded to the type the image had. A function sees pixels as they are. It is traced once, so
    that draws of Python or NumPy in it would be the same for all images.

    Args:
      ds: Feature dicts, not batched. Images are uint8, uint16 or float32 (h, w, channels).
      layer: A Keras 3 layer, a list of layers, a `keras.Sequential` or `keras.layers.Pipeline`; or
        a function f(image) or f(image, seed), where seed is int32 (2,) as `tf.image.stateless_...`
        take it, that returns an image of the same type. What is named `seed` is always given.
      to: Which elements: 'copies', 'all', or classes by name or number; an element of several
        classes is chosen by any of them.
      label: The feature of the class, if `to` names classes: an integer scalar, integers (n,), or
        multi-hot floats (classes,).
      names: The names of all classes in order, if `to` holds names.
      seed: Decides the changes.
      epoch: Another number, other changes; an int, or an int64 scalar tensor.
      image: The feature to change.
      masks: Features (h, w, 1) that follow the image; a pixel takes the value of the nearest one,
        and 0 where a layer fills the image with a constant.
      boxes: Features float32 (4,) or (n, 4) that follow it, as TFDS has them: ymin, xmin, ymax,
        xmax as fractions. They become what is still seen of them, to the pixel; all zeros if
        nothing is. Of dicts that hold (n, 4) as `bbox` and beside it tensors of shape (n, ...),
        boxes of which nothing is seen any more are left out of each tensor.
      num_parallel_calls: Of `tf.data.Dataset.map`.

    Returns:
      The same elements in the same order.

    Raises:
      ValueError: The layer cannot be run on these images, draws random numbers that do not come
        from its seed, or gives images of another type, or of another size where others pass as they
        are; a mask or box cannot follow it; or `to` does not fit the elements.

    Example:
      >>> ds = tf.data.Dataset.from_tensors({'image': tf.constant([[[1], [2]]], tf.uint8)})
      >>> flip = keras.layers.RandomFlip('horizontal')
      >>> ds = augment(ds.repeat(8), flip, to='all', seed=1)
      >>> sorted({tuple(example['image'].numpy().ravel().tolist()) for example in ds})
      [(1, 2), (2, 1)]
    """
    given = dict_spec(ds, "augment")
    spec = {**given, **boxes_in(given, boxes)}
    refuse("augment", feature_problems(spec, image, masks, boxes))
    chosen = chooser(given, to, label=label, names=names)
    changing = {name: spec[name] for name in (image, *masks, *boxes)}
    if callable(layer) and not isinstance(layer, keras.Layer | type):
        change = _by_function(layer, image, followers=[*masks, *boxes])
    else:
        change = _by_layers(flat_layers(layer), changing, image, masks, boxes)
    change = pure("augment", change, changing, same_size=chosen is not None)

    def change_chosen(element: Element, seed: tf.Tensor) -> Element:
        features = {name: element[name] for name in changing} | boxes_in(element, boxes)
        if chosen is None:
            found = change(features, seed)
        else:
            found = dict(tf.cond(chosen(element), lambda: change(features, seed), lambda: features))
        held = {name: element[name] for name in boxes if isinstance(element[name], Mapping)}
        return found | {name: still_seen(held[name], found[name]) for name in held}

    return _map(ds, change_chosen, seed, epoch, num_parallel_calls)


def mix(
    ds: tf.data.Dataset,
    layer: keras.Layer,
    *,
    num_classes: int,
    label: str,
    seed: int = 0,
    epoch: int | tf.Tensor = 0,
    image: str = "image",
    num_parallel_calls: int = tf.data.AUTOTUNE,
) -> tf.data.Dataset:
    """Mixes the images of each batch with one another, and their labels in the same shares.

    What a batch becomes is a function of (seed, epoch, number of the batch) and of the batch.

    Args:
      ds: Batches of feature dicts; images are uint8, uint16 or float32 (batch, h, w, channels).
      layer: `keras.layers.MixUp` or `keras.layers.CutMix`; its own seed is ignored.
      num_classes: How many classes there are.
      label: The feature of the class: integers (batch,), or multi-hot (batch, num_classes).
      seed: Decides what is mixed.
      epoch: Another number, other mixtures; an int, or an int64 scalar tensor.
      image: The feature of the images.
      num_parallel_calls: Of `tf.data.Dataset.map`.

    Returns:
      The same batches; `label` is float32 (batch, num_classes), each row the mixture of the one-hot
      rows of its images; the row of -1 is all zeros. All other features, masks and metadata among
      them, stay those of the first image of each mixture.

    Raises:
      ValueError: The layer, the images or the labels do not fit.
      tf.errors.InvalidArgumentError: While reading, if a class is not under `num_classes`.

    Example:
      >>> batch = {'image': tf.zeros((4, 8, 8, 1)), 'label': tf.range(4)}
      >>> ds = tf.data.Dataset.from_tensors(batch)
      >>> ds = mix(ds, keras.layers.MixUp(0.4), num_classes=4, label='label')
      >>> ds.element_spec['label']
      TensorSpec(shape=(4, 4), dtype=tf.float32, name=None)
    """
    spec = dict_spec(ds, "mix")
    refuse("mix", mix_problems(spec, layer, num_classes, label, image))

    def mixed(features: Element, seed: tf.Tensor) -> Element:
        images, shares = run_mix(layer, to_float(features[image]), features[label], seed=seed)
        return {image: from_float(images, spec[image].dtype), label: shares}

    shares = tf.TensorSpec((spec[label].shape[0], num_classes), tf.float32)
    change = pure("mix", mixed, {image: spec[image], label: shares}, same_size=True)

    def change_batch(batch: Element, seed: tf.Tensor) -> Element:
        return change({image: batch[image], label: _shares(batch[label], num_classes)}, seed)

    return _map(ds, change_batch, seed, epoch, num_parallel_calls)


def _map(
    ds: tf.data.Dataset, change: Change, seed: int, epoch: int | tf.Tensor, num_parallel_calls: int
) -> tf.data.Dataset:
    key = key_of(seed, epoch)

    def step(place: tf.Tensor, element: Element) -> Element:
        return {**element, **change(element, seed_of(key, place))}

    step = tf.autograph.experimental.do_not_convert(step)
    return ds.enumerate().map(step, num_parallel_calls=num_parallel_calls, deterministic=True)


def _by_layers(
    layers: Sequence[keras.Layer],
    specs: Mapping[str, tf.TensorSpec],
    image: str,
    masks: Sequence[str],
    boxes: Sequence[str],
) -> Change:
    spec = specs[image]
    moved = " and ".join(name for name, given in (("masks", masks), ("boxes", boxes)) if given)
    size, integer = (spec.shape[0], spec.shape[1]), spec.dtype.is_integer
    refuse("augment", layer_problems(layers, size=size, integer=integer, moved=moved))

    def change(features: Element, seed: tf.Tensor) -> Element:
        pixels, moved_masks, moved_boxes = run_layers(
            layers,
            to_float(features[image]),
            masks=[features[name] for name in masks],
            boxes=[features[name] for name in boxes],
            seed=seed,
        )
        return {
            image: from_float(pixels, spec.dtype),
            **dict(zip(masks, moved_masks, strict=True)),
            **dict(zip(boxes, moved_boxes, strict=True)),
        }

    return change


def _by_function(function: Callable[..., Any], image: str, *, followers: Sequence[str]) -> Change:
    if followers:
        raise ValueError(
            f"augment: {', '.join(followers)} cannot follow a function, which does not say how it"
            " moves pixels; give layers of Keras"
        )
    by_place, by_name = _takes_seed(function)
    traced = tf.function(function)

    def change(features: Element, seed: tf.Tensor) -> Element:
        seeds, named = (seed,) if by_place else (), {"seed": seed} if by_name else {}
        return {image: tf.convert_to_tensor(traced(features[image], *seeds, **named))}

    return change


def _takes_seed(function: Callable[..., Any]) -> tuple[bool, bool]:
    """Whether a second argument must be given, and whether else there is one named `seed`."""
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:  # some built-in functions do not tell
        return False, False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p for p in parameters.values() if p.kind in positional and p.default is p.empty]
    return len(needed) > 1, len(needed) == 1 and "seed" in parameters


def _shares(labels: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Returns the label of each image as a row of shares of the classes: float32."""
    if labels.shape.rank == 2:
        return tf.cast(labels, tf.float32)
    check = tf.debugging.assert_less(
        tf.cast(labels, tf.int64),
        tf.constant(num_classes, tf.int64),
        message=f"mix: a label is not under num_classes={num_classes}",
    )
    with tf.control_dependencies([check]):
        return tf.one_hot(labels, num_classes)
