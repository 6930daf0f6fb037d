"""The TFDS builder. It only wires the other modules together."""

from __future__ import annotations

import dataclasses
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pandas as pd
import tensorflow_datasets as tfds
from absl import app
from etils import epath
from tensorflow_datasets.core import splits as tfds_splits
from tensorflow_datasets.core.utils import py_utils

from medical_images import corpus, dataset_index, features, local_engine, phantom, shards
from medical_images.build_lock import build_lock, refuse_locked
from medical_images.errors import BuildError, CorpusError, Problem, SpecError
from medical_images.overwriting import set_aside
from medical_images.plan import Plan
from medical_images.spec import (
    IMAGE_FEATURE,
    NAME_PATTERN,
    CorpusSpec,
    LoadedSpec,
    load_spec,
)
from medical_images.yaml_source import parse_yaml

ENGINES = ("auto", "local", "beam", "tfds")
_PHANTOM = "phantom"


@dataclasses.dataclass(eq=False)
class MedicalImagesConfig(tfds.core.BuilderConfig):
    """Which corpus to build, and how.

    Attributes:
      name: The config's name in TFDS; by default the spec's own.
      spec: The path of a `corpus.yaml`, or a `CorpusSpec`, or a mapping of its keys.
      root: The corpus root; by default `root:` of the spec.
      engine: `local` (processes of this machine), `beam`, `tfds` (TFDS's own writers, slow, for
        comparison), or `auto`: Beam when a runner or options are given, else local.
      num_workers: Processes of the local engine; all cores by default.
    """

    name: str = ""
    spec: str | CorpusSpec | Mapping[str, Any] | None = None
    root: str | None = None
    engine: str = "auto"
    num_workers: int | None = None

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ValueError(f"engine '{self.engine}' is none of {', '.join(ENGINES)}")
        self.loaded: LoadedSpec | None = None
        if self.spec is None and self.name != _PHANTOM:
            what = "the config has no `spec`; it names the corpus.yaml that describes the corpus"
            raise SpecError([Problem(where=f"config '{self.name}'", what=what)])
        if self.spec is not None:
            self.loaded = load_spec(self.spec, root=self.root)
        if self.loaded is not None:
            made = self.loaded.spec
            self.name = self.name or made.name
            if not re.fullmatch(NAME_PATTERN, self.name):
                what = f"'{self.name}' is no name of a config: letters, digits, _, . and - only"
                raise SpecError([Problem(where="config", what=what)])
            if self.name == _PHANTOM:
                what = f"the name '{_PHANTOM}' is taken by the built-in corpus; choose another"
                where = self.loaded.source.where(("name",))
                raise SpecError([Problem(where=where, what=what)])
            for key in ("version", "description"):
                setattr(self, key, getattr(self, key) or getattr(made, key))


class Builder(tfds.core.GeneratorBasedBuilder):
    """Builds any corpus that a spec describes; without one, the phantom corpus."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}
    BUILDER_CONFIGS: ClassVar[list[MedicalImagesConfig]] = [
        MedicalImagesConfig(
            name=_PHANTOM,
            description="A synthetic corpus: 2,000 images of seven classes, made from a seed.",
        )
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Describe your corpus in a corpus.yaml and pass it as the config:"
        ' --imports medical_images --config \'{"name": "mine", "spec": "corpus.yaml"}\''
    )

    # What the first phase of a build found; only there while one runs.
    _planned: corpus.PlannedCorpus | None = None
    _phantom_folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def _spec(self) -> CorpusSpec:
        loaded = self.builder_config.loaded
        return loaded.spec if loaded is not None else phantom_spec()

    def _info(self) -> tfds.core.DatasetInfo:
        spec = self._spec
        supervised = (IMAGE_FEATURE, spec.supervised) if spec.supervised else None
        return tfds.core.DatasetInfo(
            builder=self,
            description=spec.description or spec.name,
            features=features.features_dict(spec),
            supervised_keys=supervised,
            homepage=spec.homepage or None,
            citation=spec.citation or None,
            license=spec.license or None,
            metadata=tfds.core.MetadataDict(),
        )

    def download_and_prepare(self, **kwargs: Any) -> None:
        """Builds the dataset; see TFDS.

        The corpus is read, checked and planned before TFDS makes, or deletes, anything; an older
        dataset that is to be overwritten comes back if the build fails.
        """
        config = kwargs.get("download_config") or tfds.download.DownloadConfig()
        _check_numbers(config)
        mode = config.download_mode
        if mode == tfds.download.GenerateMode.UPDATE_DATASET_INFO or (
            self.data_path.exists() and not mode.overwrite_dataset
        ):
            self._refuse_changed_spec()
            super().download_and_prepare(**kwargs)
            return
        try:
            refuse_locked(self.data_path)
            print(self._plan().summary())
            with build_lock(self.data_path), set_aside(self.data_path):
                super().download_and_prepare(**kwargs)
        finally:
            self._planned = None
            if self._phantom_folder is not None:
                self._phantom_folder.cleanup()
                self._phantom_folder = None

    def _refuse_changed_spec(self) -> None:
        """Class names and the like are read from the spec; they must be those that were written."""
        written = (self.info.metadata or {}).get("spec_sha256")
        if written not in (None, corpus.spec_digest(self._spec)):
            what = f"the spec differs from that of the dataset in {self.data_dir}"
            remedy = "raise its `version:`, or overwrite the dataset"
            raise SpecError([Problem(where=self.info.full_name, what=what, remedy=remedy)])

    def _plan(self) -> corpus.PlannedCorpus:
        """Reads and plans the corpus once; the phantom is made in a temporary folder."""
        if self._planned is None:
            loaded = self.builder_config.loaded
            if loaded is None:
                self._phantom_folder = tempfile.TemporaryDirectory(prefix="medical_images_")
                loaded = load_spec(phantom.write_phantom(self._phantom_folder.name))
            self._planned = corpus.plan_corpus(
                loaded, data_dir=str(self._data_dir_root), target=str(self.data_path)
            )
        return self._planned

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager  # nothing is downloaded
        splits = self._plan().plan.splits
        return {name: self._generate_examples(records) for name, records in splits.items()}

    def _generate_examples(self, records: pd.DataFrame) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields (key, example); keys rise with the line, so that sorting by them keeps its order.

        TFDS deals keys into buckets by their leading bits of 128, hence the scale.
        """
        loaded = self._plan().loaded
        metadata = features.iter_metadata(records, loaded.spec)
        pairs = zip(records.itertuples(index=False), metadata, strict=True)
        for place, (record, example) in enumerate(pairs):
            key = ((2 * place + 1) << 127) // len(records)
            image = shards.read_image(record, loaded.root, loaded.spec.images)
            yield key, {IMAGE_FEATURE: image, **example}

    def _download_and_prepare(
        self, dl_manager: Any, download_config: tfds.download.DownloadConfig
    ) -> None:
        if download_config.max_examples_per_split == 0:
            return
        plan = self._plan().plan.first(download_config.max_examples_per_split)
        engine = self._engine(download_config)
        if engine == "tfds":
            # Sorted by key while writing; reading must stay free to shuffle files.
            with py_utils.temporary_assignment(self.info.as_proto, "disable_shuffling", True):
                super()._download_and_prepare(dl_manager, download_config)
        else:
            self._write_shards(plan, download_config, engine)
        self._finish(plan)

    def _engine(self, download_config: tfds.download.DownloadConfig) -> str:
        engine: str = self.builder_config.engine
        has_beam = download_config.beam_runner or download_config.beam_options
        if engine == "auto":
            return "beam" if has_beam else "local"
        if engine == "beam" and not has_beam:
            raise ValueError(
                "engine 'beam' needs a runner: --beam_pipeline_options=runner=..., or"
                " `beam_runner` of the download config"
            )
        return engine

    def _write_shards(
        self, plan: Plan, download_config: tfds.download.DownloadConfig, engine: str
    ) -> None:
        loaded = self._plan().loaded
        tasks = {
            name: shards.plan_tasks(
                records,
                spec=loaded.spec,
                root=loaded.root,
                file_format=self.info.file_format.value,
                template=self._get_filename_template(split_name=name),
                num_shards=download_config.num_shards,
                min_bytes=download_config.min_shard_size,
                max_bytes=download_config.max_shard_size,
            )
            for name, records in plan.splits.items()
        }
        flat = [task for split_tasks in tasks.values() for task in split_tasks]
        results = iter(self._run(flat, engine, download_config))
        infos = []
        for name, split_tasks in tasks.items():
            written = [next(results) for _ in split_tasks]
            infos.append(
                tfds_splits.SplitInfo(
                    name=name,
                    shard_lengths=[result.num_examples for result in written],
                    num_bytes=sum(result.num_bytes for result in written),
                    filename_template=self._get_filename_template(split_name=name),
                )
            )
        self.info.set_splits(tfds_splits.SplitDict(infos))

    def _run(
        self,
        tasks: list[shards.ShardTask],
        engine: str,
        download_config: tfds.download.DownloadConfig,
    ) -> list[shards.ShardResult]:
        if engine == "local":
            return local_engine.write_shards(tasks, num_workers=self.builder_config.num_workers)
        from medical_images import beam_pipeline  # Beam takes a second to import

        return beam_pipeline.write_shards(
            tasks,
            data_dir=self.data_dir,
            runner=download_config.beam_runner,
            options=download_config.beam_options,
        )

    def _finish(self, plan: Plan) -> None:
        """Holds the written counts against the plan, and writes the index and the metadata."""
        spec = self._plan().loaded.spec
        classes = {name: spec.classes.get(name) for name in spec.features}
        for name, records in plan.splits.items():
            written = self.info.splits[name].num_examples
            if written != len(records):
                raise BuildError(f"split '{name}': {len(records)} planned, {written} written")
            path = epath.Path(self.data_dir) / dataset_index.FOLDER / f"{name}.parquet"
            dataset_index.write_index(
                records,
                features=classes,
                path=path,
                seed=spec.seed,
                group=spec.group,
                is_whole=plan.num_records == self._plan().plan.num_records,
            )
        self.info.metadata.update(self._plan().metadata(plan))


def _check_numbers(config: tfds.download.DownloadConfig) -> None:
    least = {"num_shards": 1, "min_shard_size": 1, "max_shard_size": 1, "max_examples_per_split": 0}
    problems = [
        Problem(where=name, what=f"is {getattr(config, name)}; it must be at least {smallest}")
        for name, smallest in least.items()
        if getattr(config, name) is not None and getattr(config, name) < smallest
    ]
    if problems:
        raise SpecError(problems, headline="The options of the build are not valid")


def phantom_spec() -> CorpusSpec:
    """Returns the spec of the built-in phantom corpus."""
    source = parse_yaml(phantom.SPEC_YAML, name=_PHANTOM)
    return CorpusSpec.from_dict(source.data, source=source)


class _PlainErrors(app.ExceptionHandler):
    """Under `tfds build`, problems of a corpus are told without a traceback.

    The exit status is 2 where the corpus was refused, 1 where the build stopped later.
    """

    def wants(self, exc: BaseException) -> bool:
        return isinstance(exc, CorpusError | BuildError)

    def handle(self, exc: BaseException) -> None:
        def tell(*_: object) -> None:
            print(exc, file=sys.stderr)
            sys.exit(2 if isinstance(exc, CorpusError) else 1)

        sys.excepthook = tell


app.install_exception_handler(_PlainErrors())
