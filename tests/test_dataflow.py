"""All of a build by Dataflow but the service itself: its translation, and workers that start clean.

Each pipeline of a build is translated by DataflowRunner as for a submission. What Dataflow would be
sent is then run by a local runner in a process of its own, which has imported nothing yet and knows
this package only as it is installed.
"""

import os
import pathlib
import subprocess
import sys

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineResult, PipelineRunner, PipelineState
from conftest import build, shard_bytes
from planted import KEY, tokens_in

pytest.importorskip(
    "apache_beam.runners.dataflow.internal.apiclient", reason="needs the extra `dataflow`"
)

OPTIONS = [
    "--runner=DataflowRunner",
    "--project=my-project",
    "--region=europe-west4",
    "--temp_location=gs://my-bucket/tmp",
    "--sdk_container_image=europe-docker.pkg.dev/my-project/images/medical_images:1",
    "--machine_type=n2-standard-4",
    "--number_of_worker_harness_threads=2",
    "--dry_run=true",
]

WORKER = """
import sys
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import common_urns, python_urns
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

assert "medical_images" not in sys.modules
proto = beam_runner_api_pb2.Pipeline.FromString(open(sys.argv[1], "rb").read())
for environment in proto.components.environments.values():
    assert environment.urn == common_urns.environments.DOCKER.urn
    environment.urn, environment.payload = python_urns.EMBEDDED_PYTHON, b""
FnApiRunner().run_via_runner_api(proto, PipelineOptions([])).wait_until_finish()
"""


class Dataflow(PipelineRunner):
    """Translates as Dataflow's runner does, and has the result run by a clean process."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.sent: list[bytes] = []

    def run_pipeline(self, pipeline, options):
        from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner

        job = DataflowRunner().run_pipeline(pipeline, PipelineOptions(OPTIONS)).job
        self.sent.append(job.proto_pipeline.SerializeToString())
        path = self.folder / f"{len(self.sent)}.pb"
        path.write_bytes(self.sent[-1])
        subprocess.run([sys.executable, "-c", WORKER, path], check=True, timeout=300)
        return Done()


class Done(PipelineResult):
    def __init__(self) -> None:
        super().__init__(PipelineState.DONE)

    def wait_until_finish(self, duration=None):
        del duration
        return PipelineState.DONE


@pytest.fixture(scope="module")
def hidden_corpus(phantom_corpus):
    """The phantom with patients hidden, by a key that workers find in their environment."""
    spec = phantom_corpus.with_name("hidden.yaml")
    hidden = "privacy: {pseudonymize: [patient_id, image_id]}\n"
    spec.write_text(phantom_corpus.read_text(encoding="utf-8") + hidden, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environb, b"MEDICAL_IMAGES_KEY", KEY)
        yield spec


@pytest.fixture(scope="module")
def dataflow_build(hidden_corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataflow")
    runner = Dataflow(folder)
    builder = build(hidden_corpus, folder / "data", beam_runner=runner, num_shards=3)
    return runner, builder


def test_what_dataflow_is_sent_gives_the_same_bytes_in_clean_workers(
    dataflow_build, hidden_corpus, tmp_path
):
    _, builder = dataflow_build
    assert shard_bytes(builder) == shard_bytes(build(hidden_corpus, tmp_path, num_shards=3))


def test_what_dataflow_is_sent_holds_no_builder_no_cell_and_no_key(dataflow_build, phantom_corpus):
    runner, _ = dataflow_build
    cells = {
        cell
        for table in ("metadata.csv", "patients.csv")
        for line in (phantom_corpus.parent / table).read_text(encoding="utf-8").splitlines()[1:]
        for cell in line.split(",")[:2]
    }
    for sent in runner.sent:
        assert b"dataset_builder" not in sent
        assert b"DatasetInfo" not in sent
        assert "the key" not in tokens_in(sent)  # other tokens stand in base64 by chance
        assert not [cell for cell in cells if len(cell) > 4 and cell.encode() in sent]
