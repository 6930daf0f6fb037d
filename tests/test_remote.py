"""Corpora and datasets in an object store: a real S3 server on this machine."""

import io
import pathlib
import re
import zipfile

import h5py
import loky
import nibabel
import numpy as np
import pytest
import tensorflow_datasets as tfds
from click.testing import CliRunner
from conftest import build, run_python, shard_bytes
from etils import epath
from etils.epath import backend, gpath
from PIL import Image

import medical_images as mi
from medical_images import remote
from medical_images.cli import cli
from medical_images.corpus import plan_corpus
from medical_images.image_bytes import ImageOfRow, read_source
from medical_images.spec import load_spec
from medical_images.texts import read_texts


@pytest.fixture(scope="module")
def store():
    """An empty bucket, which new processes see too."""
    s3fs = pytest.importorskip("s3fs", reason="needs the extra `test`")
    server = pytest.importorskip("moto.server", reason="needs the extra `test`")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    address, port = running.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{address}:{port}",
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "EPATH_USE_TF": "false",
        }.items():
            patch.setenv(name, value)
        _start_afresh()
        s3fs.S3FileSystem().mkdir("bucket")
        yield epath.Path("s3://bucket")
    running.stop()
    _start_afresh()


def _start_afresh():
    """Lets epath, and the workers of this process, look at the environment again."""
    gpath._is_tf_installed.cache_clear()
    loky.get_reusable_executor(1).shutdown(kill_workers=True)


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The spec of a small phantom."""
    folder = tmp_path_factory.mktemp("phantom") / "corpus"
    return mi.write_phantom(folder, num_images=60, height=24, width=32)


@pytest.fixture(scope="module")
def expected(local, tmp_path_factory):
    """The bytes of its dataset."""
    return shard_bytes(build(local, tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="module")
def corpus(store, local):
    """The same corpus in the store."""
    upload(local.parent, store / "corpus")
    return store / "corpus" / local.name


def upload(folder: pathlib.Path, target: epath.Path) -> None:
    for path in folder.rglob("*.*"):
        place = target / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())


def remote_bytes(builder) -> dict[str, bytes]:
    folder = builder.data_path
    names = [entry.path for entry in remote.files_below(folder)]
    return {
        name: (folder / name).read_bytes()
        for name in names
        if name.startswith(("medical_images-", "index/"))
    }


def names_beside(builder) -> list[str]:
    remote.forget_listings(builder.data_path)
    return sorted(path.name for path in builder.data_path.parent.iterdir())


def test_remote_corpus_gives_the_bytes_of_a_local_one(corpus, expected, tmp_path):
    assert shard_bytes(build(str(corpus), tmp_path, workers=2)) == expected


def test_local_spec_names_a_remote_root(corpus, local, expected, tmp_path):
    spec = tmp_path / "corpus.yaml"
    spec.write_text(local.read_text().replace("root: .", f"root: {corpus.parent}"))
    assert shard_bytes(build(spec, tmp_path)) == expected


def test_remote_spec_names_a_root_beside_its_folder(corpus, expected, tmp_path):
    spec = corpus.parent.parent / "specs" / "corpus.yaml"
    spec.write_text(corpus.read_text().replace("root: .", "root: ../corpus"))
    assert shard_bytes(build(str(spec), tmp_path)) == expected


@pytest.mark.parametrize("workers", [1, 2])
def test_remote_dataset_has_the_bytes_of_a_local_one(corpus, expected, store, workers):
    builder = build(str(corpus), str(store / f"by_{workers}"), workers=workers)
    assert remote_bytes(builder) == expected
    assert names_beside(builder) == ["1.0.0"]


def test_array_record_too(corpus, local, store, tmp_path):
    builder = build(str(corpus), str(store / "array"), file_format="array_record")
    assert remote_bytes(builder) == shard_bytes(build(local, tmp_path, file_format="array_record"))


def test_beam_too(corpus, expected, store):
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    builder = build(str(corpus), str(store / "beam"), engine="beam", beam_runner=FnApiRunner())
    assert remote_bytes(builder) == expected
    assert names_beside(builder) == ["1.0.0"]


@pytest.fixture(scope="module")
def built(corpus, store):
    return build(str(corpus), str(store / "read"))


def test_a_remote_dataset_is_read(built, local, tmp_path):
    near = build(local, tmp_path)
    found = tfds.builder_from_directory(built.data_dir)
    assert found.info.splits["train"].shard_lengths == near.info.splits["train"].shard_lengths
    assert mi.index(found, "train[:50%]").equals(mi.index(near, "train[:50%]"))
    assert mi.class_counts(found) == mi.class_counts(near)
    assert str(mi.certificate(found)) == str(mi.certificate(near))
    assert CliRunner().invoke(cli, ["verify", built.data_dir]).exit_code == 0
    assert str(built.info.splits["train"].filepaths[0]).startswith(f"{built.data_dir}/medical")


def test_a_dataset_is_extended_across_stores(built, corpus, local, store, tmp_path):
    for former in (built.data_dir, "../read/medical_images/mine/1.0.0"):
        spec = store / "specs" / "more.yaml"
        text = local.read_text().replace("root: .", "root: ../corpus")
        assert "splits: {" in text
        spec.write_text(text.replace("splits: {", f"splits: {{extend: {former}, "))
        more = build(str(spec), tmp_path / str(len(former)))
        assert mi.certificate(more)["extended"]


def test_command_line_overwrites_with_another_format(corpus, store, local, tmp_path):
    where, other = store / "cli", tmp_path / "other.yaml"
    other.write_text("homepage: https://example.org/older\n" + corpus.read_text())
    for spec, file_format in ((other, "tfrecord"), (corpus, "array_record")):
        args = ["build", str(spec), "--root", str(corpus.parent), "--data-dir", str(where)]
        args += ["--file-format", file_format]
        result = CliRunner().invoke(cli, [*args, "--name", "mine", "--overwrite"])
        assert result.exit_code == 0, result.output
    near = build(local, tmp_path, file_format="array_record")
    found = tfds.builder_from_directory(where / "medical_images" / "mine" / "1.0.0")
    assert remote_bytes(found) == shard_bytes(near)
    for name in ("dataset_info.json", "metadata.json", "features.json"):
        one, other = (found.data_path / name).read_text(), (near.data_path / name).read_text()
        assert one.replace(str(where), "") == other.replace(str(tmp_path), "")
    assert CliRunner().invoke(cli, ["certificate", str(found.data_dir)]).exit_code == 0


def test_an_older_dataset_stays_if_the_new_one_fails(corpus, expected, local, store, tmp_path):
    data_dir = str(store / "kept")
    old = build(str(corpus), data_dir)
    upload(local.parent, store / "broken")
    broken = str(store / "broken" / local.name)
    path = next((store / "broken" / "images").glob("*5.jpg"))
    path.write_bytes(b"BM" + path.read_bytes()[2:])
    mode = tfds.download.GenerateMode.REUSE_CACHE_IF_EXISTS
    for workers in (1, 2):
        with pytest.raises(mi.CorpusError, match=r"not_an_image.*line \d+"):
            build(broken, data_dir, workers=workers, download_mode=mode)
        assert remote_bytes(old) == expected
        assert (old.data_path / "dataset_info.json").exists()
    assert remote_bytes(build(str(corpus), data_dir, download_mode=mode)) == expected


def test_finished_shards_of_a_failed_build_are_taken_over(
    built, expected, local, store, tmp_path, capsys
):
    upload(local.parent, store / "mended")
    image = mi.index(built, "test")["image_id"].iloc[0] + ".jpg"
    path, data_dir = store / "mended" / "images" / image, str(store / "failed")
    path.write_bytes(b"BM" + path.read_bytes()[2:])
    with pytest.raises(mi.CorpusError, match="not_an_image"):
        build(str(store / "mended" / local.name), data_dir, workers=1)
    (left,) = re.findall(
        r"2 finished shards are kept for .*, in (s3://\S+)", capsys.readouterr().out
    )
    path.write_bytes((local.parent / "images" / image).read_bytes())
    mended = build(str(store / "mended" / local.name), data_dir, workers=1)
    told = capsys.readouterr().out
    assert "2 of its finished shards were kept" in told
    assert f"yours to delete: {left}\n" in told
    assert remote_bytes(mended) == expected
    assert names_beside(mended) == ["1.0.0", left.rpartition("/")[2]]


def test_part_of_a_dataset_is_not_taken_for_built(corpus, expected, store):
    old = build(str(corpus), str(store / "part"))
    (old.data_path / "dataset_info.json").unlink()
    again = build(str(corpus), str(store / "part"))
    assert remote_bytes(again) == expected
    assert names_beside(again) == ["1.0.0"]


def test_a_dataset_that_cannot_be_moved_is_left_where_it_is(
    corpus, expected, store, monkeypatch, capsys
):
    copy = remote._copy

    def refused_at_last(folder, target, names):
        if "dataset_info.json" in names:
            raise PermissionError("no")
        copy(folder, target, names)

    monkeypatch.setattr(remote, "_copy", refused_at_last)
    place = r"s3://\S+/incomplete\.\w+_1\.0\.0"
    with pytest.raises(mi.BuildError, match=f"{place} holds the new dataset") as error:
        build(str(corpus), str(store / "unmoved"))
    (left,) = re.findall(place, str(error.value))
    assert remote_bytes(tfds.builder_from_directory(left)) == expected
    monkeypatch.undo()
    again = build(str(corpus), str(store / "unmoved"))
    assert remote_bytes(again) == expected
    assert "3 of its finished shards were kept" in capsys.readouterr().out


def test_shards_of_a_killed_build_are_taken_over(corpus, expected, store):
    code = """
import os, sys
import medical_images as mi
from medical_images import dataset_writing
dataset_writing.finish = lambda *_, **__: os._exit(9)
config = mi.MedicalImagesConfig(name="mine", spec=sys.argv[1])
mi.Builder(config=config, data_dir=sys.argv[2]).download_and_prepare()
"""
    data_dir = store / "killed"
    with pytest.raises(AssertionError):
        run_python(code, corpus, data_dir)
    builder = build(str(corpus), str(data_dir))
    assert remote_bytes(builder) == expected
    left = [name for name in names_beside(builder) if name != "1.0.0"]
    assert len(left) == 1  # another machine may be at work there
    assert left[0].startswith("incomplete.")


@pytest.mark.parametrize(
    ("lost", "told"),
    [("metadata.csv", "there is no file 's3://.*metadata.csv'"), ("images", "no folder 's3://")],
)
def test_what_is_missing_is_named(lost, told, local, store, tmp_path):
    root = store / f"without_{lost}"
    upload(local.parent, root)
    path = root / lost
    path.rmtree() if path.is_dir() else path.unlink()
    with pytest.raises(mi.CorpusError, match=told):
        build(str(root / local.name), tmp_path)
    with pytest.raises(mi.SpecError, match="there is no such file"):
        build(str(root / "no.yaml"), tmp_path)


def test_a_store_that_cannot_be_asked_is_told_with_a_remedy(local, monkeypatch, tmp_path):
    with pytest.raises(mi.SpecError, match=r"hdfs:// is not known.*gs://, s3://"):
        build(local, tmp_path, root="hdfs://name/corpus")
    with pytest.raises(mi.SpecError, match="install adlfs"):
        build(local, tmp_path, root="az://container/corpus")
    monkeypatch.setenv("EPATH_USE_TF", "true")
    gpath._is_tf_installed.cache_clear()
    try:
        with pytest.raises(mi.SpecError, match="install s3fs and set EPATH_USE_TF=false"):
            build(local, tmp_path, root="s3://bucket/corpus")
    finally:
        monkeypatch.undo()
        gpath._is_tf_installed.cache_clear()


def test_listing_takes_one_request_and_is_never_an_old_one(corpus, store, caplog):
    import s3fs

    folder = store / "corpus" / "images"
    with caplog.at_level("INFO", "werkzeug"):
        before = remote.files_below(folder)
    assert sum("HTTP/1.1" in record.getMessage() for record in caplog.records) == 1
    new_process = "import sys; from etils import epath; epath.Path(sys.argv[1]).write_bytes(b'x')"
    run_python(new_process, folder / "new" / "one.jpg")
    marker = {"Bucket": "bucket", "Key": "corpus/images/new/"}  # web consoles make them
    s3fs.S3FileSystem().call_s3("put_object", **marker)
    after = remote.files_below(folder)
    assert set(after) - set(before) == {remote.Entry("new/one.jpg", 1)}
    assert remote.Entry("new", None) in remote.list_folder(folder)
    assert remote.list_folder(folder / "new") == [remote.Entry("one.jpg", 1)]
    remote.remove_folder(folder / "new", first="one.jpg")
    assert set(remote.files_below(folder)) == set(before)


def write_containers(folder: pathlib.Path) -> pathlib.Path:
    """The spec of a corpus whose images are in a zip, and in HDF5, and in NIfTI."""
    folder.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 255, (9, 8, 7), dtype=np.uint8)
    with zipfile.ZipFile(folder / "images.zip", "w") as file:
        for number in range(9):
            data = io.BytesIO()
            Image.fromarray(images[number]).save(data, "PNG")
            file.writestr(f"x/{number}.png", data.getvalue())
    with h5py.File(folder / "train.h5", "w") as file:
        file["x"] = images // 2
    nibabel.save(nibabel.Nifti1Image(images // 3, np.eye(4)), folder / "v.nii.gz")
    (folder / "corpus.yaml").write_text("""
name: mine
images: {path: ["images.zip/**/{id}.png", "train.h5/x/{id}", "v.nii.gz/{id}"], channels: 1}
features: {id: {type: text}}
splits: {train: 1}
""")
    return folder / "corpus.yaml"


def test_remote_texts_are_those_of_a_local_folder(store, tmp_path):
    for name in ("b.txt", "a.txt", "c/d.txt", "c/.e.txt", "f.csv"):
        for root in (epath.Path(tmp_path / "r"), store / "texts"):
            (root / "t" / name).parent.mkdir(parents=True, exist_ok=True)
            (root / "t" / name).write_text(name)
    for pattern, names in (("t/*.txt", ["a", "b"]), ("**/*.txt", ["a", "b", "c/d"])):
        found = list(read_texts(store / "texts", pattern))
        assert found == [(f"t/{name}.txt", f"{name}.txt".encode()) for name in names]
        assert found == list(read_texts(tmp_path / "r", pattern))


def test_remote_containers_stand_as_folders_too(store, tmp_path):
    spec = write_containers(tmp_path / "corpus")
    upload(spec.parent, store / "containers")
    near = build(spec, tmp_path / "near")
    far = build(str(store / "containers" / "corpus.yaml"), tmp_path / "far", workers=2)
    assert len(mi.index(near)) == 9 + 9 + 7
    assert shard_bytes(far) == shard_bytes(near)


class Gfile:
    """TensorFlow's own file interface, with a local folder in the place of `gs://`."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = str(folder)

    def __getattr__(self, name):
        function = getattr(self._tf().io.gfile, name)

        def call(*args, **kwargs):
            here = [one.replace("gs:/", self._folder) if type(one) is str else one for one in args]
            return self._there(function(*here, **kwargs))

        return call

    def _there(self, found):
        if isinstance(found, list):
            return [one.replace(self._folder, "gs:/") for one in found]
        return found

    @staticmethod
    def _tf():
        import tensorflow

        return tensorflow


@pytest.fixture
def by_tensorflow(tmp_path, monkeypatch):
    """What `gs://` is for epath where TensorFlow is asked; only this process sees it."""
    gfile = Gfile(tmp_path / "buckets")
    (tmp_path / "buckets" / "bucket").mkdir(parents=True)
    monkeypatch.setattr(type(backend.tf_backend), "gfile", property(lambda _: gfile))
    monkeypatch.setenv("EPATH_USE_TF", "true")
    gpath._is_tf_installed.cache_clear()
    yield epath.Path("gs://bucket")
    monkeypatch.undo()
    gpath._is_tf_installed.cache_clear()


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_tensorflow_gives_the_same_bytes(by_tensorflow, local, tmp_path, file_format):
    near = build(local, tmp_path, file_format=file_format)
    upload(local.parent, by_tensorflow / "corpus")
    spec, data_dir = str(by_tensorflow / "corpus" / local.name), str(by_tensorflow / "data")
    mode = tfds.download.GenerateMode.REUSE_CACHE_IF_EXISTS
    for _ in range(2):
        far = build(spec, data_dir, workers=1, file_format=file_format, download_mode=mode)
        assert remote_bytes(far) == shard_bytes(near)
        assert names_beside(far) == ["1.0.0"]
    assert mi.index(tfds.builder_from_directory(far.data_dir)).equals(mi.index(near))


def test_errors_of_tensorflow_name_no_file(by_tensorflow, local, tmp_path, monkeypatch):
    import tensorflow as tf

    upload(local.parent, by_tensorflow / "corpus")

    def refused(path, mode):
        raise tf.errors.PermissionDeniedError(None, None, f"{path} is not yours")

    loaded = load_spec(str(by_tensorflow / "corpus" / local.name))
    planned = plan_corpus(loaded)
    row = next(planned.plan.splits["train"][list(ImageOfRow._fields)].itertuples(index=False))
    monkeypatch.setattr(backend.tf_backend, "open", refused)
    with pytest.raises(mi.BuildError, match=r"read \(PermissionDeniedError\)") as error:
        read_source(ImageOfRow(*row), loaded.root, loaded.spec)
    assert row.path not in str(error.value)
