"""Slices and folds that no group straddles, and what the index tells of groups."""

import csv
import itertools
import json
import pathlib
import re
import shutil
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import tensorflow_datasets as tfds
from conftest import build
from etils import epath
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_datasets.core.utils import file_utils

import medical_images as mi
from medical_images.dataset_index import FOLDER, group_places, read_former
from medical_images.index_writing import merge_index, write_index_part
from medical_images.line_slices import cut_places
from medical_images.spec import CorpusSpec

SIZES = st.lists(st.integers(1, 6), min_size=1, max_size=30)
WEIGHTS = st.lists(st.integers(1, 40), min_size=2, max_size=6)


def positions_of(sizes: list[int]) -> np.ndarray:
    return np.repeat(np.arange(len(sizes)) / len(sizes), sizes)


def oracle(sizes: list[int], place: Fraction) -> int:
    """The boundary nearest to a place, found by looking at all of them."""
    boundaries = [sum(sizes[:number]) for number in range(len(sizes) + 1)]
    return min(boundaries, key=lambda boundary: (abs(boundary - place), boundary))


@given(sizes=SIZES, weights=WEIGHTS, ends=st.tuples(st.integers(0, 100), st.integers(0, 100)))
def test_each_cut_is_the_boundary_nearest_to_its_place(sizes, weights, ends):
    begin, end = sorted(number % (sum(sizes) + 1) for number in ends)
    fractions = [Fraction(weight, sum(weights)) for weight in weights]
    cuts = cut_places(positions_of(sizes), begin=begin, end=end, fractions=fractions)
    places = [begin + sum(fractions[:k]) * (end - begin) for k in range(len(fractions) + 1)]
    assert cuts == [oracle(sizes, place) for place in places]
    if end - begin == sum(sizes):
        assert (cuts[0], cuts[-1]) == (0, sum(sizes))


@pytest.fixture(scope="module")
def patients(phantom_corpus) -> dict[str, str]:
    """{image_id: patient_id} as the phantom's table has it."""
    with (phantom_corpus.parent / "metadata.csv").open(encoding="utf-8") as file:
        return {row["image_id"]: row["patient_id"] for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def array_builder(phantom_corpus, tmp_path_factory):
    """The phantom's dataset for random access."""
    return build(phantom_corpus, tmp_path_factory.mktemp("arrays"), file_format="array_record")


@pytest.fixture(scope="module", params=["as_dataset", "as_data_source"])
def read(request, phantom_builder, array_builder):
    """Reads the image ids of an instruction from the examples, in both of TFDS's ways."""
    decoders = {"image": tfds.decode.SkipDecoding()}

    def read_ids(instruction) -> list[str]:
        if request.param == "as_dataset":
            examples = tfds.as_numpy(phantom_builder.as_dataset(instruction, decoders=decoders))
        else:
            examples = array_builder.as_data_source(instruction, decoders=decoders)
        return [example["image_id"].decode() for example in examples]

    return read_ids


def assert_disjoint(results: list[list[str]], patients: dict[str, str]) -> None:
    """No image twice, no patient in two results, no result empty."""
    images = list(itertools.chain(*results))
    assert len(images) == len(set(images))
    groups = [{patients[image] for image in result} for result in results]
    assert all(groups)
    assert sum(map(len, groups)) == len(set().union(*groups))


@pytest.mark.parametrize(
    ("split", "fractions"),
    [
        ("train", [0.8, 0.2]),
        ("train", [0.1] * 10),
        ("train", [Fraction(1, 3), Fraction(2, 3)]),
        ("test", [1]),
        ("train+validation", [0.5, 0.3, 0.2]),
        ("all", [0.7, 0.3]),
    ],
)
def test_slices_cover_all_images_and_share_no_patient(
    phantom_builder, read, patients, split, fractions
):
    results = [read(part) for part in mi.slices(phantom_builder, split, fractions)]
    assert_disjoint(results, patients)
    assert sorted(itertools.chain(*results)) == sorted(read(split))
    share = np.array([len(result) for result in results]) / sum(map(len, results))
    np.testing.assert_allclose(share, np.array(fractions, dtype=float), atol=0.05)


def test_the_ends_of_a_given_slice_are_moved_to_boundaries_too(phantom_builder, read, patients):
    # An image number inside a group, by the index.
    groups = mi.index(phantom_builder, "train")["_group"]
    inside = next(number for number in range(250, 400) if groups[number - 1] == groups[number])
    first = mi.slices(phantom_builder, f"train[:{inside}]", [0.5, 0.5])
    second = mi.even_splits(phantom_builder, f"train[{inside}:]", 3)
    results = [read(part) for part in [*first, *second]]
    assert_disjoint(results, patients)
    assert sorted(itertools.chain(*results)) == sorted(read("train"))


def test_slices_of_less_than_all_leave_the_rest(phantom_builder, read, patients):
    results = [read(part) for part in mi.slices(phantom_builder, "train", [0.25, 0.25])]
    assert_disjoint(results, patients)
    assert 0.45 * 560 < sum(map(len, results)) < 0.55 * 560


def test_slices_hold_their_share_of_each_class(phantom_builder):
    whole = mi.class_counts(phantom_builder, "train")
    for part in mi.even_splits(phantom_builder, "train", 4):
        for name, count in mi.class_counts(phantom_builder, part).items():
            assert abs(count - whole[name] / 4) <= 3, name


@pytest.mark.parametrize("split", ["train", "train+validation", "train[:300]"])
def test_each_fold_is_held_out_once_and_the_others_are_fit(phantom_builder, read, patients, split):
    pairs = [(read(fit), read(held)) for fit, held in mi.folds(phantom_builder, split, 5)]
    assert len(pairs) == 5
    everything = sorted(itertools.chain(*(held for _, held in pairs)))
    for fit, held in pairs:
        assert_disjoint([fit, held], patients)
        assert sorted(fit + held) == everything
    if ":" not in split:
        assert everything == sorted(read(split))


def test_the_folds_of_a_dataset_are_its_own_without_a_split(phantom_corpus, patients, tmp_path):
    text = phantom_corpus.read_text(encoding="utf-8")
    spec = tmp_path / "corpus.yaml"
    spec.write_text(re.sub("^splits: .*", "splits: {test: 0.2, folds: 4}", text, flags=re.M))
    builder = build(spec, tmp_path / "data", root=str(phantom_corpus.parent))
    pairs = [
        [mi.index(builder, part)["image_id"].tolist() for part in pair]
        for pair in mi.folds(builder)
    ]
    assert len(pairs) == 4
    test = mi.index(builder, "test")["image_id"].tolist()
    for number, pair in enumerate(pairs):
        assert_disjoint([*pair, test], patients)
        assert len(list(itertools.chain(*pair, test))) == 700
        assert set(pair[1]) == set(mi.index(builder, f"fold_{number}")["image_id"])


def test_floats_that_mean_the_same_fractions_cut_alike(phantom_builder):
    assert mi.even_splits(phantom_builder, "train", 3) == mi.slices(
        phantom_builder, "train", [1 / 3] * 3
    )
    tenths = mi.slices(phantom_builder, "train", [0.1] * 10)
    assert mi.slices(phantom_builder, "train", [0.7])[0].to == tenths[6].to


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda b: mi.slices(b, "train", []), r"must be above 0 .* found \[\]"),
        (lambda b: mi.slices(b, "train", [0.5, 0]), r"found \[0.5, 0.0\]"),
        (lambda b: mi.slices(b, "train", [0.8, 0.4]), "which add up to 1.2"),
        (lambda b: mi.slices(b, "train", [float("nan")]), "must be above 0"),
        (lambda b: mi.slices(b, "train", [0.99999, 1e-5]), r"number 1 .* 560 images in \d+ groups"),
        (lambda b: mi.slices(b, "train[60%:20%]", [1]), "number 0"),
        (lambda b: mi.slices(b, "trian", [1]), "Unknown split 'trian'"),
        (
            lambda b: mi.slices(b, "train[:60%]+train[40%:]", [0.5, 0.5]),
            "terms .* overlap in train",
        ),
        (lambda b: mi.slices(b, "train+train", [0.5, 0.5]), "terms .* overlap in train"),
        (lambda b: mi.even_splits(b, "train", 0), "`n` is 0; it must be at least 1"),
        (lambda b: mi.even_splits(b, "test", 71), "would be empty"),
        (lambda b: mi.folds(b, "train", 1), "`k` is 1; it must be at least 2"),
        (lambda b: mi.folds(b, "train"), "both `split` and `k`"),
        (lambda b: mi.folds(b), "has no folds of its own"),
    ],
)
def test_what_cannot_be_sliced_is_told(phantom_builder, call, message):
    with pytest.raises(ValueError, match=message):
        call(phantom_builder)


def rewrite_index(builder, split: str, **columns: object) -> None:
    """Writes a split's index anew, with other values in some columns."""
    index = mi.index(builder, split).assign(**columns)
    records = pd.DataFrame({name: index[f"_{name}"] for name in ("group", "key", "position")})
    spec = CorpusSpec.from_dict(
        {
            "name": "mine",
            "images": {"path": "{image_id}.jpg"},
            "features": {"image_id": {"type": "id"}},
            "seed": 3,
        }
    )
    folder = epath.Path(builder.data_dir) / FOLDER
    part = folder / "part"
    write_index_part(records.assign(feature_image_id=index["image_id"]), spec, part)
    merge_index([part], folder / f"{split}.parquet", spec)
    part.unlink()


@pytest.fixture
def copied_builder(phantom_builder, tmp_path):
    """A dataset whose index a test may change."""
    folder = shutil.copytree(phantom_builder.data_dir, tmp_path / "copied" / "1.0.0")
    return tfds.builder_from_directory(folder)


def test_a_patient_in_two_splits_that_are_added_up_is_told(copied_builder):
    leaked = group_places(copied_builder, "train")[1][-1]
    keys = group_places(copied_builder, "validation")[1]
    # The last patient of train is also the first of validation, and so in the first slice there.
    rewrite_index(copied_builder, "validation", _key=np.where(keys == keys[0], leaked, keys))
    with pytest.raises(ValueError, match="1 group would stand in two results"):
        mi.slices(copied_builder, "train+validation", [0.5, 0.5])
    assert len(mi.slices(copied_builder, "validation", [0.5, 0.5])) == 2


def test_keys_tell_groups_apart_in_all_splits(phantom_builder):
    index = mi.index(phantom_builder)
    assert index["_key"].dtype == np.uint64
    named = index[index["_group"] != ""]
    assert named.groupby("_group")["_key"].nunique().max() == 1
    assert index["_key"].nunique() == named["_group"].nunique() + (index["_group"] == "").sum()


@pytest.mark.parametrize("by", ["folder", "folder of the index", "relative folder", "name"])
def test_a_former_dataset_tells_where_its_groups_stand(
    phantom_builder, copied_builder, monkeypatch, by
):
    data_dir = pathlib.Path(phantom_builder.data_dir)
    registered = {epath.Path(phantom_builder.data_dir_root)}
    monkeypatch.setattr(file_utils, "_REGISTERED_DATA_DIRS", registered)
    former = {
        "folder": str(data_dir),
        "folder of the index": str(data_dir / FOLDER),
        "relative folder": f"../{data_dir.name}",
        "name": "medical_images/mine:1.0.0",
    }[by]
    places, seed, group, _ = read_former(former, base=data_dir)
    index = mi.index(phantom_builder).drop_duplicates("_key")
    expected = index[["_split", "_key", "_position"]].set_axis(places.columns, axis=1)
    assert list(places.columns) == ["split", "key", "position"]
    order = ["split", "position"]
    pd.testing.assert_frame_equal(
        places.sort_values(order, ignore_index=True), expected.sort_values(order, ignore_index=True)
    )
    assert (seed, group) == (0, ("patient_id",))
    rewrite_index(copied_builder, "train")
    assert json.loads(read_metadata(copied_builder, "train"))["seed"] == 3


def read_metadata(builder, split: str) -> bytes:
    import pyarrow.parquet as pq

    path = pathlib.Path(builder.data_dir) / FOLDER / f"{split}.parquet"
    return pq.read_schema(path).metadata[b"medical_images"]


@pytest.mark.parametrize("kind", ["nowhere", "no index", "no parquet", "no keys"])
def test_what_is_no_former_dataset_is_told(phantom_builder, tmp_path, kind):
    folder = tmp_path / "former"
    if kind != "nowhere":
        folder.mkdir()
    if kind in ("no parquet", "no keys"):
        (folder / FOLDER).mkdir()
        file = folder / FOLDER / "train.parquet"
        if kind == "no keys":
            mi.index(phantom_builder, "train").drop(columns="_key").to_parquet(file)
        else:
            file.write_bytes(b"no parquet")
    with pytest.raises(mi.SpecError, match=r"splits\.extend: 'former'") as error:
        read_former("former", base=tmp_path)
    told = "build it again" if kind in ("no parquet", "no keys") else "dataset_info.json"
    assert told in str(error.value)
