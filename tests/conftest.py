"""Fixtures: a phantom corpus, the dataset built from it, and the place of the real corpora."""

import os
import pathlib
import subprocess
import sys

import pytest
from hypothesis import settings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# A busy machine is no defect; and CI tries the same examples each time, so that it fails for the
# change it tests. Run without CI=true to look for new ones.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

REPOSITORY = pathlib.Path(__file__).parent.parent
DUMMY_DATA = REPOSITORY / "dummy_data"
SPECS = REPOSITORY / "medical_images" / "catalog"


@pytest.fixture(scope="session")
def realdata() -> pathlib.Path:
    folder = os.environ.get("MEDICAL_IMAGES_REALDATA")
    if not folder:
        pytest.skip("MEDICAL_IMAGES_REALDATA does not name the folder of the real corpora")
    return pathlib.Path(folder)


@pytest.fixture(scope="session")
def phantom_corpus(tmp_path_factory) -> pathlib.Path:
    """The spec of a phantom of 700 small images."""
    import medical_images as mi

    return mi.write_phantom(
        tmp_path_factory.mktemp("phantom") / "corpus", num_images=700, height=24, width=32
    )


@pytest.fixture(scope="session")
def phantom_builder(phantom_corpus, tmp_path_factory):
    """A builder of that phantom, built in TFRecord."""
    return build(phantom_corpus, tmp_path_factory.mktemp("data"))


def build(spec, data_dir, *, name="mine", root=None, engine="auto", workers=None, **kwargs):
    """Builds a corpus and returns its builder."""
    import tensorflow_datasets as tfds

    import medical_images as mi

    file_format = kwargs.pop("file_format", None)
    config = mi.MedicalImagesConfig(
        name=name, spec=spec, root=root, engine=engine, num_workers=workers
    )
    builder = mi.Builder(config=config, data_dir=data_dir, file_format=file_format)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(**kwargs))
    return builder


def shard_bytes(builder) -> dict[str, bytes]:
    """The bytes of every file of a dataset that holds examples or the index."""
    folder = pathlib.Path(builder.data_dir)
    files = [*folder.glob("medical_images-*"), *folder.glob("index/*")]
    assert files
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def run_python(code: str, *args: object, **environment: str) -> str:
    """Runs code in a fresh process and returns what it prints."""
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    return result.stdout
