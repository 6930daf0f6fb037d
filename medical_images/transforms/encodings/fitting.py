"""Fits encodings of features to the index of a dataset; no image is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import tensorflow as tf
import tensorflow_datasets as tfds

from medical_images.dataset_index import KEY
from medical_images.errors import nearest, some_lines
from medical_images.rebalancing import is_for_training
from medical_images.transforms.encodings.classes import MultiHot, OneHot
from medical_images.transforms.encodings.encoding import Encoding
from medical_images.transforms.encodings.numbers import Day, Number
from medical_images.transforms.encodings.texts import NUM_SPECIAL, Tokens, plain_words

if TYPE_CHECKING:
    Connectors = Mapping[str, tfds.features.FeatureConnector]

_ISO = r"\d{4}-\d{2}-\d{2}"


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What is to be encoded, and how.

    Attributes:
      features: The features, in the order of their columns.
      dates: Those of them that are days, written as text.
      missing: {feature: number that stands for a missing one}.
      text_length: Words kept of a text.
      text_vocabulary: Different tokens at most, with the two that are no words.
      min_groups: In how many groups a word has to stand to be known.
      label: The supervised feature, which is refused; None allows all.
      splits: The splits fitted to, of which any for evaluation are refused; () allows all.
    """

    features: tuple[str, ...]
    dates: tuple[str, ...] = ()
    missing: Mapping[str, float]
    text_length: int
    text_vocabulary: int
    min_groups: int
    label: str | None
    splits: tuple[str, ...]


def fit_encodings(index: pd.DataFrame, connectors: Connectors, choices: Choices) -> list[Encoding]:
    """Fits one encoding for each feature.

    Args:
      index: What `mi.index` returns.
      connectors: {feature: its type}, as of `builder.info.features`.
      choices: What is to be encoded, and how.

    Raises:
      ValueError: A feature cannot be encoded, or the choices do not fit; all problems are listed.
    """
    problems = list(_misfits(connectors, choices))
    if index.empty:
        problems.append("split: the slice has no images; name one that has")
    encodings: list[Encoding] = []
    if not problems:
        for name in choices.features:
            try:
                encodings.append(_fit(name, connectors[name], index, choices))
            except _UnfitError as error:
                problems.append(f"features: {error}")
    if problems:
        headline = "The metadata cannot be encoded"
        raise ValueError("\n  ".join([f"{headline}: {_counted(problems)}", *problems]))
    return encodings


class _UnfitError(Exception):
    """The values of a feature do not fit its encoding."""


def _counted(problems: Sequence[str]) -> str:
    return f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"


def _misfits(connectors: Connectors, choices: Choices) -> Iterator[str]:
    """Says what is wrong with the choices themselves."""
    kinds = {name: _kind(connector) for name, connector in connectors.items()}
    usable = [name for name, kind in kinds.items() if kind and name != choices.label]
    for split in choices.splits:
        if not is_for_training(split):
            yield (
                f"split: '{split}' is for evaluation, or at least not named as a training split;"
                " what is fitted to it leaks into what it measures; fit to a training split, or"
                " pass `allow_evaluation=True`"
            )
    if not choices.features:
        yield f"features: none are named; known are {', '.join(sorted(usable))}"
    for name in dict.fromkeys(choices.features):
        if choices.features.count(name) > 1:
            yield f"features: '{name}' is named twice"
        if name not in kinds:
            yield f"features: there is no '{name}'; {nearest(name, usable)}"
        elif name == choices.label:
            yield (
                f"features: '{name}' is what is to be predicted; leave it out, or pass"
                " `allow_label=True`"
            )
        elif kinds[name] is None:
            yield (
                f"features: '{name}' is no number, class, labels or text of which an image has one"
                f" (it is {type(connectors[name]).__name__}); leave it out"
            )
    for key, names, kind in (
        ("dates", choices.dates, Tokens),
        ("missing", choices.missing, Number),
    ):
        what = "text" if kind is Tokens else "a number"
        for name in names:
            if name not in choices.features:
                yield f"{key}: '{name}' is not among `features`; {nearest(name, choices.features)}"
            elif kinds.get(name) is not kind:
                yield f"{key}: '{name}' is not {what}; leave it out of `{key}`"
    least = {"text_length": 1, "text_vocabulary": NUM_SPECIAL + 1, "min_groups": 1}
    for key, value in least.items():
        if getattr(choices, key) < value:
            yield f"{key}: it is {getattr(choices, key)}; allowed is {value} or more"


def _kind(connector: tfds.features.FeatureConnector) -> type[Encoding] | None:
    """Returns how a feature is encoded that is no date; None for images, boxes and lists."""
    if isinstance(connector, tfds.features.Sequence):
        return MultiHot if isinstance(connector.feature, tfds.features.ClassLabel) else None
    if isinstance(connector, tfds.features.ClassLabel):
        return OneHot
    if isinstance(connector, tfds.features.Text):
        return Tokens
    is_number = isinstance(connector, tfds.features.Scalar) and np.issubdtype(
        connector.np_dtype, np.number
    )
    return Number if is_number else None


def _fit(name: str, connector: Any, index: pd.DataFrame, choices: Choices) -> Encoding:
    kind = _kind(connector)
    if kind is OneHot:
        return OneHot(feature=name, classes=tuple(connector.names))
    if kind is MultiHot:
        return MultiHot(feature=name, classes=tuple(connector.feature.names))
    if kind is Number:
        return _fit_number(name, connector.np_dtype, index[name], choices.missing.get(name))
    texts = index[name].fillna("").astype("str")
    if name in choices.dates:
        return _fit_day(name, texts)
    return _fit_tokens(name, texts, index[KEY], choices)


def _fit_number(
    name: str, dtype: np.dtype[Any], values: pd.Series[Any], missing: float | None
) -> Number:
    numbers = values.to_numpy(dtype)  # as the dataset has them; the index is more precise
    whole = np.issubdtype(dtype, np.integer)
    if missing is not None:
        missing = float(missing)
        numbers = numbers[numbers != np.asarray(missing).astype(dtype)]
    mean, scale = _moments(numbers)
    flag = missing is not None or not whole
    return Number(feature=name, mean=mean, scale=scale, missing=missing, flag=flag, whole=whole)


def _fit_day(name: str, texts: pd.Series[str]) -> Day:
    days = {text: _day(text) for text in texts.unique()}
    wrong = texts.map(days).isna() & (texts != "")
    if wrong.any():
        where = some_lines(np.flatnonzero(wrong).tolist())
        raise _UnfitError(
            f"'{name}' holds what is no day of the form 2019-07-30 ({where} of the index, from 0);"
            " leave it out of `dates`, or build it as `type: date`"
        )
    mean, scale = _moments(texts.map(days).to_numpy(np.float64))
    return Day(feature=name, mean=mean, scale=scale)


def _day(text: str) -> float:
    """Returns days since 1970-01-01; NaN for what is no day."""
    try:
        return float(np.datetime64(text, "D").astype(np.int64)) if len(text) == 10 else np.nan
    except ValueError:
        return np.nan


def _moments(numbers: np.ndarray) -> tuple[float, float]:
    """Returns the mean of the finite numbers, and their standard deviation, or 1 if that is 0."""
    known = numbers[np.isfinite(numbers)].astype(np.float64)
    if not known.size:
        return 0.0, 1.0
    return float(known.mean()), float(known.std()) or 1.0


def _fit_tokens(
    name: str, texts: pd.Series[str], groups: pd.Series[Any], choices: Choices
) -> Tokens:
    told = pd.DataFrame({"text": texts, "group": groups})[texts != ""].drop_duplicates()
    if len(told) and told["text"].str.fullmatch(_ISO).all():
        raise _UnfitError(f"'{name}' holds days; name it in `dates` too")
    if _is_identifier(told["text"]):
        raise _UnfitError(
            f"'{name}' is an identifier: each value is one word, and none stands in two groups; a"
            " model could only learn images by heart from it; leave it out"
        )
    split = tf.strings.split(plain_words(tf.constant(told["text"].to_list(), tf.string)))
    numbers, words = pd.factorize(split.flat_values.numpy())
    held_by = told["group"].to_numpy()[split.value_rowids().numpy()]
    pairs = pd.DataFrame({"word": numbers, "group": held_by}).drop_duplicates()
    counts = np.bincount(pairs["word"], minlength=len(words)).tolist()
    counted = zip(counts, words, strict=True)
    shared = [(-count, word) for count, word in counted if count >= choices.min_groups]
    if not shared:
        raise _UnfitError(
            f"'{name}' has no word that stands in {choices.min_groups} groups; leave it out, or"
            " lower `min_groups`"
        )
    kept = sorted(shared)[: choices.text_vocabulary - NUM_SPECIAL]
    vocabulary = tuple(word.decode() for _, word in kept)
    return Tokens(feature=name, vocabulary=vocabulary, length=choices.text_length)


def _is_identifier(texts: pd.Series[str]) -> bool:
    """Whether texts, each once a group, are one word each and tell the groups apart."""
    return len(texts) > 1 and texts.is_unique and not texts.str.contains(r"\s").any()
