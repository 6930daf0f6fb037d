"""Audits find what was planted, and nothing in what was drawn by chance."""

import io

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from conftest import build
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageEnhance, ImageOps
from scipy import stats

import medical_images as mi
from medical_images.audit.association import associate
from medical_images.audit.findings import findings_of
from medical_images.audit.give_away import give_aways, uncertainty_told
from medical_images.audit.image_hashes import NUM_BYTES, hash_of, turned
from medical_images.audit.near_copies import find_near_copies, near_copies_of
from medical_images.audit.record_numbers import identifying_columns
from medical_images.phantom_images import draw_image

RNG = np.random.default_rng(7)


class TestAssociation:
    @given(hnp.arrays(np.int64, (3, 4), elements=st.integers(5, 60)))
    def test_a_table_of_many_is_tested_as_scipy_does(self, counts):
        a, b = np.repeat(np.indices(counts.shape).reshape(2, -1), counts.ravel(), axis=1)
        found = associate(pd.Series(a), pd.Series(b))
        assert found.table.to_numpy().tolist() == counts.tolist()
        expected = stats.chi2_contingency(counts, correction=False)
        if expected.expected_freq.min() >= 5:
            assert found.p_value == pytest.approx(expected.pvalue)
        assert 0 <= found.cramers_v <= stats.contingency.association(counts) + 1e-9
        other_way = associate(pd.Series(b), pd.Series(a))
        assert other_way.cramers_v == pytest.approx(found.cramers_v)

    def test_the_strength_is_bergsmas(self):
        counts = np.array([[20, 5], [10, 25]])
        a, b = np.repeat(np.indices((2, 2)).reshape(2, -1), counts.ravel(), axis=1)
        phi = stats.chi2_contingency(counts, correction=False).statistic / 60 - 1 / 59
        expected = np.sqrt(phi / (2 - 1 / 59 - 1))
        assert associate(pd.Series(a), pd.Series(b)).cramers_v == pytest.approx(expected)

    def test_few_rows_are_tested_exactly_enough_and_always_alike(self):
        a, b = pd.Series([0] * 4 + [1] * 4), pd.Series([0] * 4 + [1] * 4)
        found = associate(a, b)
        assert found.p_value == pytest.approx(2 / 70, abs=0.006)  # of the tables with these margins
        assert associate(a, b).p_value == found.p_value

    def test_chance_is_no_association(self):
        p_values = [
            associate(pd.Series(RNG.integers(0, 3, 40)), pd.Series(RNG.integers(0, 5, 40))).p_value
            for _ in range(60)
        ]
        assert np.mean(np.array(p_values) <= 0.05) <= 0.15
        assert 0.3 < np.mean(p_values) < 0.7

    def test_images_of_a_group_are_no_independent_witnesses(self):
        patients = pd.Series(np.repeat(np.arange(6), 50))
        site, label = patients % 2, (patients % 2).where(patients != 5, 0)
        assert associate(site, label).p_value < 1e-6
        found = associate(site, label, groups=patients)
        assert (found.num, found.num_counted) == (300, 6)
        assert found.p_value > 0.05

    @pytest.mark.parametrize("values", [[], [None, None], ["x", "x"], [None, "x"]])
    def test_one_class_goes_together_with_nothing(self, values):
        column = pd.Series(values, dtype="object")
        found = associate(column, column)
        assert (found.cramers_v, found.p_value) == (0, 1)
        assert found.num == column.notna().sum()

    def test_columns_of_other_lengths_are_refused(self):
        with pytest.raises(ValueError, match="have 1, 2 rows"):
            associate(pd.Series([1]), pd.Series([1, 2]))


NUM = 1500
GROUPS = pd.Series(RNG.integers(0, 500, NUM))
LABEL = pd.Series(RNG.choice(["nv", "mel", "bkl"], NUM, p=[0.7, 0.2, 0.1]))
NONE = pd.DataFrame(index=LABEL.index)
CHANCE = pd.Series(RNG.integers(0, 10**6, NUM).astype(str))


class TestGiveAways:
    @pytest.mark.parametrize(
        ("name", "values", "how", "label"),
        [
            ("a class for each", LABEL.map({"nv": "a", "mel": "b", "bkl": "c"}), "value", ""),
            (
                "blank but for one",
                pd.Series(np.where(LABEL == "bkl", 1.5, np.nan)),
                "missing",
                "bkl",
            ),
            ("a number", (LABEL == "mel") * 5 + RNG.normal(size=NUM) / 9, "value", "mel"),
            ("in a text", "report " + CHANCE + ": " + LABEL + ".", "naming", None),
        ],
    )
    def test_what_tells_the_label_is_found(self, name, values, how, label):
        (found,) = give_aways(LABEL, pd.DataFrame({name: values}), GROUPS, ids=NONE)
        assert (found.feature, found.how) == (name, how)
        assert label is None or found.label == label
        assert found.told > 0.9

    @pytest.mark.parametrize(
        ("name", "ids"),
        [
            ("letters", (LABEL == "mel").map({True: "COVID_", False: "normal-"}) + CHANCE),
            ("ranges", ((LABEL == "mel") * 10**7 + np.arange(NUM)).astype(str)),
        ],
    )
    def test_ids_are_told_by_how_they_are_written(self, name, ids):
        (found,) = give_aways(LABEL, NONE, GROUPS, ids=pd.DataFrame({name: ids}))
        assert (found.how, found.label) == ("id", "mel")

    def test_a_class_of_many_is_told_by_itself(self):
        labels = pd.Series([tuple(x for x in "ABC" if RNG.random() < 0.3) for _ in range(NUM)])
        features = pd.DataFrame(
            {"device": labels.map(lambda x: "portable" if "B" in x else "fixed")}
        )
        (found,) = give_aways(labels, features, GROUPS, ids=NONE)
        assert (found.feature, found.label) == ("device", "B")

    def test_chance_and_many_values_tell_nothing(self):
        features = pd.DataFrame({"age": RNG.normal(size=NUM), "text": CHANCE, "few": GROUPS % 3})
        ids = pd.DataFrame({"image": CHANCE, "(group)": GROUPS.astype(str)})
        assert list(give_aways(LABEL, features, GROUPS, ids=ids)) == []

    def test_a_patient_known_by_his_other_images_does_not_count(self):
        label = GROUPS % 2
        assert uncertainty_told(label, GROUPS, GROUPS) == pytest.approx(0, abs=0.01)
        assert uncertainty_told(label, GROUPS, pd.Series(range(NUM))) > 0.4

    def test_classes_of_few_groups_prove_nothing(self):
        label = pd.Series(["a"] * 100 + ["b"] * 5)
        table = pd.DataFrame({"x": label})
        assert list(give_aways(label, table, pd.Series(range(105)), ids=NONE[:105])) == []


IDENTIFYING = {
    "doe": ("names of persons", [f"Doe{k}^Jane" for k in range(9)]),
    "who": (
        "names of persons",
        [f"{a}, {b}" for a in ("Meyer", "Sy", "Poe") for b in ("A.", "Ann B")],
    ),
    "contact": ("e-mail addresses", [f"a{k}@example.org" for k in range(9)]),
    "tel": ("phone numbers", [f"+49 511 532-{k:04}" for k in range(9)]),
    "soc": ("social security numbers", [f"078-05-{k:04}" for k in range(9)]),
    "birthDate": ("dates of birth", ["1950-01-01"]),
    "PatientMRN": ("record numbers", ["7"]),
    "number": ("record numbers", [str(k) for k in RNG.integers(10**6, 10**8, 50)]),
    "finding": (
        "record numbers",
        [f"CT of {k}, no effusion" for k in RNG.integers(10**6, 10**8, 50)],
    ),
    "dateofbirth": ("dates of birth", ["1950-01-01"]),
    "study": ("DICOM UIDs", [f"1.2.840.113619.{k}" for k in range(9)]),
}
HARMLESS = {
    "image_id": [f"ISIC_{24306 + 7 * k:07}" for k in range(200)],
    "patient": [f"{k:05}" for k in range(200)],
    "dashed": [f"003-{k:05}" for k in range(200)],
    "day": [f"2019-07-{k:02}" for k in range(1, 30)],
    "note": [f"Nodule of {k} mm, left lobe." for k in range(30)],
    "age": ["060Y", "061Y", "005M", "012W", "099Y"],
    "birth_weight": [f"{k}" for k in range(2500, 2600)],
    "blank": [""] * 9,
    "mrna": ["low", "high"],
    "mobile_part": ["yes", "no"],
    "hospital_notes": ["clear"],
    "file": [f"https://example.org/{24306 + 977 * k:07}.jpg" for k in range(200)],
}


class TestIdentifyingColumns:
    @pytest.mark.parametrize("name", IDENTIFYING)
    def test_what_names_persons_is_found_and_not_shown(self, name):
        what, cells = IDENTIFYING[name]
        (found,) = identifying_columns(pd.DataFrame({name: [*cells, "", None]}))
        assert (found.column, found.what) == (name, what)
        assert not any(cell in repr(found) for cell in cells if len(cell) > 3)

    @pytest.mark.parametrize("name", HARMLESS)
    def test_numbers_of_a_study_are_harmless(self, name):
        assert list(identifying_columns(pd.DataFrame({name: HARMLESS[name]}))) == []


def encoded(image, kind="png", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def picture(number):
    return Image.fromarray(draw_image("mel", number, 192, 256, 3))


def shades(number):
    """A smooth image, as radiographs are."""
    few = np.random.default_rng(number).integers(0, 255, (9, 9)).astype(np.uint8)
    return Image.fromarray(few).resize((400, 300), Image.Resampling.BICUBIC)


ALIKE = {
    "jpeg": lambda image: encoded(image, "jpeg", quality=60),
    "half": lambda image: encoded(image.resize((200, 150))),
    "lighter": lambda image: encoded(ImageEnhance.Brightness(image).enhance(1.15)),
    "mirrored": lambda image: encoded(ImageOps.mirror(image)),
    "turned": lambda image: encoded(image.transpose(Image.Transpose.ROTATE_90)),
    "upside down": lambda image: encoded(image.transpose(Image.Transpose.ROTATE_180)),
    "16 bits": lambda image: encoded(Image.fromarray(np.asarray(image).astype(np.uint16) * 16)),
}


def places_of(number, *, groups=None, splits=None):
    return pd.DataFrame(
        {
            "split": splits or ["train"] * number,
            "number": range(number),
            "group": groups or range(number),
        }
    )


class TestNearCopies:
    @pytest.mark.parametrize("name", ALIKE)
    def test_altered_copies_are_found(self, name):
        images = [shades(number) for number in range(12)]
        hashes = [hash_of(encoded(image)) for image in images]
        hashes.append(hash_of(ALIKE[name](images[5])))
        found = find_near_copies(hashes, places_of(13, splits=["train"] * 12 + ["test"]))
        (pair,) = found.pairs.to_dict("records")
        assert (pair["number_a"], pair["number_b"]) == (5, 12)
        assert pair["is_turned"] == (name in ("mirrored", "turned", "upside down"))
        assert (pair["same_group"], pair["same_bytes"]) == (False, False)
        assert found.num_across_groups == found.num_across_splits == found.num_images_in_pairs == 2

    @settings(max_examples=20)
    @given(st.integers(0, 10**6), st.sampled_from(list(Image.Transpose)))
    def test_the_hash_of_a_turned_image_is_among_the_turned_hashes(self, number, turn):
        image = shades(number)
        bits = np.frombuffer(hash_of(encoded(image)).bits, np.uint8).reshape(1, NUM_BYTES)
        other = np.frombuffer(hash_of(encoded(image.transpose(turn))).bits, np.uint8)
        assert (
            np.bitwise_count(turned(bits)[:, 0] ^ other).sum(axis=1).min() <= 12
        )  # of smooth images some are 0
        assert (turned(bits)[0] == bits).all()

    def test_images_of_one_kind_are_no_copies(self, tmp_path):
        spec = mi.write_phantom(tmp_path, num_images=400, height=48, width=64)
        assert near_copies_of(mi.from_corpus(spec), max_distance=40).num_pairs == 0

    def test_flat_and_unusable_images_pair_with_nothing(self):
        flat = [hash_of(encoded(Image.new("L", (40, 40), shade))) for shade in (0, 0, 7, 255)]
        found = find_near_copies([*flat, None, hash_of(encoded(shades(1)))], places_of(6))
        assert (found.num_flat, found.num_unusable, found.num_images) == (4, 1, 1)
        assert found.pairs.empty

    def test_copies_in_one_group_are_told_apart_from_others(self):
        data = encoded(shades(1))
        hashes = [hash_of(data), hash_of(data), hash_of(encoded(shades(1), "jpeg", quality=80))]
        found = find_near_copies(hashes, places_of(3, groups=["p", "p", "q"]))
        assert found.num_pairs == 3
        pairs = found.pairs.set_index(["number_a", "number_b"])
        assert pairs["same_group"].to_dict() == {(0, 2): False, (1, 2): False, (0, 1): True}
        assert pairs["same_bytes"].to_dict() == {(0, 2): False, (1, 2): False, (0, 1): True}
        assert found.num_across_splits == 0

    def test_what_is_compared_one_by_one_is_the_same(self):
        bits = RNG.integers(0, 256, (200, NUM_BYTES)).astype(np.uint8)
        bits[:, 0] &= 127
        bits[100:, 6:] = bits[:100, 6:]  # they differ in at most 47 bits
        hashes = [hash_of(encoded(shades(1)))._replace(bits=row.tobytes()) for row in bits]
        found = find_near_copies(hashes, places_of(200), max_distance=25)
        apart = np.bitwise_count(turned(bits)[:, :, None] ^ bits).sum(axis=-1).min(axis=0)
        expected = np.argwhere(np.triu(apart <= 25, 1)).tolist()
        numbers = found.pairs[["number_a", "number_b"]].sort_values(["number_a", "number_b"])
        assert numbers.to_numpy().tolist() == expected
        assert len(expected) > 20

    def test_a_dataset_tells_the_same_built_or_not(self, tmp_path):
        folder = tmp_path / "corpus"
        spec = mi.write_phantom(folder, num_images=60, height=96, width=128)
        paths = sorted(folder.glob("images/*.jpg"))
        Image.open(paths[9]).save(paths[40], quality=88)  # of another patient
        unbuilt, built = mi.from_corpus(spec), build(spec, tmp_path / "data", num_shards=3)
        found = near_copies_of(unbuilt)
        pd.testing.assert_frame_equal(near_copies_of(built).pairs, found.pairs)
        assert (found.num_images, found.num_pairs, found.num_across_groups) == (60, 1, 2)
        (pair,) = found.pairs.to_dict("records")
        index = mi.index(unbuilt)
        ids = {
            index[index["_split"] == pair[f"split_{k}"]].iloc[pair[f"number_{k}"]]["image_id"]
            for k in "ab"
        }
        assert ids == {paths[9].stem, paths[40].stem}
        assert "near_copies" in [each.code for each in findings_of(unbuilt, near_copies=found)]

    @pytest.mark.parametrize("distance", [-1, 61])
    def test_a_distance_that_means_nothing_is_refused(self, distance):
        with pytest.raises(ValueError, match="from 0 to 60"):
            find_near_copies([], places_of(0), max_distance=distance)

    @pytest.mark.realdata
    def test_bccd_has_one_blood_smear_twice(self, realdata):
        from conftest import SPECS

        corpus = mi.from_corpus(SPECS / "bccd.yaml", root=realdata / "bccd")
        found = near_copies_of(corpus)
        assert (found.num_images, found.num_pairs, found.num_across_splits) == (364, 1, 2)


def write_corpus(folder, rows, spec):
    """Rows with `i`, the number of their images."""
    (folder / "img").mkdir(parents=True)
    table = pd.DataFrame(rows)
    table.to_csv(folder / "t.csv", index=False)
    for number in table["i"]:
        (folder / "img" / f"{number}.png").write_bytes(encoded(shades(number).resize((20, 16))))
    common = {"name": "made", "root": str(folder), "tables": [{"path": "t.csv"}]}
    return common | {"images": {"path": "img/{i}.png", "channels": 1}} | spec


def rows_of(number, **columns):
    return [{"i": k, **{name: make(k) for name, make in columns.items()}} for k in range(number)]


CLASS = {"type": "class"}
YES_NO = CLASS | {"values": ["yes", "no"]}
CASES = {
    "class_of_one_group": (
        rows_of(60, p=lambda k: k // 2, y=lambda k: "yes" if k < 2 else "no"),
        {"group": "p"},
    ),
    "confounded": (
        rows_of(120, p=lambda k: k, y=lambda k: "yes" if k % 2 else "no",
                site=lambda k: "north" if (k % 2) ^ (k % 7 == 0) else "south"),
        {"group": "p", "features": {"site": CLASS | {"values": ["north", "south"]}}},
    ),
    "gives_away": (
        rows_of(60, p=lambda k: k, y=lambda k: "yes" if k % 3 else "no",
                biopsy=lambda k: k if k % 3 else ""),
        {"group": "p", "features": {"biopsy": {"type": "float"}}},
    ),
    "identifying": (
        rows_of(40, p=lambda k: f"Doe{k}^Jane", y=lambda k: "yes" if k % 3 else "no"),
        {"group": "p"},
    ),
    "groups_alike": (
        rows_of(60, p=lambda k: (f"PAT-{k // 2}", f"pat {k // 2:03}")[k % 2],
                y=lambda k: "yes" if k % 3 else "no"),
        {"group": "p"},
    ),
    "large_group": (
        rows_of(150, p=lambda k: max(0, k - 60), y=lambda k: "yes" if k % 3 else "no"),
        {"group": "p"},
    ),
    "many_rejected": (
        rows_of(60, p=lambda k: k, y=lambda k: ("yes", "no", "", "no")[k % 4]),
        {"group": "p", "rejects": {"accept": ["label_missing"]}},
    ),
    "other_than_published": (
        rows_of(40, p=lambda k: k, y=lambda k: "yes" if k % 3 else "no"),
        {"group": "p", "about": {"num_images": 41}},
    ),
    "splits_differ": (
        rows_of(80, p=lambda k: k, y=lambda k: "yes" if k % 5 < 2 else "no",
                s=lambda k: "train" if (k % 5 < 2) ^ (k % 9 == 0) else "test"),
        {"group": "p", "splits": {"column": "s", "values": ["train", "test"]}},
    ),
    "class_absent": (
        rows_of(40, p=lambda k: k, y=lambda k: "yes" if k % 3 else "no",
                s=lambda k: "test" if k % 3 and k % 2 else "train"),
        {"group": "p", "splits": {"column": "s", "values": ["train", "test"]}},
    ),
}  # fmt: skip


class TestFindings:
    @pytest.mark.parametrize("code", CASES)
    def test_what_misleads_is_told_without_a_cell(self, tmp_path, code):
        rows, keys = CASES[code]
        features = {"y": YES_NO, **keys.get("features", {})}
        spec = write_corpus(tmp_path / "c", rows, {**keys, "features": features, "supervised": "y"})
        found = findings_of(mi.from_corpus(spec))
        assert code in [each.code for each in found]
        assert not any("Doe" in each.what for each in found)
        assert found == sorted(found, key=lambda each: each.severity == "note")

    def test_a_clean_corpus_has_none(self, phantom_corpus, phantom_builder):
        assert findings_of(mi.from_corpus(phantom_corpus)) == findings_of(phantom_builder) == []

    def test_all_kinds_of_features_can_be_audited(self, tmp_path):
        rows = rows_of(
            60, p=lambda k: k % 30, y=lambda k: ["A|B", "", "B"][k % 3], day=lambda k: "2020-01-07",
            n=lambda k: k % 4, x1=lambda k: 1, x2=lambda k: 9, u=lambda k: [1, 0, -1, ""][k % 4],
            note=lambda k: ["left", "right", ""][k % 3],
        )  # fmt: skip
        features = {
            "y": {"type": "labels", "values": ["A", "B"]},
            "day": {"type": "date"},
            "n": {"type": "int", "across_rows": "all"},
            "u": {"type": "uncertain", "policy": "ignore"},
            "box": {"type": "boxes", "columns": ["x1", "x1", "x2", "x2"]},
            "i": {"type": "id"},
            "note": {"type": "text"},
        }
        spec = {"features": features, "supervised": "y", "group": "p"}
        found = findings_of(mi.from_corpus(write_corpus(tmp_path / "c", rows, spec)))
        assert {each.code for each in found} <= {"confounded", "gives_away"}
        assert [each.code for each in found]  # `note` follows the label
