"""Encodes metadata: numbers, classes, labels, days and texts, as one vector and tokens."""

from __future__ import annotations

import collections
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import keras
import tensorflow as tf

from medical_images.dataset_index import absolute_slices, index, resolve_builder
from medical_images.transforms.encodings.encoding import Encoding
from medical_images.transforms.encodings.fitting import Choices, fit_encodings
from medical_images.transforms.encodings.kinds import encoding_of
from medical_images.transforms.encodings.texts import Tokens

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

METADATA = "metadata"  # the output that holds all columns


@keras.saving.register_keras_serializable(package="medical_images")
class MetadataEncoder(keras.layers.Layer):
    """Encodes the metadata of an image, or of a batch, as a vector of numbers and tokens.

    It holds only what it was fitted to, as plain numbers and words in its config: it has no weights
    and no state, and gives the same in a `tf.data` pipeline, in a model, and in that model loaded
    from its file. Numbers and days are standardised over images, with a missing one as the mean (0)
    and a column that flags it; a class is one-hot with a column for none of them; labels are
    multi-hot; texts become tokens (0 pads, 1 is an unknown word).

    Args:
      encodings: How each feature is encoded, as `fit` finds it; `Encoding`s, or their `to_dict`.
      **kwargs: Of `keras.layers.Layer`. The dtype is float32 whatever the global policy is.

    Attributes:
      encodings: How each feature is encoded.
      columns: The names of the columns of `metadata`, in order.
      num_tokens: {output: different tokens} of the texts, for `keras.layers.Embedding`.

    Raises:
      ValueError: An encoding is not valid, or two columns would have the same name.

    Example:
      >>> encoder = MetadataEncoder([
      ...     {'kind': 'number', 'feature': 'age', 'mean': 50.0, 'scale': 10.0},
      ...     {'kind': 'one_hot', 'feature': 'sex', 'classes': ['f', 'm']}])
      >>> encoder.columns
      ('age', 'age_missing', 'sex=f', 'sex=m', 'sex_missing')
      >>> batch = {'age': tf.constant([70.0, float('nan')]), 'sex': tf.constant([1, 0])}
      >>> encoder(batch)['metadata'].numpy()
      array([[2., 0., 0., 1., 0.],
             [0., 1., 1., 0., 0.]], dtype=float32)
    """

    def __init__(self, encodings: Iterable[Encoding | Mapping[str, Any]], **kwargs: Any) -> None:
        # Missing numbers are NaN and days are large: half precision is for the layers after this.
        super().__init__(**{"dtype": "float32", "autocast": False, "trainable": False, **kwargs})
        self.encodings: tuple[Encoding, ...] = tuple(
            each if isinstance(each, Encoding) else encoding_of(each) for each in encodings
        )
        self.columns: tuple[str, ...] = tuple(
            column for each in self.encodings for column in each.columns
        )
        _refuse_clashes([each.feature for each in self.encodings], self.columns)
        self._texts = {each.feature: each.layer() for each in self._tokens()}
        self.supports_jit = False  # texts are looked up in tables
        self.built = True

    def _tokens(self) -> tuple[Tokens, ...]:
        return tuple(each for each in self.encodings if isinstance(each, Tokens))

    @property
    def num_tokens(self) -> dict[str, int]:
        """{output: different tokens} of the texts."""
        return {each.output: each.num_tokens for each in self._tokens()}

    @classmethod
    def fit(
        cls,
        builder: str | tfds.core.DatasetBuilder,
        split: Any = "train",
        *,
        features: Iterable[str],
        dates: Iterable[str] = (),
        missing: Mapping[str, float] | None = None,
        text_length: int = 32,
        text_vocabulary: int = 5000,
        min_groups: int = 2,
        allow_label: bool = False,
        allow_evaluation: bool = False,
        **kwargs: Any,
    ) -> Self:
        """Fits an encoder to the index of a slice; no image is read.

        Args:
          builder: A built dataset, or its name such as `medical_images/mine`.
          split: A training slice, in TFDS's notation or as a `tfds.core.ReadInstruction`.
          features: Numbers, classes, labels and texts, in the order of their columns.
          dates: Those of them that are days, which TFDS has as text.
          missing: {feature: number that stands for a missing one}, for whole numbers built with
            `missing_as`. Without it a whole number has no column that flags a missing one.
          text_length: Words kept of a text.
          text_vocabulary: Different tokens at most, with the two that are no words.
          min_groups: In how many groups (patients) a word has to stand to be known. Words of one
            patient alone say nothing about others, and may be names; they are not kept.
          allow_label: Whether the supervised feature may be encoded, which tells the answer.
          allow_evaluation: Whether it may be fitted to a split not named train, fit or fold.
          **kwargs: Of `keras.layers.Layer`.

        Raises:
          FileNotFoundError: The dataset has no index; it was not built by this package.
          ValueError: A feature cannot be encoded: it is no metadata, an identifier, or what is to
            be predicted; or the split is for evaluation. All problems are listed.

        Example:
          >>> encoder = MetadataEncoder.fit(
          ...     'medical_images/phantom', features=['age', 'sex', 'note'])  # doctest: +SKIP
        """
        if isinstance(features, str) or isinstance(dates, str):
            raise ValueError("`features` and `dates` are lists of names; write ['age'] for 'age'")
        builder = resolve_builder(builder)
        splits = tuple(dict.fromkeys(name for name, _, _ in absolute_slices(builder, split)))
        supervised = builder.info.supervised_keys
        choices = Choices(
            features=tuple(features),
            dates=tuple(dates),
            missing=missing or {},
            text_length=text_length,
            text_vocabulary=text_vocabulary,
            min_groups=min_groups,
            label=None if allow_label or supervised is None else supervised[1],
            splits=() if allow_evaluation else splits,
        )
        return cls(fit_encodings(index(builder, split), builder.info.features, choices), **kwargs)

    def inputs(self) -> dict[str, keras.KerasTensor]:
        """Returns inputs of a Keras model for the features as they are before encoding.

        With them the encoder is a part of the model, and saved with it.

        Returns:
          {feature: input} with the shapes and dtypes that `mi.load` gives.

        Example:
          >>> encoder = MetadataEncoder([{'kind': 'one_hot', 'feature': 'sex', 'classes': ['f']}])
          >>> inputs = encoder.inputs()
          >>> keras.Model(inputs, encoder(inputs)).predict({'sex': tf.constant([0, -1])}, verbose=0)
          {'metadata': array([[1., 0.],
                 [0., 1.]], dtype=float32)}
        """
        return {
            each.feature: keras.Input(
                each.spec.shape, dtype=each.spec.dtype.name, name=each.feature
            )
            for each in self.encodings
        }

    def __call__(self, inputs: Mapping[str, Any], **kwargs: Any) -> Any:
        """Encodes the features of an image, or of a batch of them.

        Args:
          inputs: Features as TFDS or `mi.load` gives them, tensors or arrays, of shape () or
            (batch,); labels as `MultiHot.encode` takes them. Others may be among them.
          **kwargs: Of `keras.layers.Layer.__call__`.

        Returns:
          `metadata`: float32 of shape (columns,) or (batch, columns), unless all are texts; and
          `tokens_<feature>` for each text: int64 of shape (text_length,) or (batch, text_length).

        Raises:
          ValueError: A feature is not there, or of another shape or dtype.
        """
        self._refuse_absent(inputs)
        # Keras is given no more than it needs, as tensors: its messages show what it cannot take,
        # which may be the bytes of an image or a text.
        own = {each.feature: _tensor(inputs[each.feature]) for each in self.encodings}
        return super().__call__(own, **kwargs)

    def call(self, inputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """Encodes tensors of the features that are encoded; see `__call__`."""
        columns, outputs = [], {}
        for each in self.encodings:
            values = inputs[each.feature]
            if isinstance(each, Tokens):
                outputs[each.output] = each.encode(values, self._texts[each.feature])
            else:
                columns.append(each.encode(values))
        return {METADATA: tf.concat(columns, -1), **outputs} if columns else outputs

    def compute_output_spec(self, inputs: Mapping[str, Any]) -> dict[str, keras.KerasTensor]:
        """Returns shapes and dtypes of the outputs, for models."""
        lead = tuple(inputs[self.encodings[0].feature].shape[:1])
        outputs = {}
        if self.columns:
            outputs[METADATA] = keras.KerasTensor((*lead, len(self.columns)), "float32")
        for each in self._tokens():
            outputs[each.output] = keras.KerasTensor((*lead, each.length), "int64")
        return outputs

    def _refuse_absent(self, inputs: Mapping[str, Any]) -> None:
        absent = [each.feature for each in self.encodings if each.feature not in inputs]
        if absent:
            raise ValueError(
                f"the inputs have no {', '.join(map(repr, absent))}; they are"
                f" {', '.join(sorted(map(str, inputs)))}; read all of"
                f" {', '.join(each.feature for each in self.encodings)}"
            )

    def get_config(self) -> dict[str, Any]:
        """Returns all that was fitted, in what JSON can hold."""
        return {**super().get_config(), "encodings": [each.to_dict() for each in self.encodings]}

    def to_json(self) -> str:
        """Returns all that was fitted, as text; `from_json` reads it."""
        return json.dumps({"encodings": [each.to_dict() for each in self.encodings]}, indent=1)

    @classmethod
    def from_json(cls, text: str, **kwargs: Any) -> Self:
        """Returns the encoder that `to_json` wrote.

        Args:
          text: What `to_json` returned; not the name of its file.
          **kwargs: Of `keras.layers.Layer`.

        Raises:
          ValueError: The text is not what `to_json` writes.
        """
        try:
            told = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"the text is no encoder: it is no JSON: {error}") from None
        encodings = told.get("encodings") if isinstance(told, Mapping) else None
        if not isinstance(encodings, list) or not all(isinstance(e, Mapping) for e in encodings):
            raise ValueError("the text is no encoder: it has no list of `encodings`")
        return cls(encodings, **kwargs)


def _tensor(values: Any) -> Any:
    if isinstance(values, tf.RaggedTensor | keras.KerasTensor):
        return values
    return tf.convert_to_tensor(values)


def _refuse_clashes(features: Sequence[str], columns: Sequence[str]) -> None:
    if not features:
        raise ValueError("an encoder needs at least 1 encoding; there are none")
    for what, names in (("feature", features), ("column", columns)):
        twice = sorted(name for name, count in collections.Counter(names).items() if count > 1)
        if twice:
            raise ValueError(
                f"an encoder has each {what} once; several times: {', '.join(map(repr, twice))};"
                " leave one out, or name it otherwise"
            )
