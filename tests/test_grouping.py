"""What must stay together, and where official splits tear it apart."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import joined_ids, torn_ids
from strategies import FEW, copied, records, records_of

from medical_images.grouping import own_groups, torn_groups, whole_groups

LETTERS = st.sampled_from("abcdef")
BLANK_OR_LETTER = st.one_of(st.just(""), LETTERS)


@st.composite
def tangles(draw: st.DrawFn) -> pd.DataFrame:
    """Few groups and many copies, so that copies join groups over several steps."""
    count = draw(st.integers(1, 14))
    columns = {
        "copy": st.one_of(st.just(""), st.sampled_from("tuvwxyz")),
        "split": st.sampled_from(["", "train", "test"]),
    }
    drawn = {
        name: draw(st.lists(cells, min_size=count, max_size=count))
        for name, cells in columns.items()
    }
    groups = draw(st.lists(BLANK_OR_LETTER, min_size=count, max_size=count))
    return records_of(groups, **drawn)


def partition(ids) -> set[frozenset[int]]:
    """Which places have the same id."""
    places: dict[object, set[int]] = {}
    for place, name in enumerate(ids):
        places.setdefault(name, set()).add(place)
    return {frozenset(part) for part in places.values()}


@FEW
@given(table=st.one_of(tangles(), copied(records())), random=st.randoms())
def test_copies_join_their_groups_and_nothing_else_does(table, random):
    ids = whole_groups(table, join_copies=True)
    assert partition(ids) == partition(joined_ids(table))
    # The id is the least of those that are joined, whatever the order of the records.
    own = own_groups(table)
    assert ids.tolist() == own.groupby(ids).transform("min").tolist()
    mixed = table.iloc[random.sample(range(len(table)), len(table))]
    pd.testing.assert_series_equal(
        whole_groups(mixed, join_copies=True).sort_index(), ids, check_names=False
    )


@FEW
@given(table=tangles())
def test_copies_join_nothing_unless_they_are_to(table):
    own = own_groups(table).tolist()
    assert partition(own) == partition(joined_ids(table, by=()))
    assert whole_groups(table, join_copies=False).tolist() == own
    assert whole_groups(table.drop(columns="copy"), join_copies=True).tolist() == own
    assert whole_groups(table.assign(copy=""), join_copies=True).tolist() == own


def test_a_long_chain_of_copies_is_one_group():
    """Image 2k has the bytes of image 2k + 1, which is of the next group."""
    count = 20_000
    groups = [f"p{(k + 1) // 2:05}" for k in range(count)]
    table = records_of(groups, copy=[f"c{k // 2}" for k in range(count)])
    for ordered in (table, table.iloc[::-1]):
        assert set(whole_groups(ordered, join_copies=True)) == {"p00000"}


def test_a_group_called_like_an_image_is_not_that_of_the_image():
    table = records_of(["", "i0000.png", "image:i0000.png", "i0000.png"])
    assert partition(own_groups(table)) == {frozenset({0}), frozenset({1, 3}), frozenset({2})}


@FEW
@given(table=tangles(), join_copies=st.booleans())
def test_torn_groups_are_those_of_two_official_splits(table, join_copies):
    by = ("copy",) if join_copies else ()
    torn = torn_ids(table, by=by)
    expected = [number in torn for number in joined_ids(table, by=by)]
    table = table.assign(whole=whole_groups(table, join_copies=join_copies))
    pd.testing.assert_frame_equal(torn_groups(table), table[expected])


@pytest.mark.parametrize(
    ("splits", "is_torn"),
    [
        (["train", "train"], False),
        (["train", "test"], True),
        (["train", ""], True),
        (["", ""], False),
    ],
)
def test_a_group_is_torn_between_splits_and_also_from_what_is_planned(splits, is_torn):
    torn = torn_groups(records_of(["p", "p"], split=splits, whole="p"))
    assert len(torn) == 2 * is_torn
