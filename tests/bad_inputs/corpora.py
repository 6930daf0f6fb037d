"""A corpus that a case spoils, real builds of it, and what came out of them."""

import collections
import csv
import dataclasses
import io
import os
import pathlib
import stat
import sys
from unittest import mock

import numpy as np
import pytest
import tensorflow_datasets as tfds
import yaml
from faults import assert_discreet, datasets

import medical_images as mi
from bad_inputs.image_files import encoded, noise
from bad_inputs.report import Seen
from medical_images import cli
from medical_images.errors import some_lines
from medical_images.rejects import CODES

NUM_IMAGES = 12
STRICT = {"max_fraction": 0}
LENIENT = {"max_fraction": 0.9}
NAME = "mine.rejects.csv"
OF_DECODERS = 12  # by how much two decoders of JPEG differ, at most, in noise


def good_spec():
    return {
        "name": "mine",
        "tables": [{"path": "scans.csv"}],
        "images": {"path": "images/{scan}.*"},
        "features": {
            "number": {"type": "int"},
            "label": {"column": "dx", "type": "class", "values": ["nv", "mel"]},
        },
        "supervised": "label",
        "group": "patient",
        "splits": {"train": 0.5, "test": 0.5},
    }


@dataclasses.dataclass
class Corpus:
    """A corpus in memory, written as it is when it is built.

    Names of files, patients and cells that no feature reads hold tokens, which may stand nowhere
    but in the list of rejects (and those of groups in the index).

    Attributes:
      folder: Where it is written, in `corpus`, and where datasets are.
      seen: Is told of each build.
      capture: What the process says.
      rows: The rows of `scans.csv`, as {column: cell}; row k stands in line k + 2.
      files: {path below the root: bytes}.
      spec: The spec's keys.
      table: All bytes of `scans.csv`, in place of those of `rows`.
    """

    folder: pathlib.Path
    seen: Seen
    capture: pytest.CaptureFixture
    rows: list[dict[str, str]]
    files: dict[str, bytes]
    spec: dict
    table: bytes | None = None
    _placed: set[pathlib.Path] = dataclasses.field(default_factory=set)

    @classmethod
    def good(cls, folder, *, seen, capture):
        names = [f"scanQZ{k:02}" for k in range(NUM_IMAGES)]
        rows = [
            {
                "scan": name,
                **{who: f"{who}QZ{k // 2:02}" for who in ("patient", "surname", "born")},
                "dx": ("nv", "mel")[k % 3 == 0],
                "number": str(k),
            }
            for k, name in enumerate(names)
        ]
        files = {f"images/{name}.png": encoded(noise(seed=k)) for k, name in enumerate(names)}
        return cls(folder, seen, capture, rows, files, good_spec())

    @property
    def root(self):
        return self.folder / "corpus"

    def replace(self, row, data, extension):
        """Gives a row another image file."""
        name = self.rows[row]["scan"]
        self.files.pop(f"images/{name}.png", None)
        self.files[f"images/{name}.{extension}"] = data

    def write(self):
        """Writes what has changed since it was written before; returns the spec's path."""
        places = {self.root / path: data for path, data in self.files.items()}
        for place in self._placed - places.keys():
            place.unlink()
        self._placed = set(places)
        for place, data in places.items():
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.is_file() or place.read_bytes() != data:
                place.write_bytes(data)
        (self.root / "scans.csv").write_bytes(self.table_bytes())
        spec = yaml.safe_dump(self.spec, sort_keys=False, allow_unicode=True)
        (self.root / "corpus.yaml").write_text(spec, encoding="utf-8")
        return self.root / "corpus.yaml"

    def table_bytes(self):
        if self.table is not None:
            return self.table
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue().encode()

    def build(self, *options, into="data", rejects=None):
        """Builds it as the command `medical-images build` does, in this process."""
        if rejects is not None:
            self.spec["rejects"] = self.spec.get("rejects", {}) | rejects
        spec, data = self.write(), self.folder / into
        arguments = ["build", str(spec), "--data-dir", str(data), "--workers", "1", *options]
        self.capture.readouterr()
        status, message = by_command(*arguments)
        out, err = self.capture.readouterr()
        assert message in err
        assert "Traceback" not in out + err, err
        return self.outcome(status, message, out + err, data)

    def outcome(self, status, message, said, data):
        """What is there after a build, once it is seen that it tells of no patient."""
        dataset = datasets(data) / self.spec.get("version", "1.0.0")
        rejects = rejects_of(self.root / NAME)
        assert not list(data.rglob("*rejects*"))
        result = Outcome(self, status, message, said, data, dataset, rejects)
        self.seen.note(result.in_words())
        assert_discreet(said, data)
        return result

    def assert_refused(self, *told, by_content=False, **options):
        """It is refused: status 2, the words are told, and there is no dataset.

        Nothing at all is written, unless it is what images hold that is wrong: then finished shards
        of others are left for the next build.
        """
        result = self.build(**options)
        assert result.status == 2, result.said
        for words in told:
            assert words in result.message, result.message
        assert not result.dataset.exists()
        if by_content:
            names = {path.name for path in result.dataset.parent.glob("*")}
            assert all(name.startswith("incomplete.") for name in names)
        else:
            assert result.files_written() == []
        return result

    def assert_rejected(self, rows, *, noted=None, told=(), kind="row", by_content=False):
        """The rows are rejected for these codes, and no others; the rest is written.

        Without rejects accepted, the corpus is refused and the message tells codes and lines.

        Args:
          rows: {code: the rows by number}.
          noted: {(outcome, code): count} of what else is listed.
          told: What the message tells, too.
          kind: What is rejected.
          by_content: Whether that is found when images are read, and not before.
        """
        refused = self.assert_refused(*told, by_content=by_content, rejects=STRICT)
        for code, numbers in rows.items():
            assert f"{code}: {CODES[code]}" in refused.message
            if kind == "row":
                lines = some_lines(number + 2 for number in numbers)
                count = f"{len(numbers)} row{'s' if len(numbers) != 1 else ''}"
                assert f"{count} ({lines})" in refused.message, refused.message
        result = self.build(rejects=LENIENT)
        assert result.status == 0, result.message
        listed = {("rejected", code): len(numbers) for code, numbers in rows.items()}
        assert result.counts == listed | (noted or {})
        if kind == "row":
            found = collections.defaultdict(list)
            for entry in result.rejects:
                if entry["outcome"] == "rejected":
                    assert entry["table"] == "scans.csv"
                    found[entry["code"]].append(int(entry["line"]) - 2)
            assert {code: sorted(numbers) for code, numbers in found.items()} == rows
        result.assert_adds_up()
        return result

    def assert_written(self, *, noted=None, counted=None, **options):
        """All of it is written, and no more is listed or counted than that."""
        result = self.build(**options)
        assert result.status == 0, result.message
        assert result.counts == (noted or {})
        assert result.counted() == (counted or {})
        result.assert_adds_up()
        return result

    def pixels(self, *, key="image", jpegs=()):
        """Builds it for both readers of TFDS; {number of the row: pixels}, once they agree.

        Of JPEG files that pass through, TensorFlow's decoder gives other pixels than Pillow's, by a
        little; `jpegs` tells of which rows they are.
        """
        streamed = self.build(into="streamed").examples()
        by_place = self.build("--file-format", "array_record", into="by_place").examples()
        assert streamed.keys() == by_place.keys()
        for number in streamed:
            one, other = (examples[number][key].astype(int) for examples in (streamed, by_place))
            assert one.shape == other.shape, number
            most = OF_DECODERS if number in jpegs else 0
            np.testing.assert_allclose(one, other, atol=most, rtol=0, err_msg=str(number))
        self.seen.note(f"`as_dataset` and `as_data_source` agree on {len(streamed)} images")
        return {number: example[key] for number, example in streamed.items()}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a build left.

    Attributes:
      corpus: Of which.
      status: The exit status.
      message: What it stopped with; empty if it did not.
      said: All that it said.
      data: The folder of datasets.
      dataset: That of this one, whether it is there or not.
      rejects: The entries of the list of rejects.
    """

    corpus: Corpus
    status: int
    message: str
    said: str
    data: pathlib.Path
    dataset: pathlib.Path
    rejects: list[dict[str, str]]

    @property
    def counts(self):
        """{(outcome, code): how many}."""
        return dict(collections.Counter((one["outcome"], one["code"]) for one in self.rejects))

    def counted(self):
        """{code: images} of what is not listed, in the dataset's metadata."""
        return self.builder().info.metadata["images"]

    def in_words(self):
        listed = ", ".join(f"{outcome} {code} {n}" for (outcome, code), n in self.counts.items())
        listed = f"; {listed}" if listed else ""
        if self.status == 0:
            counted = "".join(f"; {code} {number}" for code, number in self.counted().items())
            return f"exit 0; {len(self.index())} written{listed}{counted}"
        lines = self.message.replace(str(self.corpus.folder), "").strip().splitlines()
        shown = " / ".join(line.strip() for line in lines[:2])
        return f"exit {self.status}{listed}" + (f"; “{shown[:320]}”" if shown else "")

    def files_written(self):
        """All files below the folder of datasets."""
        return [path for path in self.data.rglob("*") if not path.is_dir()]

    def builder(self):
        return tfds.builder_from_directory(self.dataset)

    def index(self):
        return mi.index(self.builder())

    def splits(self):
        """{number of the row: split}."""
        index = self.index()
        return dict(zip(index["number"], index["_split"], strict=True))

    def examples(self):
        """Reads all with TFDS alone: {number of the row: example}."""
        builder, found = self.builder(), {}
        for split in builder.info.splits:
            if builder.info.file_format.value == "array_record":
                examples = builder.as_data_source(split=split)
            else:
                examples = tfds.as_numpy(builder.as_dataset(split=split))
            found |= {int(example["number"]): example for example in examples}
        assert len(found) == sum(split.num_examples for split in builder.info.splits.values())
        return found

    def assert_adds_up(self):
        """Every row and every image file was written, rejected, excluded or listed; once."""
        corpus, metadata = self.corpus, self.builder().info.metadata
        written, ended = set(self.index()["number"]), collections.Counter()
        for number in written:
            ended[int(number)] += 1
        of_rows = [one for one in self.rejects if one["kind"] == "row"]
        for one in of_rows:
            if one["outcome"] != "noted":
                ended[int(corpus.rows[int(one["line"]) - 2]["number"])] += 1
        assert ended == collections.Counter(int(row["number"]) for row in corpus.rows)
        assert metadata["rows"] == len(corpus.rows)
        counted = collections.defaultdict(dict)
        for (outcome, code), number in sorted(self.counts.items()):
            counted[outcome][code] = number
        assert metadata["rejects"] == counted
        names = {row["scan"] for row in corpus.rows if int(row["number"]) in written}
        images = {path for path in corpus.files if path.startswith("images/")}
        files = {path for path in images if pathlib.PurePath(path).stem in names}
        listed = {one["path"] for one in self.rejects if one["path"]}
        assert {escaped(path) for path in images} == {escaped(path) for path in files} | (
            listed & {escaped(path) for path in images}
        )
        assert metadata["image_files"] >= len(images)


def by_command(*arguments):
    """Runs the command line in this process; its exit status, and what it stopped with."""
    with mock.patch.object(sys, "argv", ["medical-images", *arguments]):
        try:
            cli.main()
        except SystemExit as end:
            return int(end.code or 0), str(end.__context__ or "")
    return 0, ""


def rejects_of(path):
    """The entries of a list of rejects, which only its owner can read; none if there is none."""
    if not path.exists():
        return []
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def escaped(path):
    return path.encode("utf-8", "backslashreplace").decode()
