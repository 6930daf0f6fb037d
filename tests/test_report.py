"""The data card: its numbers, what it keeps to itself, and how it looks in a browser."""

import dataclasses
import io
import itertools
import re

import numpy as np
import pandas as pd
import pytest
from browser import browser as open_browser
from conftest import build
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import medical_images as mi
from medical_images.dataset_index import KEY
from medical_images.report import bands, write_report
from medical_images.report.blocks import Bars, Gallery, Heading, Points, Table
from medical_images.report.card import card_of
from medical_images.report.cautions import cautions
from medical_images.report.counting import bars_of, counts_table, shown
from medical_images.report.dataset import Feature, read_dataset
from medical_images.report.disclosure import HIDDEN, Disclosure
from medical_images.report.pictures import thumbnail

EVIL = ["<script>alert(1)</script>", 'a & "b"', "]]><img src=x onerror=alert(2)>", "$x_1$"]


def write_images(folder, number, *, side=24):
    generator = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    for k in range(number):
        pixels = generator.integers(0, 1 << 16, (side, side), np.uint16)
        Image.fromarray(pixels).save(folder / "images" / f"{k}.png")


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """Labels, boxes, masks, dates, lists, 16 bits, official splits, and texts that are code."""
    root = tmp_path_factory.mktemp("odd")
    write_images(root, 40)
    (root / "masks").mkdir()
    rows, boxes = [], []
    for k in range(40):
        Image.fromarray(np.tri(24, dtype=np.uint8)).save(root / "masks" / f"{k}.png")
        labels = "|".join(EVIL[j] for j in range(4) if k % (j + 2) == 0)
        row = [f"SECRET{k}", k, f"WHO{k // 2}", labels, "fm"[k // 2 % 2], EVIL[k // 2 % 3]]
        row += [f"{2000 + k % 3}-01-02", f"CONFIDE{k}", k + 60 if k % 7 else "", 1e-9 * k]
        rows.append([*row, ("train", "test")[k // 20]])
        boxes += [[k, 1, 2, 9, 12, EVIL[j]] for j in range(k % 3)]
    columns = [
        "id",
        "k",
        "patient",
        "findings",
        "sex",
        "scanner",
        "day",
        "note",
        "age",
        "weight",
        "split",
    ]
    pd.DataFrame(rows, columns=columns).to_csv(root / "rows.csv", index=False)
    columns = ["k", "x1", "y1", "x2", "y2", "what"]
    pd.DataFrame(boxes, columns=columns).to_csv(root / "boxes.csv", index=False)
    spec = {
        "name": "odd",
        "description": EVIL[0],
        "about": {"title": EVIL[2], "warnings": [EVIL[0]], "num_patients": 20},
        "tables": [
            {"path": "rows.csv"},
            {
                "path": "boxes.csv",
                "join": {"on": "k", "cardinality": "one_to_many", "unmatched": "keep"},
            },
        ],
        "images": {"path": "images/{k}.png", "channels": 1, "dtype": "uint16"},
        "features": {
            "id": {"type": "id"},
            "findings": {"type": "labels", "values": [*EVIL, "never"]},
            "sex": {"type": "class", "values": ["f", "m"]},
            "scanner": {"type": "class", "values": EVIL[:3]},
            "day": {"type": "date"},
            "note": {"type": "text"},
            "age": {"type": "float", "unit": "years"},
            "weight": {"type": "float", "description": EVIL[1]},
            "boxes": {
                "type": "boxes", "columns": ["x1", "y1", "x2", "y2"], "label": "what",
                "values": EVIL,
            },
            "mask": {"type": "mask", "path": "masks/{k}.png"},
        },
        "supervised": "findings",
        "group": "patient",
        "splits": {"column": "split", "values": ["train", "test"]},
        "rejects": {"classes_without_image": "report"},
    }  # fmt: skip
    return mi.from_corpus(spec, root=root)


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """114 classes in ten folds, and 150 more features."""
    root = tmp_path_factory.mktemp("wide")
    write_images(root, 1140, side=8)
    generator = np.random.default_rng(0)
    table = pd.DataFrame(
        generator.normal(size=(1140, 150)).round(3), columns=[f"lab_{k}" for k in range(150)]
    )
    table.insert(0, "label", [f"disease of a long name {k % 114}" for k in range(1140)])
    table.insert(0, "k", range(1140))
    table.to_csv(root / "rows.csv", index=False)
    numbers = {f"lab_{k}": {"type": "float"} for k in range(150)}
    classes = list(dict.fromkeys(table["label"]))
    spec = {
        "name": "wide",
        "about": {"warnings": [f"Beware of {k}" for k in range(30)]},
        "tables": [{"path": "rows.csv"}],
        "images": {"path": "images/{k}.png", "channels": 1, "dtype": "uint16"},
        "features": {"label": {"type": "class", "values": classes}, **numbers},
        "supervised": "label",
        "stratify": "label",
        "splits": {"folds": 10},
    }
    return mi.from_corpus(spec, root=root)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Images and nothing else, in one split."""
    root = tmp_path_factory.mktemp("plain")
    write_images(root, 3)
    (root / "rows.csv").write_text("k\n0\n1\n2\n")
    images = {"path": "images/{k}.png", "channels": 1, "dtype": "uint16"}
    spec = {"name": "plain", "tables": [{"path": "rows.csv"}], "images": images, "features": {}}
    return mi.from_corpus({**spec, "splits": {"train": 1.0}}, root=root)


@pytest.fixture(scope="module")
def pages(phantom_builder, odd, wide, plain, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    datasets = {"phantom": phantom_builder, "odd": odd, "wide": wide, "plain": plain}
    return {name: write_report(of, folder / f"{name}.html") for name, of in datasets.items()}


@pytest.fixture(scope="module")
def chromium():
    with open_browser() as found:
        yield found


def blocks_of(builder, kind, *, section=None, **kwargs):
    kwargs = {"num_pictures_per_class": 0, **kwargs}
    min_cell = kwargs.pop("min_cell", 1)
    card = card_of(read_dataset(builder), Disclosure(min_cell), **kwargs)
    return [
        block
        for part in card.sections
        if section in (None, part.name)
        for block in part.blocks
        if isinstance(block, kind)
    ]


# Its numbers


def test_classes_are_counted_as_the_index_has_them_and_beside_what_was_expected(phantom_builder):
    table = blocks_of(phantom_builder, Table, section="classes")[0]
    certificate = mi.certificate(phantom_builder)
    for cells in table.rows:
        name, _, *splits = cells
        for split, cell in zip(table.head[2:], splits, strict=True):
            assert cell.text == f"{mi.class_counts(phantom_builder, split)[name.text]:,}"
            due = certificate["labels"]["label"][name.text][split]["requested"]
            assert cell.note == f"expected {due:,.1f}"


def test_people_are_counted_once(phantom_builder):
    firsts = mi.index(phantom_builder).drop_duplicates(KEY)
    table = blocks_of(phantom_builder, Table, section="people")[1]
    rows = {cells[0].text: [cell.text for cell in cells[1:]] for cells in table.rows}
    fifties = firsts[firsts["age"].between(50, 59)]["sex"].value_counts()
    assert rows["50 to 59"] == [str(fifties.get(sex, 0)) for sex in table.head[1:]]
    assert rows["all"] == [str((firsts["sex"] == sex).sum()) for sex in table.head[1:]]


def test_an_image_counts_once_for_each_of_its_labels(odd):
    bars = blocks_of(odd, Bars, section="classes")[0]
    assert dict(zip(bars.categories, bars.counts, strict=True)) == {
        EVIL[0]: 20, EVIL[1]: 14, EVIL[2]: 10, EVIL[3]: 8, "never": 0, "none": 10,
    }  # fmt: skip


def test_missing_values_boxes_and_years_are_counted(odd):
    [missing] = blocks_of(odd, Table, section="missing")
    assert [[cell.text for cell in row] for row in missing.rows] == [["age", "6", "3", "3"]]
    tables = {table.caption: table for table in blocks_of(odd, Table, section="features-by-split")}
    boxes = {row[0].text: [c.text for c in row[1:]] for row in tables["Boxes by split"].rows}
    assert boxes[EVIL[0]] == ["13", "13"]
    assert boxes["images without a box"] == ["7", "7"]
    years = tables["Images by year of day"]
    assert [[cell.text for cell in row[:2]] for row in years.rows] == [
        ["2000", "14"], ["2001", "13"], ["2002", "13"],
    ]  # fmt: skip


def test_what_goes_with_the_class_is_found(phantom_builder):
    table = blocks_of(phantom_builder, Table, section="associations")[0]
    found = {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}
    assert set(found) == {"age", "sex", "site"}
    assert float(found["site"][0]) > 0.1
    assert found["site"][2] == "<0.001"
    assert float(found["sex"][0]) < float(found["site"][0])


def test_near_copies_are_told_by_split(phantom_builder):
    near_copies = pytest.importorskip("medical_images.audit.near_copies")
    pairs = pd.DataFrame({"split_a": ["train", "test"], "split_b": ["test", "train"]})
    numbers = {field.name: 2 for field in dataclasses.fields(near_copies.NearCopies)}
    near = near_copies.NearCopies(**{**numbers, "pairs": pairs})
    tables = blocks_of(phantom_builder, Table, section="copies", near_copies=near)
    assert [[cell.text for cell in row] for row in tables[1].rows] == [["train and test", "2"]]


def test_examples_are_of_their_class_and_of_different_groups(phantom_builder):
    [gallery] = blocks_of(phantom_builder, Gallery, num_pictures_per_class=4)
    counts = mi.class_counts(phantom_builder, "train")
    assert {name: len(pictures) for name, _, pictures in gallery.rows} == {
        name: min(4, count) for name, count in counts.items()
    }
    sources = [picture.source for *_, pictures in gallery.rows for picture in pictures]
    assert len(set(sources)) == len(sources)
    assert all(max(p.width, p.height) <= 160 for *_, pictures in gallery.rows for p in pictures)


# What it keeps to itself


def test_no_id_group_text_or_path_is_in_it(pages, phantom_builder, odd):
    text = pages["odd"].read_text("utf-8")
    assert not re.search(r"SECRET|WHO\d|CONFIDE", text)
    assert not re.search(r"masks/\d|images/\d", text)
    table = mi.index(phantom_builder)
    text = pages["phantom"].read_text("utf-8")
    for column in ("image_id", "note", "_group"):
        told = [cell for cell in table[column] if cell]
        assert told
        assert not [cell for cell in told if str(cell) in text]


def _alike(count: int, least: int) -> tuple[int, int]:
    """The least and the largest count that is shown as this one is."""
    text = Disclosure(least).text(count)
    alike = [n for n in range(count + 2 * least) if Disclosure(least).text(n) == text]
    return min(alike), max(alike)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=6), st.integers(3, 12))
def test_sums_tell_no_hidden_count(counts, least):
    """Where a sum is told beside counts, each that is hidden can still be one of several."""
    if Disclosure(least).may_be_told(counts):
        return
    low, high = _alike(sum(counts), least)
    for number, count in enumerate(counts):
        assert abs(Disclosure(least).number(count) - count) <= least / 2 or count < least
        if count < least:
            others = [_alike(n, least) for k, n in enumerate(counts) if k != number]
            least_it_can_be = max(0, low - sum(most for _, most in others))
            most_it_can_be = min(least - 1, high - sum(few for few, _ in others))
            assert most_it_can_be > least_it_can_be


@st.composite
def _tables_alike(draw):
    """Two tables of counts, each of which is shown as the other's is."""
    cells = draw(
        st.lists(st.lists(st.integers(0, 120), min_size=3, max_size=3), min_size=1, max_size=4)
    )
    others = [[draw(st.integers(*_alike(count, 5))) for count in line] for line in cells]
    splits = ["train", "validation", "test"]
    return pd.DataFrame(cells, columns=splits), pd.DataFrame(others, columns=splits)


@given(_tables_alike())
def test_no_table_tells_a_hidden_count(tables):
    """Neither by what stands in it and the sizes of splits, nor by what is left out."""
    counts, others = tables
    sizes = counts.sum().to_dict()
    told = shown(counts, sizes, Disclosure(5))
    again = shown(others, others.sum().to_dict(), Disclosure(5))
    assert again.texts.equals(told.texts)
    assert again.total_texts == told.total_texts

    def ends(text):  # all counts that are written like this
        if text in (HIDDEN, "<5"):
            return (0, 10**6) if text == HIDDEN else (0, 4)
        return max(5, int(text) - 2), int(text) + 2

    low, high = (
        np.array([[ends(t)[k] for t in row] for row in told.texts.to_numpy()]) for k in (0, 1)
    )
    of_columns = np.array([ends(Disclosure(5).text(size)) for size in sizes.values()])
    least = np.maximum(low, of_columns[:, 0] - (high.sum(axis=0, keepdims=True) - high))
    most = np.minimum(high, of_columns[:, 1] - (low.sum(axis=0, keepdims=True) - low))
    assert not (least == most)[counts.to_numpy() < 5].any()


def test_sums_are_those_of_what_is_shown(phantom_builder):
    dataset = read_dataset(phantom_builder)
    counts = pd.DataFrame([[102, 102, 4], [1, 2, 3]], ["nv", "mel"], [*dataset.sizes])
    table = counts_table(counts, dataset, Disclosure(5), caption="", first="")
    assert [row[1].text for row in table.rows] == ["200", HIDDEN]
    bars = bars_of(counts, dataset, Disclosure(5), title="")
    assert (bars.counts, bars.texts) == ((200, 0), ("200", HIDDEN))
    assert np.isnan(bars.shares["test"][0])


@pytest.mark.parametrize("rate", [0.03, 0.5])
def test_the_mean_of_few_values_does_not_tell_how_often_each_stands(tmp_path, rate):
    spec = mi.write_phantom(tmp_path / "corpus", num_images=300, height=8, width=8)
    table = pd.read_csv(spec.parent / "metadata.csv", dtype=str)
    table["smoker"] = (np.arange(300) % 100 < 100 * rate).astype(int).astype(str)
    table.to_csv(spec.parent / "metadata.csv", index=False)
    spec.write_text(spec.read_text().replace("features:\n", "features:\n  smoker: {type: int}\n"))
    builder = build(spec, tmp_path / "data")
    for min_cell, is_told in ((1, True), (5, False)):
        [table] = [
            t for t in blocks_of(builder, Table, min_cell=min_cell)
            if t.caption == "Summary of smoker"
        ]  # fmt: skip
        assert all((row[2].text != HIDDEN) == is_told for row in table.rows)


def test_sentences_hide_counts_and_keep_names():
    text = Disclosure(5).sentence("label=type 3 has 2 groups", ["label=type 3"])
    assert text == "label=type 3 has fewer than 5 groups"


def test_a_picture_carries_no_comment():
    written = io.BytesIO()
    Image.new("RGB", (9, 9)).save(written, "JPEG", comment=b"SECRET")
    assert thumbnail(written.getvalue()).info == {}


def test_small_cells_are_hidden_everywhere(phantom_builder):
    dataset = read_dataset(phantom_builder)
    tables = blocks_of(phantom_builder, Table, min_cell=5)
    counted = [
        t for t in tables if t.caption.startswith(("Images", "Patients", "Missing", "Splits"))
    ]
    assert len(counted) > 8
    for table in counted:
        texts = [cell.text.replace(",", "") for row in table.rows for cell in row[1:]]
        for text in texts:
            assert not text.isdigit() or (int(text) % 5 == 0 and int(text) > 0), (
                table.caption,
                text,
            )
    assert len(dataset.table) == 700
    for bars in blocks_of(phantom_builder, Bars, min_cell=5):
        assert all(count % 5 == 0 for count in bars.counts)


def test_no_example_is_shown_of_a_class_of_few_images(odd):
    for min_cell, expected in ((1, 6), (12, 0)):
        [gallery] = blocks_of(odd, Gallery, min_cell=min_cell, num_pictures_per_class=6)
        rows = {name: len(pictures) for name, _, pictures in gallery.rows}
        assert rows[EVIL[2]] == min(expected, 5)


@pytest.mark.parametrize("min_cell", [0, 2, -5])
def test_a_least_count_that_protects_nobody_is_refused(phantom_builder, min_cell, tmp_path):
    with pytest.raises(ValueError, match="min_cell"):
        write_report(phantom_builder, tmp_path / "card.html", min_cell=min_cell)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.integers(1, 8))
def test_each_number_is_in_one_band_and_outer_bands_hold_enough(numbers, least):
    values = np.array([*numbers, np.nan])
    found = bands.bands_of(values, least=least)
    places = found.numbers_of(values)
    assert places[-1] == -1
    assert len(found.names) == len(found.edges) - 1
    assert len(set(found.names)) == len(found.names)
    counts = np.bincount(places[:-1], minlength=len(found.names))
    assert counts.sum() == len(numbers)
    if len(counts) > 1:
        assert all(count == 0 or count >= least for count in (counts[0], counts[-1]))


def test_no_number_is_told_of_a_few_images(odd):
    dataset = read_dataset(odd)
    known = dataset.table.index < 3
    table = dataset.table.assign(age=dataset.table["age"].where(known))
    card = card_of(
        dataclasses.replace(dataset, table=table), Disclosure(), num_pictures_per_class=0
    )
    told = {t.caption: t for part in card.sections for t in part.blocks if isinstance(t, Table)}
    for row in told["Summary of age"].rows:
        assert {cell.text for cell in row[2:]} == {HIDDEN}


def test_the_oldest_are_in_one_band():
    ages = np.array([*range(20, 100), 104.0])
    assert bands.bands_of(ages, top=bands.OLDEST).names[-1] == "90 and more"


def test_what_is_beyond_what_can_be_measured_has_no_mean(odd):
    dataset = read_dataset(odd)
    table = dataset.table.assign(age=[-np.inf, *[70.0] * 39])
    card = card_of(
        dataclasses.replace(dataset, table=table), Disclosure(), num_pictures_per_class=0
    )
    told = {t.caption: t for part in card.sections for t in part.blocks if isinstance(t, Table)}
    assert [[c.text for c in row[1:]] for row in told["Summary of age"].rows] == [
        ["20", HIDDEN, "70.0", "70.0 to 70.0"], ["20", "70.0 ± 0", "70.0", "70.0 to 70.0"],
    ]  # fmt: skip


# What it warns of


def test_warnings_tell_each_thing_once(phantom_builder):
    dataset = read_dataset(phantom_builder)
    is_rare = dataset.table["label"] == "df"
    group = dataset.table.loc[is_rare, KEY].iloc[0]
    table = dataset.table.assign(
        **{KEY: dataset.keys.mask(is_rare, group)}, note=dataset.table["label"].astype("str")
    )
    dataset = dataclasses.replace(dataset, table=table)
    warnings, _ = cautions(dataset, Disclosure())
    assert [text for text in warnings if "df" in text] == [
        "1 class is of fewer than 3 patients, too few to learn from and test on in 3 splits:"
        " label=df (1)."
    ]
    assert len([text for text in warnings if "'note'" in text]) == 1  # it gives the label away
    hidden, _ = cautions(dataset, Disclosure(5))
    assert not [text for text in hidden if "(1)" in text]


def test_a_class_that_stands_for_blank_cells_is_missing_only_if_it_says_so():
    known = Feature(name="x", kind="class", missing_as="pneumothorax")
    assert known.class_of_missing == ""
    assert dataclasses.replace(known, missing_as="Unknown").class_of_missing == "Unknown"


# What is written


def test_the_same_dataset_gives_the_same_file(pages, phantom_builder, tmp_path):
    again = write_report(phantom_builder, tmp_path / "again.html")
    assert again.read_bytes() == pages["phantom"].read_bytes()


def test_it_is_written_by_name_over_an_older_one(phantom_builder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        path = write_report(
            "mine", images=False, data_dir=phantom_builder.data_path.parent.parent.parent
        )
        assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert "<img" not in path.read_text("utf-8")


def test_pages_stay_small(pages):
    assert {name: path.stat().st_size < 3_000_000 for name, path in pages.items()} == dict.fromkeys(
        pages, True
    )


def test_many_warnings_are_folded(wide):
    points = blocks_of(wide, Points, section="warnings")
    assert len(points[0].sentences) == 12
    assert points[1].title == f"{len(points[1].sentences)} more"
    assert len(points[1].sentences) >= 18
    headings = blocks_of(wide, Heading, section="features-by-split")
    assert len(headings) == 150


# In a browser


@pytest.mark.parametrize("name", ["phantom", "odd", "wide", "plain"])
@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (1200, "dark")])
def test_it_is_quiet_fits_and_excludes_nobody(pages, chromium, name, width, scheme):
    chromium.open(pages[name], width=width, scheme=scheme)
    assert chromium.complaints() == []
    assert chromium.requests() == [pages[name].as_uri()]
    assert chromium.run("return document.documentElement.scrollWidth") <= width
    assert chromium.run("return document.querySelectorAll('script, main img[onerror]').length") == 0
    broken = "return [...document.images].filter(i => !i.complete || !i.naturalWidth).length"
    assert chromium.run(broken) == 0
    assert name == "wide" or chromium.barriers() == []  # axe takes minutes for so many cells


def test_texts_are_shown_as_they_are(pages, chromium):
    chromium.open(pages["odd"])
    assert chromium.run("return document.querySelector('h1').textContent") == EVIL[2]
    told = chromium.run(
        "return [...document.querySelectorAll('#classes ~ * svg text')].map(t => t.textContent)"
    )
    assert set(EVIL[:2]) <= set(told)
    told = chromium.run("return document.querySelector('header').innerText")
    assert EVIL[0] in told


def test_light_and_dark_differ_in_all_of_the_figures(pages, chromium):
    fills = """return [...document.querySelectorAll('svg path')].filter(p => !p.closest('defs'))
        .map(p => getComputedStyle(p).fill).filter(f => f != 'none')"""
    seen = {}
    for scheme in ("light", "dark"):
        chromium.open(pages["phantom"], scheme=scheme)
        seen[scheme] = chromium.pixels().mean(), set(chromium.run(fills))
    assert seen["light"][0] > 200
    assert seen["dark"][0] < 80
    assert not seen["light"][1] & seen["dark"][1]


def test_headings_are_in_order_and_ids_are_unique(pages, chromium):
    chromium.open(pages["phantom"])
    levels = chromium.run(
        "return [...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ids = chromium.run("return [...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(set(ids)) == len(ids)
    targets = chromium.run(
        "return [...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.hash.slice(1))"
    )
    assert set(targets) <= set(ids)


def test_it_prints_with_what_is_folded(pages, chromium):
    chromium.open(pages["phantom"])
    folded = chromium.pdf()
    assert folded.startswith(b"%PDF")
    chromium.run("document.querySelectorAll('details').forEach(d => d.remove())")
    assert len(chromium.pdf()) < len(folded)
