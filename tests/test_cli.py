"""What a user meets on the command line: help, and one clear error for a bad corpus."""

import json
import pathlib
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

import medical_images as mi
from medical_images.cli import cli

BIN = pathlib.Path(sys.executable).parent


def edit(path: pathlib.Path, old: str, new: str, *, count: int = -1) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, count), encoding="utf-8")


def lose_an_image(corpus):
    (corpus / "images" / "PH_0000003.jpg").unlink()


def repeat_an_id_with_another_label(corpus):
    table = corpus / "metadata.csv"
    line = table.read_text(encoding="utf-8").splitlines()[4]
    cells = line.split(",")
    cells[2] = "df" if cells[2] != "df" else "nv"
    with table.open("a", encoding="utf-8") as file:
        file.write(",".join(cells) + "\n")


def misname_a_label(corpus):
    edit(corpus / "metadata.csv", ",mel,", ",melanoma,")


def use_semicolons(corpus):
    table = corpus / "metadata.csv"
    table.write_text(table.read_text(encoding="utf-8").replace(",", ";"), encoding="utf-8")


def misspell_a_key(corpus):
    edit(corpus / "corpus.yaml", "supervised:", "supervisd:")


def name_an_absent_column(corpus):
    edit(corpus / "corpus.yaml", "column: dx", "column: dxx")


def name_a_missing_table(corpus):
    edit(corpus / "corpus.yaml", "path: patients.csv", "path: patient.csv")


def misname_a_label_and_lose_an_image_and_misjoin(corpus):
    misname_a_label(corpus)
    lose_an_image(corpus)
    edit(corpus / "metadata.csv", "P00001", "P99999")


SPLITS = "splits: {train: 0.8, validation: 0.1, test: 0.1}"


def count_more_images_than_there_are(corpus):
    edit(corpus / "corpus.yaml", SPLITS, "splits: {train: 80, test: 10}")


def ask_for_more_than_rounding_permits(corpus):
    edit(corpus / "corpus.yaml", SPLITS, "splits: {train: 0.8, test: 0.2, max_deviation: 0.01}")


def declare_a_class_that_no_image_has(corpus):
    edit(corpus / "corpus.yaml", "values: [nv, ", "values: [nv, scc, ")


BAD = {
    count_more_images_than_there_are: ["corpus.yaml:", "add up to 90", "60 are to be planned"],
    ask_for_more_than_rounding_permits: ["requested", "achieved", "Rounding alone leaves"],
    declare_a_class_that_no_image_has: ["'scc'", "0 of 60 images", "classes_without_image"],
    lose_an_image: [r"image_missing", "1 row (line 5)"],
    repeat_an_id_with_another_label: ["conflict", "2 rows (lines 5, 62)"],
    misname_a_label: ["label_unknown", "'melanoma'", "allowed: nv, mel, bkl"],
    use_semicolons: ["no table has a column 'image_id'", "separator: ';'"],
    misspell_a_key: ["corpus.yaml:", "unknown key 'supervisd'", "did you mean 'supervised'?"],
    name_an_absent_column: ["no table has a column 'dxx'", "did you mean 'dx'?", "features.label"],
    name_a_missing_table: ["patient.csv", "there is no file"],
    misname_a_label_and_lose_an_image_and_misjoin: [
        "3 problems", "label_unknown", "image_missing", "join_unmatched",
    ],
}  # fmt: skip


@pytest.fixture
def corpus(tmp_path) -> pathlib.Path:
    folder = tmp_path / "corpus"
    mi.write_phantom(folder, num_images=60, height=24, width=32)
    return folder


@pytest.mark.parametrize(("spoil", "told"), BAD.items(), ids=lambda x: getattr(x, "__name__", ""))
def test_a_bad_corpus_is_refused_with_all_its_problems_and_nothing_written(
    corpus, tmp_path, spoil, told
):
    spoil(corpus)
    data_dir = tmp_path / "data"
    arguments = ["build", str(corpus / "corpus.yaml"), "--data-dir", str(data_dir)]
    result = subprocess.run(
        [sys.executable, "-m", "medical_images.cli", *arguments],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert result.returncode == 2, result.stderr
    for words in told:
        assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert not data_dir.exists()
    for private in ("PH_0000", "P0000"):
        assert private not in result.stderr + result.stdout


def test_an_absent_spec_is_refused(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "medical_images.cli", "build", str(tmp_path / "corpus.yaml")],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert result.returncode == 2
    assert "there is no such file" in result.stderr


def test_tfds_build_refuses_in_the_same_way(corpus, tmp_path):
    misname_a_label_and_lose_an_image_and_misjoin(corpus)
    config = f'{{"name": "mine", "spec": "{corpus / "corpus.yaml"}"}}'
    result = tfds_build(corpus, tmp_path / "data", "--config", config)
    assert result.returncode == 2, result.stderr
    assert "3 problems" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "data").exists()


def test_tfds_build_builds_a_corpus_given_as_json(corpus, tmp_path):
    config = f'{{"name": "mine", "spec": "corpus.yaml", "root": "{corpus}"}}'
    options = ["--config", config, "--file_format", "array_record", "--max_examples_per_split", "4"]
    assert tfds_build(corpus, tmp_path / "data", *options).returncode == 0
    folder = tmp_path / "data" / "medical_images" / "mine" / "1.0.0"
    assert (folder / "medical_images-train.array_record-00000-of-00001").exists()
    again = tfds_build(corpus, tmp_path / "data", "--config", config, "--overwrite")
    assert again.returncode == 0, again.stderr
    assert (folder / "medical_images-train.tfrecord-00000-of-00001").exists()
    assert len(mi.index(mi.Builder(
        config=mi.MedicalImagesConfig(name="mine", spec=str(corpus / "corpus.yaml")),
        data_dir=tmp_path / "data",
    ))) == 60  # fmt: skip


def tfds_build(corpus, data_dir, *options):
    command = [BIN / "tfds", "build", "medical_images", "--imports", "medical_images"]
    return subprocess.run(
        [*command, "--data_dir", data_dir, *options],
        cwd=corpus, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_the_rejects_file_is_for_its_owner_only(corpus, tmp_path):
    lose_an_image(corpus)
    with pytest.raises(mi.RejectedError, match=r"listed in .*my_phantom\.rejects\.csv"):
        mi.Builder(
            config=mi.MedicalImagesConfig(spec=str(corpus / "corpus.yaml")), data_dir=tmp_path
        ).download_and_prepare()
    rejects = corpus / "my_phantom.rejects.csv"
    assert rejects.stat().st_mode & 0o777 == 0o600
    assert "rejected,image_missing,row,metadata.csv,5" in rejects.read_text(encoding="utf-8")


def test_accepted_rejects_are_counted_and_the_rest_is_written(corpus, tmp_path):
    lose_an_image(corpus)
    edit(corpus / "corpus.yaml", "seed: 0", "seed: 0\nrejects: {max_fraction: 0.1}")
    builder = mi.Builder(
        config=mi.MedicalImagesConfig(spec=str(corpus / "corpus.yaml")), data_dir=tmp_path
    )
    builder.download_and_prepare()
    assert len(mi.index(builder)) == 59
    assert builder.info.metadata["rejects"] == {"rejected": {"image_missing": 1}}


def test_phantom_writes_a_corpus_that_builds(tmp_path):
    runner = CliRunner()
    out, data = str(tmp_path / "ph"), str(tmp_path / "data")
    made = runner.invoke(cli, ["phantom", out, "--images", "40", "--size", "32x24"])
    assert made.exit_code == 0, made.output
    built = runner.invoke(cli, ["build", f"{out}/corpus.yaml", "--data-dir", data])
    assert built.exit_code == 0, built.output
    assert "40 images to write" in built.output
    assert "tfds.load('medical_images/my_phantom'" in built.output
    again = runner.invoke(cli, ["build", f"{out}/corpus.yaml", "--data-dir", data])
    assert "is built already" in again.output
    told = runner.invoke(cli, ["certificate", "my_phantom", "--data-dir", data])
    assert "Largest deviation" in told.output
    told = runner.invoke(cli, ["certificate", f"{data}/medical_images/my_phantom/1.0.0", "--json"])
    assert json.loads(told.output)["splits"]["train"]["images"]["achieved"] == 32


@pytest.mark.parametrize("name", ["absent", "."])
def test_a_dataset_that_is_not_there_has_no_certificate(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["certificate", name, "--data-dir", str(tmp_path)])
    assert result.exit_code == 2
    assert f"there is no dataset '{name}'" in result.output


@pytest.mark.parametrize("size", ["600", "axb", "600x"])
def test_a_size_that_is_none_is_explained(tmp_path, size):
    result = CliRunner().invoke(cli, ["phantom", str(tmp_path / "x"), "--size", size])
    assert result.exit_code == 2
    assert "600x450" in result.output


def test_a_foreign_folder_is_not_overwritten_by_the_phantom(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious", encoding="utf-8")
    result = CliRunner().invoke(cli, ["phantom", str(tmp_path)])
    assert result.exit_code == 2
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize("command", [[], *([name] for name in cli.commands)])
def test_help_explains_every_command_and_option(command):
    output = CliRunner().invoke(cli, [*command, "--help"]).output
    assert len(output) > 200
    options = (cli.commands[command[0]] if command else cli).params
    assert all(o.help for o in options if isinstance(o, click.Option) and not o.is_eager)


def test_an_image_found_unusable_while_writing_is_told_without_a_traceback(corpus, tmp_path):
    (corpus / "images" / "PH_0000003.jpg").write_bytes(b"<html>not found</html>")
    result = subprocess.run(
        [sys.executable, "-m", "medical_images.cli", "build", corpus / "corpus.yaml",
         "--data-dir", tmp_path / "data"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert result.returncode == 2
    assert "not_an_image" in result.stderr
    assert "line 5" in result.stderr
    assert "Traceback" not in result.stderr


def test_overwriting_may_change_the_format(corpus, tmp_path):
    command = ["build", f"{corpus}/corpus.yaml", "--data-dir", f"{tmp_path}/data"]
    runner = CliRunner()
    assert runner.invoke(cli, command).exit_code == 0
    changed = runner.invoke(cli, [*command, "--file-format", "array_record", "--overwrite"])
    assert changed.exit_code == 0, changed.output
    folder = tmp_path / "data" / "medical_images" / "my_phantom" / "1.0.0"
    assert list(folder.glob("*array_record*"))
    assert not list(folder.glob("*tfrecord*"))


def run(*arguments, **options):
    command = [sys.executable, "-m", "medical_images.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def test_a_dataset_is_found_beside_a_folder_of_its_name(tmp_path):
    spec = mi.write_phantom(tmp_path / "my_phantom", num_images=20, height=24, width=32)
    assert run("build", spec, "--data-dir", tmp_path / "data").returncode == 0
    told = run("verify", "my_phantom", "--data-dir", tmp_path / "data", "--json", cwd=tmp_path)
    assert json.loads(told.stdout) == {"examples": 20, "problems": []}


@pytest.mark.parametrize(
    "arguments", [["phantom", "plain/x"], ["init", "plain_corpus", "--out", "plain/x.yaml"]]
)
def test_a_place_that_cannot_be_written_is_told_without_a_traceback(tmp_path, arguments):
    (tmp_path / "plain").write_text("a file")
    mi.write_phantom(tmp_path / "plain_corpus", num_images=5, height=24, width=32)
    told = run(*arguments, cwd=tmp_path)
    assert told.returncode == 1
    assert "Not a directory" in told.stderr
    assert "Traceback" not in told.stderr


def test_a_script_is_told_all_that_is_wrong_and_nothing_twice(corpus):
    lose_an_image(corpus)
    text = run("check", corpus / "corpus.yaml").stdout
    assert text.count("image_missing: ") == 1
    assert text.count("row image_missing") == 0
    edit(corpus / "corpus.yaml", "column:", "colunm:")
    edit(corpus / "corpus.yaml", "features:\n", "features:\n" + "".join(
        f"  f{k}: {{type: flot}}\n" for k in range(12)
    ))  # fmt: skip
    told = run("check", corpus / "corpus.yaml", "--json")
    assert (told.returncode, told.stderr) == (2, "")
    assert len(json.loads(told.stdout)["problems"]) >= 13
