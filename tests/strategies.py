"""Small corpora in memory: their tables and files as data frames, and strategies that draw them."""

import dataclasses
from collections.abc import Mapping, Sequence

import pandas as pd
from hypothesis import settings
from hypothesis import strategies as st

from medical_images.rejects import RejectLog
from medical_images.spec import CorpusSpec
from medical_images.tables import LINE, TABLE, Rows

Row = Mapping[str, str]
# For properties that read files or join tables: fewer examples, and no limit of time for each.
FEW = settings(max_examples=40, deadline=None)
MANY = settings(max_examples=100, deadline=None)


@dataclasses.dataclass(frozen=True)
class SmallCorpus:
    """Rows of one table, and the paths of image files.

    Attributes:
      rows: Cells as text, "" is missing.
      files: Paths relative to the root.
      escaping: Which of the files are links that leave the root.
    """

    rows: tuple[Row, ...]
    files: tuple[str, ...]
    escaping: frozenset[str] = frozenset()


def rows_of(rows: Sequence[Row], *, lines: Sequence[int] | None = None) -> Rows:
    """The rows as `read_rows` returns them; the first stands on line 2 unless told otherwise."""
    frame = pd.DataFrame(list(rows), dtype="str")
    frame[TABLE] = "data.csv"
    frame[LINE] = list(lines) if lines is not None else list(range(2, len(rows) + 2))
    return Rows(frame, RejectLog(), len(rows))


def files_of(
    paths: Sequence[str],
    spec: CorpusSpec,
    *,
    escaping: frozenset[str] = frozenset(),
    size: tuple[int, int] = (10, 10),
) -> pd.DataFrame:
    """The files as `list_images` returns them, but in the order given."""
    paths = [path for path in paths if any(t.file_keys(path) for t in spec.images.templates)]
    frame = pd.DataFrame({"path": pd.Series(paths, dtype="object")})
    frame["num_bytes"] = range(1, len(paths) + 1)
    frame["fault"] = ["path_escape" if path in escaping else "" for path in paths]
    for number, template in enumerate(spec.images.templates):
        keys = [tuple(sorted(template.file_keys(path))) for path in paths]
        frame[f"key_{number}"] = pd.Series(keys, index=frame.index, dtype="object")
    frame["width"], frame["height"] = size
    return frame


IMAGE_IDS = st.sampled_from(["1", "01", "2", "3", "4", "a", ""])
PATIENTS = st.sampled_from(["p1", "p2", "01", "1", ""])
LABELS = st.sampled_from(["nv", "mel", "melanoma", "NV", "?", ""])
AGES = st.sampled_from(["", "63", "63.0", "x", "inf", "200"])


@st.composite
def corpora(draw: st.DrawFn) -> SmallCorpus:
    """Rows with blanks, copies, conflicts, unknown classes and odd numbers; files that are missing,
    that no row names, that stand in two folders, or that leave the root.
    """
    row = st.fixed_dictionaries(
        {"image_id": IMAGE_IDS, "patient_id": PATIENTS, "dx": LABELS, "age": AGES}
    )
    rows = draw(st.lists(row, min_size=1, max_size=9))
    copies = draw(st.lists(st.sampled_from(rows), max_size=3))
    good = [
        {"image_id": f"g{n}", "patient_id": draw(PATIENTS), "dx": "nv", "age": "5"}
        for n in range(draw(st.integers(0, 3)))
    ]
    ids = sorted({row["image_id"] for row in rows} - {""})
    present = draw(st.sets(st.sampled_from([*ids, "extra"])))
    files = {f"part_1/{name}.png" for name in [*present, *(row["image_id"] for row in good)]}
    twice = draw(st.sets(st.sampled_from(sorted(files)), max_size=2)) if files else set()
    files |= {path.replace("part_1", "part_2") for path in twice}
    escaping = draw(st.sets(st.sampled_from(sorted(files)), max_size=2)) if files else set()
    ordered = draw(st.permutations([*rows, *copies, *good]))
    return SmallCorpus(tuple(ordered), tuple(sorted(files)), frozenset(escaping))


CORNERS = st.sampled_from(["0", "2", "2.0", "9", "12", "-1", "x", ""])


@st.composite
def box_corpora(draw: st.DrawFn) -> SmallCorpus:
    """Rows of boxes in images of 10 by 10 pixels: good ones, blank ones, copies, and bad ones."""
    odd = st.fixed_dictionaries(
        {
            "image_id": st.sampled_from(["1", "2", "3"]),
            **dict.fromkeys(("x1", "y1", "x2", "y2"), CORNERS),
            "cell": st.sampled_from(["rbc", "wbc", "?", ""]),
        }
    )
    good = st.fixed_dictionaries(
        {
            "image_id": st.sampled_from(["1", "2", "3"]),
            "x1": st.sampled_from(["0", "2"]),
            "y1": st.sampled_from(["0", "2"]),
            "x2": st.sampled_from(["4", "9", "12"]),
            "y2": st.sampled_from(["4", "9"]),
            "cell": st.sampled_from(["rbc", "wbc"]),
        }
    )
    blank = st.sampled_from(["1", "2", "3"]).map(
        lambda name: {"image_id": name, "x1": "", "y1": "", "x2": "", "y2": "", "cell": ""}
    )
    rows = draw(st.lists(st.one_of(good, good, blank, odd), min_size=1, max_size=8))
    copies = draw(st.lists(st.sampled_from(rows), max_size=2))
    return SmallCorpus(tuple(draw(st.permutations([*rows, *copies]))), ("1.png", "2.png", "4.png"))


@st.composite
def records(draw: st.DrawFn, *, max_groups: int = 40, official: Sequence[str] = ()) -> pd.DataFrame:
    """Records of groups of one to five images, some of no group, with a class, labels and a number.

    Each group has one of the `official` splits or none.
    """
    sizes = draw(st.lists(st.integers(1, 5), min_size=12, max_size=max_groups))
    groups = [f"p{number}" for number, size in enumerate(sizes) for _ in range(size)]
    splits = [draw(st.sampled_from(["", *official])) for _ in sizes]
    blank = draw(st.sets(st.integers(0, len(groups) - 1), max_size=8))
    classes = st.sampled_from(["nv", "nv", "nv", "mel", "df"])
    ages = st.sampled_from([float("nan"), 1.0, 40.0, 41.5, 60.0, 88.0])
    findings = st.sets(st.sampled_from(["edema", "mass"])).map(lambda names: tuple(sorted(names)))
    count = len(groups)
    return pd.DataFrame(
        {
            "path": [f"i{number:03}.png" for number in range(count)],
            "num_bytes": range(count),
            "table": "data.csv",
            "line": range(2, count + 2),
            "feature_label": draw(st.lists(classes, min_size=count, max_size=count)),
            "feature_findings": pd.Series(
                draw(st.lists(findings, min_size=count, max_size=count)), dtype="object"
            ),
            "feature_age": draw(st.lists(ages, min_size=count, max_size=count)),
            "split": [
                split for split, size in zip(splits, sizes, strict=True) for _ in range(size)
            ],
            "group": ["" if number in blank else name for number, name in enumerate(groups)],
        }
    )


@st.composite
def copied(draw: st.DrawFn, tables: st.SearchStrategy[pd.DataFrame]) -> pd.DataFrame:
    """The records of another strategy, with up to four sets of copies of two or three images."""
    table = draw(tables)
    copies = [""] * len(table)
    sets = st.lists(st.integers(0, len(table) - 1), min_size=2, max_size=3, unique=True)
    for name, places in zip("wxyz", draw(st.lists(sets, max_size=4)), strict=False):
        for place in places:
            copies[place] = name
    return table.assign(copy=copies)


def records_of(groups: Sequence[str], **cells: object) -> pd.DataFrame:
    """Records of these groups, one each, benign and to be planned unless `cells` tell otherwise."""
    count = len(groups)
    columns: dict[str, object] = {
        "path": [f"i{number:04}.png" for number in range(count)],
        "num_bytes": range(count),
        "table": "data.csv",
        "line": range(2, count + 2),
        "feature_label": "nv",
        "feature_findings": pd.Series([()] * count, dtype="object"),
        "feature_age": 50.0,
        "split": "",
        "copy": "",
        "group": list(groups),
    }
    return pd.DataFrame(columns | cells)


def spec_of(**keys: object) -> CorpusSpec:
    """A spec for `records` and `records_of`; it accepts classes without an image."""
    return CorpusSpec.from_dict(
        {
            "name": "mine",
            "tables": [{"path": "data.csv"}],
            "images": {"path": "{id}.png"},
            "features": {
                "label": {"type": "class", "values": ["nv", "mel", "df", "vasc"]},
                "findings": {"type": "labels", "values": ["edema", "mass"]},
                "age": {"type": "float"},
            },
            "supervised": "label",
            "group": "patient",
            "splits": {"train": "3/4", "test": "1/4"},
            "rejects": {"classes_without_image": "report"},
            **keys,
        }
    )
