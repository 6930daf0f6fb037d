"""Tables to rows: every cell is read as text, and a line that does not fit is an error.

Readers that guess types lose zeros of ids and turn `NA` into null; readers that mend ragged lines
shift columns in silence. Here the only changes to a cell are: white space around it is dropped,
its Unicode is normalised (NFC), and declared missing tokens become the empty cell.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

import pandas as pd
from etils import epath

from medical_images.errors import Problem, SpecError, TableError, nearest, some_lines
from medical_images.explode import explode_rows
from medical_images.rejects import Outcome, RejectLog
from medical_images.remote import storage_errors
from medical_images.spec import CorpusSpec
from medical_images.spec_parts import Derive, Join, normal_form
from medical_images.table_files import TableFile, columns_of_tables, files_of_tables
from medical_images.table_reader import LINE, TABLE, clean, read_table, separator_hint
from medical_images.yaml_source import YamlSource

UNREADABLE, UNJOINED = "The tables cannot be read", "The tables do not join as declared"
_KEY, _SIDE = "\0key", "\0side"
KEY_SEPARATOR = "\x1f"


@dataclasses.dataclass(frozen=True)
class Rows:
    """The rows of a corpus, all tables joined.

    Attributes:
      frame: One line a row: the columns asked for, as text ("" is missing), and `TABLE`, `LINE`;
        its index tells rows apart.
      log: Rows that found no partner in another table, are not wanted, or tell what others tell.
      num_rows: The number of rows before any was rejected.
    """

    frame: pd.DataFrame
    log: RejectLog
    num_rows: int


def read_rows(spec: CorpusSpec, *, root: str, source: YamlSource) -> Rows:
    """Reads and joins the tables of a corpus.

    Args:
      spec: What tables there are and which of their columns are used.
      root: The corpus root.
      source: Places in the spec, for messages.

    Returns:
      The rows, in the order of the first table.

    Raises:
      TableError: A table is missing or malformed, a column is absent, or a join does not have its
        declared cardinality. All problems of all tables are listed.
    """
    problems: list[Problem] = []
    frames: list[pd.DataFrame] = []
    files = files_of_tables(spec.tables, root=root)
    for file in files:
        try:
            frames.append(read_table(file.table, path=file.path))
        except TableError as error:
            problems += error.problems
    if not problems:
        headers = [[name for name in f.columns if name not in (TABLE, LINE)] for f in frames]
        problems += absent_columns(spec, files, headers, source)
    if problems:
        raise TableError(problems, headline=UNREADABLE)
    tables = [
        sift_table([f for file, f in zip(files, frames, strict=True) if file.number == n], spec, n)
        for n in range(len(spec.tables))
    ]
    rows, *others = tables
    for table, right in zip(spec.tables[1:], others, strict=True):
        assert table.join is not None  # the spec is checked
        repeated = repeated_keys(rows.frame, right.frame, table.join)
        if len(repeated):
            raise TableError(repeated_problems(repeated, table.join), headline=UNJOINED)
        log = RejectLog.concat([rows.log, right.log])
        rows = Rows(rows.frame, log, rows.num_rows + right.num_rows)
        rows = join_table(rows, right.frame, table.join)
    return explode_table(rows, spec)


def read_lists(spec: CorpusSpec, *, root: str, source: YamlSource) -> dict[str, list[str]]:
    """Reads the lists of official splits, one image a line.

    Args:
      spec: `splits: {files: ...}` names them.
      root: The corpus root.
      source: Places in the spec, for messages.

    Returns:
      {split: lines}, each line once, without white space around it; blank lines are passed over.
      Where leaks are allowed, a line of two lists is the first one's.

    Raises:
      SpecError: A list is missing or not UTF-8, or a line stands in the lists of two splits.
    """
    problems: list[Problem] = []
    seen: dict[str, tuple[str, int]] = {}  # the first split of each line, and its number there
    torn: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for split, name in spec.splits.files.items():
        try:
            text = _read_text(epath.Path(root) / name)
        except storage_errors(UnicodeDecodeError) as error:
            where = source.where(("splits", "files", split))
            problems.append(Problem(where=where, what=_unreadable(name, error)))
            continue
        for number, line in enumerate(io.StringIO(text, newline=None), start=1):
            if key := normal_form(line):
                first, before = seen.setdefault(key, (split, number))
                if first != split:
                    torn.setdefault((first, split), []).append((before, number))
    if not spec.splits.allow_leaks:
        problems += [_torn_lines(spec, splits, lines) for splits, lines in torn.items()]
    if problems:
        raise SpecError(problems, headline="The lists of official splits cannot be used")
    lists: dict[str, list[str]] = {split: [] for split in spec.splits.files}
    for line, (split, _) in seen.items():
        lists[split].append(line)
    return lists


def _read_text(path: epath.Path) -> str:
    if not path.exists():
        raise FileNotFoundError(path)
    data: bytes = path.read_bytes()
    return data.decode("utf-8-sig")


def _unreadable(name: str, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"there is no file '{name}' in the corpus root"
    if isinstance(error, UnicodeDecodeError):
        line = error.object.count(b"\n", 0, error.start) + 1
        return f"'{name}' is not UTF-8 text (line {line})"
    return f"'{name}' cannot be read: {getattr(error, 'strerror', None) or error}"


def _torn_lines(
    spec: CorpusSpec, splits: tuple[str, str], lines: Sequence[tuple[int, int]]
) -> Problem:
    first, second = (spec.splits.files[split] for split in splits)
    before, here = (some_lines(numbers) for numbers in zip(*lines, strict=True))
    count = f"{len(lines)} line{'s' if len(lines) != 1 else ''}"
    return Problem(
        where=f"{second} {here}",
        what=f"{count} of '{splits[1]}' stand in {first} ({before}) as '{splits[0]}' too",
        remedy="an image has one split; `allow_leaks: true` takes that of the first list",
    )


def absent_columns(
    spec: CorpusSpec,
    files: Sequence[TableFile],
    headers: Sequence[Sequence[str]],
    source: YamlSource,
) -> list[Problem]:
    """Says which columns of the spec no table, or not each part of one, has, and which two have.

    Args:
      spec: Tables, and the columns that are used.
      files: All files of all tables.
      headers: The columns of each.
      source: Places in the spec.
    """
    lacking = _lacking_columns(spec, files, headers)
    headers = columns_of_tables(files, headers)
    known = {name for header in headers for name in header} | spec.made_columns
    shown = {name for h in headers if not _looks_like_data(h) for name in h} | spec.made_columns
    problems = []
    for place, column in dict.fromkeys(spec.columns_used()):
        if column not in known:
            what = f"no table has a column '{column}'; {nearest(column, shown)}"
            problems.append(Problem(where=source.where(place), what=what, remedy=_hint(headers)))
    for name in sorted(spec.made_columns.intersection(*[{n for h in headers for n in h}])):
        where = source.where(("derive", name) if name in spec.derive else ("explode",))
        problems.append(Problem(where=where, what=f"a table has a column '{name}' already"))
    so_far = _with_keys(headers[0], spec) if headers else set()
    for number, (table, header) in enumerate(zip(spec.tables, headers, strict=True)):
        here = _with_keys(header, spec)
        for name in sorted(table.where.keys() - set(header)):
            where = source.where(("tables", number, "where", name))
            what = f"{table.name} has no column '{name}'; {nearest(name, shown & set(header))}"
            problems.append(Problem(where=where, what=what))
        for left, right in (table.join.keys if table.join else {}).items():
            for name, names in ((left, so_far), (right, here)):
                if name not in names:
                    what = f"no column '{name}' to join on; {nearest(name, names & shown)}"
                    problems.append(
                        Problem(where=source.where(("tables", number, "join")), what=what)
                    )
        so_far |= here
    return problems + lacking + _shared_columns(spec, headers, source)


def _lacking_columns(
    spec: CorpusSpec, files: Sequence[TableFile], headers: Sequence[Sequence[str]]
) -> list[Problem]:
    """A column that some files of a table have, and others do not."""
    problems = []
    for file, header in zip(files, headers, strict=True):
        parts = [h for f, h in zip(files, headers, strict=True) if f.number == file.number]
        lacking = {name for part in parts for name in part}.difference(header)
        for name in sorted(lacking & _columns_read(spec, file.number)):
            what = f"there is no column '{name}', which other files of the table have"
            remedy = f"add `optional: [{name}]` to the table, or `aliases: {{{name}: ...}}`"
            problems.append(Problem(where=file.table.name, what=what, remedy=remedy))
    return problems


def _shared_columns(
    spec: CorpusSpec, headers: Sequence[Sequence[str]], source: YamlSource
) -> list[Problem]:
    """A column that two tables have, and that no join is on, would be ambiguous where used."""
    used = {column for _, column in spec.columns_used()}
    owner: dict[str, str] = {}
    problems = []
    for number, (table, header) in enumerate(zip(spec.tables, headers, strict=True)):
        keys = set(table.join.keys.values()) if table.join else set()
        for name in header:
            if name in owner and name in used and name not in keys:
                what = f"the column '{name}' stands in {owner[name]} and in {table.name}"
                remedy = f"add it to `join: {{on: ...}}`, or `rename: {{{name}: ...}}` one of them"
                where = source.where(("tables", number))
                problems.append(Problem(where=where, what=what, remedy=remedy))
            owner.setdefault(name, table.name)
    return problems


def _looks_like_data(header: Sequence[str]) -> bool:
    """A first line of numbers, dates or long ids is a row, and not to be shown."""
    return any(
        re.fullmatch(r"[\d.,:/ -]*\d[\d.,:/ -]*", n) or re.search(r"\d{4}", n) for n in header
    )


def _hint(headers: Sequence[Sequence[str]]) -> str:
    for header in headers:
        if _looks_like_data(header):
            return (
                "a table's first line looks like data: set `dialect: {header: false}`, `columns:`;"
                " or if it is a title, `dialect: {skip_lines: 1}`"
            )
        if told := separator_hint(header):
            return f"a table has {told}"
    return ""


def select(frame: pd.DataFrame, spec: CorpusSpec, number: int) -> pd.DataFrame:
    """Returns the columns of a table, by its number, that the spec, a join or a rule reads.

    Those that a join needs and `derive:` makes of columns of the table are among them.
    """
    used = _columns_read(spec, number) | {TABLE, LINE}
    for name, rule in _derived_keys(spec).items():
        if rule.source in frame:
            frame = frame.assign(**{name: _cut_out(frame[rule.source], rule)})
    return frame[[name for name in frame.columns if name in used]]


def _derived_keys(spec: CorpusSpec) -> dict[str, Derive]:
    """Returns the derived columns that joins need, and those that these are made of."""
    needed = {name for t in spec.tables if t.join for pair in t.join.keys.items() for name in pair}
    for name, rule in reversed(spec.derive.items()):
        needed |= {rule.source} if name in needed else set()
    return {name: rule for name, rule in spec.derive.items() if name in needed}


def _with_keys(header: Iterable[str], spec: CorpusSpec) -> set[str]:
    """Returns the columns of a table, with those that a join needs and `derive:` makes of them."""
    columns = set(header)
    for name, rule in _derived_keys(spec).items():
        columns |= {name} if rule.source in columns else set()
    return columns


def _cut_out(cells: pd.Series[str], rule: Derive) -> pd.Series[str]:
    """Derives a key; where the pattern is not found, it is blank, which has no partner."""
    pattern = re.compile(rule.pattern)
    found = {cell: pattern.search(cell) for cell in cells.unique()}
    group = 1 if pattern.groups else 0
    cut = {cell: match[group] or "" if match else "" for cell, match in found.items()}
    return pd.Series([cut[cell] for cell in cells], index=cells.index, dtype="str")


def _columns_read(spec: CorpusSpec, number: int) -> set[str]:
    return _columns_kept(spec, number) | set(spec.tables[number].where)


def _columns_kept(spec: CorpusSpec, number: int) -> set[str]:
    used = {column for _, column in spec.columns_used()}
    used |= {left for table in spec.tables if table.join for left in table.join.keys}
    join = spec.tables[number].join
    return used | (set(join.keys.values()) if join else set())


def sift_table(parts: Sequence[pd.DataFrame], spec: CorpusSpec, number: int) -> Rows:
    """Puts the parts of a table together, without rows that are not wanted, or told already.

    Args:
      parts: The rows of its files.
      spec: The tables, and which of their columns are used.
      number: Which table it is.

    Returns:
      The rows, and what was left out. As rows of the corpus, those of the first table count, and of
      others those that are left out by `where:`.
    """
    sifted = [wanted_rows(select(part, spec, number), spec, number) for part in parts]
    frame = pd.concat([rows.frame for rows in sifted], ignore_index=True)
    num_rows = sum(rows.num_rows for rows in sifted)
    distinct = distinct_rows(frame, spec, number)
    log = RejectLog.concat([*(rows.log for rows in sifted), distinct.log])
    return Rows(distinct.frame, log, num_rows + distinct.num_rows)


def wanted_rows(frame: pd.DataFrame, spec: CorpusSpec, number: int) -> Rows:
    """Leaves out rows of a table, or of a part of it, that `where:` does not name.

    Returns:
      The others, with the columns that are used beside, and the log of those left out; see
      `sift_table`.
    """
    table = spec.tables[number]
    is_wanted = pd.Series(True, index=frame.index)
    first = pd.Series("", index=frame.index, dtype="str")  # the column that leaves a row out
    for name, cells in table.where.items():
        told = clean(pd.Series(cells, dtype="str"), missing=table.missing)
        fits = frame[name].isin(told)
        first = first.mask(is_wanted & ~fits, name)
        is_wanted &= fits
    log = RejectLog()
    for name in table.where:
        log = _log_rows(log, frame[first == name], "excluded", "not_wanted", name)
    kept = _columns_kept(spec, number) | {TABLE, LINE}
    columns = [name for name in frame.columns if name in kept]
    num_rows = len(frame) if number == 0 else int((~is_wanted).sum())
    return Rows(frame.loc[is_wanted, columns], log, num_rows)


def distinct_rows(frame: pd.DataFrame, spec: CorpusSpec, number: int) -> Rows:
    """Keeps the first of the rows of a table that tell the same, if the table says `distinct`.

    All rows that tell the same must be given together, in order.

    Returns:
      The rows; the log of the others; and by how many rows they change those of the corpus.
    """
    if not spec.tables[number].distinct:
        return Rows(frame, RejectLog(), 0)
    told = [name for name in frame.columns if name not in (TABLE, LINE)]
    is_again = frame.duplicated(told)
    log = _log_rows(RejectLog(), frame[is_again], "noted", "duplicate_row", "")
    num_less = int(is_again.sum()) if number == 0 else 0
    return Rows(frame[~is_again], log, -num_less)


def join_table(rows: Rows, right: pd.DataFrame, join: Join) -> Rows:
    """Joins one more table; the side that may have many rows keeps its lines for messages.

    Rows of one key must be given together. So a corpus may be joined in parts, by key, where rows
    without a key (see `key_of`) are in any part.

    Args:
      rows: The rows so far.
      right: The rows of the table; no key that must be unique stands in `repeated_keys`.
      join: The keys, and what happens to rows without a partner.
    """
    left, names = rows.frame, ", ".join(join.keys)
    left_key, right_key = key_of(left, join.keys.keys()), key_of(right, join.keys.values())
    alone, unused = ~left_key.isin(right_key), ~right_key.isin(left_key)
    alone |= left_key == ""
    unused |= right_key == ""
    outcome: Outcome = "rejected" if join.unmatched == "reject" else "reported"
    log = rows.log
    if join.unmatched == "reject":
        log = _log_rows(log, left[alone], outcome, "join_unmatched", names)
    log = _log_rows(log, right[unused], "reported", "join_unmatched", names)
    # A name that both sides have is the left one's; where that would matter, it was refused.
    many_right = join.cardinality == "one_to_many"
    ours = left.drop(columns=[TABLE, LINE]) if many_right else left
    theirs = right.drop(columns=[name for name in right.columns if name in ours.columns])
    joined = (
        ours[~alone]
        .assign(**{_KEY: left_key})
        .merge(theirs[~unused].assign(**{_KEY: right_key}), on=_KEY, how="inner")
    )
    num_rows = rows.num_rows + len(joined) - int((~alone).sum())
    if join.unmatched == "keep":
        joined = pd.concat([joined, left[alone]])
        joined = joined.sort_values([TABLE, LINE], kind="stable")
    joined = joined.drop(columns=_KEY).reset_index(drop=True)
    text = [name for name in joined.columns if name != LINE]
    joined[text] = joined[text].fillna("").astype("str")
    return Rows(joined.astype({LINE: "int64"}), log, num_rows)


def explode_table(rows: Rows, spec: CorpusSpec) -> Rows:
    """Makes several rows of each, as `explode:` says; any part of the rows may be given alone.

    Args:
      rows: The joined tables.
      spec: `explode`, and which columns are used.

    Returns:
      The rows, each of which counts, and the log with those that are left out.
    """
    if spec.explode is None:
        return rows
    used = [(place, column) for place, column in spec.columns_used() if place[0] != "explode"]
    telling = {column for place, column in used if place[0] == "images"}
    for name, rule in reversed(spec.derive.items()):
        telling |= {rule.source} if name in telling else set()
    kept = {column for _, column in used}
    made, left_out = explode_rows(rows.frame, spec.explode, image_columns=telling, kept=kept)
    log = _log_rows(rows.log, left_out, "excluded", "part_without_image", "")
    num_more = len(made) + len(left_out) - len(rows.frame)
    return Rows(made, log, rows.num_rows + num_more)


def key_of(frame: pd.DataFrame, columns: Iterable[str]) -> pd.Series[str]:
    """Joins key columns to one; "" where one of them is missing, which is no key."""
    parts = frame[list(columns)]
    return join_cells(parts).mask((parts == "").any(axis=1), "")


def join_cells(cells: pd.DataFrame) -> pd.Series[str]:
    """Joins the cells of each row to one text that tells them apart."""
    columns = [cells[name].astype("str") for name in cells.columns]
    return functools.reduce(lambda a, b: a + KEY_SEPARATOR + b, columns)


def _log_rows(
    log: RejectLog, rows: pd.DataFrame, outcome: Outcome, code: str, column: str
) -> RejectLog:
    entries = rows[[TABLE, LINE]].rename(columns={TABLE: "table", LINE: "line"})
    return log.adding(outcome=outcome, code=code, kind="row", entries=entries, column=column)


def repeated_keys(left: pd.DataFrame, right: pd.DataFrame, join: Join) -> pd.DataFrame:
    """Returns side, `TABLE` and `LINE` of the rows whose key must not, but does stand twice."""
    found = []
    for side, frame, names, is_unique in (
        ("left", left, join.keys.keys(), join.cardinality != "many_to_one"),
        ("right", right, join.keys.values(), join.cardinality != "one_to_many"),
    ):
        key = key_of(frame, names)
        mask = key.duplicated(keep=False) & (key != "") & is_unique
        found.append(frame.loc[mask, [TABLE, LINE]].assign(**{_SIDE: side}))
    return pd.concat(found, ignore_index=True)


def repeated_problems(repeated: pd.DataFrame, join: Join) -> list[Problem]:
    """Says what `repeated_keys` found."""
    problems = []
    for (side, table), rows in repeated.groupby([_SIDE, TABLE]):
        names = join.keys.keys() if side == "left" else join.keys.values()
        what = f"the key {', '.join(names)} stands more than once"
        what += f", but the join is {join.cardinality}"
        remedy = "declare the cardinality that holds, or mend the table"
        where = f"{table} {some_lines(rows[LINE])}"
        problems.append(Problem(where=where, what=what, remedy=remedy))
    return problems


def frame_of_paths(
    told: Sequence[Mapping[str, str]], *, columns: Collection[str], num_before: int = 0
) -> pd.DataFrame:
    """Makes rows out of image paths, for a corpus without tables.

    Args:
      told: For each image, the columns that its path tells.
      columns: All columns that paths can tell.
      num_before: How many images there are before these.

    Returns:
      The rows, with "" where a path tells nothing; `LINE` counts the images in the order of their
      paths.
    """
    frame = pd.DataFrame({name: [cells.get(name, "") for cells in told] for name in columns})
    frame = frame.set_axis(range(len(told))).astype("str")
    frame[TABLE] = "images"
    frame[LINE] = range(num_before + 1, num_before + len(frame) + 1)
    return frame.astype({TABLE: "str", LINE: "int64"})
