"""The TFDS builder. It only wires the other modules together."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pandas as pd
import tensorflow_datasets as tfds
from absl import app
from etils import epath
from tensorflow_datasets.core import splits as tfds_splits
from tensorflow_datasets.core.utils import py_utils

from medical_images import catalog, corpus, dataset_writing, features, phantom, shards
from medical_images.build_lock import build_lock
from medical_images.engines import BeamEngine, Engine, LocalEngine, beam_folder
from medical_images.errors import BuildError, CorpusError, Problem, SpecError
from medical_images.leftovers import (
    clear_away,
    find_leftovers,
    kept_if_finished,
    settle,
    tell_of,
    tidy,
)
from medical_images.manifest import differences, read_manifest
from medical_images.overwriting import new_folder, read_info, replacing
from medical_images.paths import absolute
from medical_images.remote import in_words, storage_errors
from medical_images.rounds import Tasks, Written, write_usable
from medical_images.shard_writing import RESULTS, ShardResult, iter_examples, result_of
from medical_images.spec import (
    IMAGE_FEATURE,
    NAME_PATTERN,
    CorpusSpec,
    LoadedSpec,
    is_of_catalog,
    load_spec,
    manual_root,
)
from medical_images.yaml_source import parse_yaml

ENGINES = ("auto", "local", "beam", "tfds")
_PHANTOM = "phantom"


@dataclasses.dataclass(eq=False)
class MedicalImagesConfig(tfds.core.BuilderConfig):
    """Which corpus to build, and how.

    Attributes:
      name: The config's name in TFDS; by default the spec's own.
      spec: The path of a `corpus.yaml`, or the name of a corpus of the catalog, or a `CorpusSpec`,
        or a mapping of its keys; by default the corpus of the catalog of this name.
      root: The corpus root; by default `root:` of the spec, and for a corpus of the catalog
        `<manual_dir>/<its name>`.
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
        if self.spec is None and self.name in catalog.names():
            self.spec = self.name
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

    def look_in(self, manual_dir: str | epath.Path) -> None:
        """Takes a corpus of the catalog from a folder of what was downloaded by hand."""
        is_named = isinstance(self.spec, str) and is_of_catalog(self.spec)
        if is_named and self.root is None and self.loaded is not None:
            root = manual_root(str(self.spec), manual_dir=manual_dir)
            self.loaded = self.loaded.model_copy(update={"root": root})


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

    def _create_builder_config(self, builder_config: Any, version: Any) -> Any:
        """A corpus of the catalog is a config by its name, though no list of configs holds it."""
        if isinstance(builder_config, str):
            name, _, asked = builder_config.partition(":")
            if name in catalog.names():
                builder_config, version = MedicalImagesConfig(name=name), version or asked or None
        return super()._create_builder_config(builder_config, version)

    # What the phases of a build leave for the next; only there while one runs.
    _engine: Engine = LocalEngine()
    _planned: corpus.PlannedCorpus | None = None
    _leftovers: Sequence[str] = ()
    _written: Sequence[ShardResult] = ()

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

        The corpus is read, checked and planned before anything is written. An older dataset that
        is to be overwritten is there to be read until the new one is complete.
        """
        config = kwargs.get("download_config") or tfds.download.DownloadConfig()
        _check_numbers(config)
        downloads = kwargs.get("download_dir") or epath.Path(self._data_dir_root) / "downloads"
        self.builder_config.look_in(config.manual_dir or epath.Path(downloads) / "manual")
        if not self._stays(config.download_mode):
            with contextlib.ExitStack() as stack:
                with _in_plain_words(f"{self.data_dir} cannot be written"):
                    stack.enter_context(build_lock(self.data_path))
                    settle(self.data_path)
                if not self._stays(config.download_mode):
                    self._build(config, stack, **kwargs)
                    return
            # Another build has made it in between, or settling has.
            read_info(self)
        self._refuse_changed()
        tidy(self.data_path)
        super().download_and_prepare(**kwargs)

    def _stays(self, mode: tfds.download.GenerateMode) -> bool:
        """Whether there is a dataset that is to stay."""
        if mode == tfds.download.GenerateMode.UPDATE_DATASET_INFO:
            return True
        return not mode.overwrite_dataset and bool(self.is_prepared())

    def _build(
        self, config: tfds.download.DownloadConfig, stack: contextlib.ExitStack, **kwargs: Any
    ) -> None:
        """Builds with the lock held."""
        stack.callback(self._forget)
        stack.callback(clear_away, self.data_path)
        with _in_plain_words(f"{self.data_dir} cannot be written"):
            self._leftovers = find_leftovers(absolute(self.data_path))
            self._engine = self._choose_engine(config, stack)
        with _in_plain_words("the corpus cannot be read"):
            planned = self._plan(stack)
        print(planned.summary())
        beside = new_folder(self.data_path)
        with (
            _in_plain_words(f"{self.data_dir} cannot be written"),
            kept_if_finished(beside),
            replacing(self, beside),
        ):
            super().download_and_prepare(**kwargs)
        print(f"Dataset {self.info.full_name} is written to {self.data_dir}")
        if told := tell_of(self._leftovers, self._written):
            print(told)

    def _log_download_bytes(self) -> None:
        """Says nothing of downloads; there is none."""

    def _log_download_done(self) -> None:
        """Does nothing when TFDS is done: the dataset is not in its place yet."""

    def _forget(self) -> None:
        self._engine, self._planned, self._leftovers, self._written = LocalEngine(), None, (), ()

    def _choose_engine(
        self, config: tfds.download.DownloadConfig, stack: contextlib.ExitStack
    ) -> Engine:
        engine: str = self.builder_config.engine
        has_beam = config.beam_runner or config.beam_options
        if engine == "beam" and not has_beam:
            raise ValueError(
                "engine 'beam' needs a runner: --beam_pipeline_options=runner=..., or"
                " `beam_runner` of the download config"
            )
        if engine == "beam" or (engine == "auto" and has_beam):
            folder = stack.enter_context(beam_folder(self.data_path))
            return BeamEngine(folder=folder, runner=config.beam_runner, options=config.beam_options)
        return LocalEngine(num_workers=self.builder_config.num_workers)

    def _plan(self, stack: contextlib.ExitStack) -> corpus.PlannedCorpus:
        """Reads and plans the corpus; the phantom is made in a temporary folder."""
        loaded = self.builder_config.loaded
        if loaded is None:
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="medical_images_", ignore_cleanup_errors=True)
            )
            loaded = load_spec(phantom.write_phantom(folder))
        self._planned = self._engine.plan(
            loaded, data_dir=str(self._data_dir_root), target=str(self.data_path)
        )
        return self._planned

    def _refuse_changed(self) -> None:
        """Refuses to take a dataset for one that the spec, tables or images no longer give.

        Class names and the like are read from the spec, so they must be those that were written.
        """
        problems = []
        written = (self.info.metadata or {}).get("spec_sha256")
        if written not in (None, corpus.spec_digest(self._spec)):
            problems.append("the spec differs from that of the dataset")
        told, loaded = read_manifest(self.data_path), self.builder_config.loaded
        if told and loaded and epath.Path(loaded.root).exists():
            problems += differences(told["inputs"], corpus.inputs_now(loaded))
        if problems:
            remedy = "raise its `version:`, or overwrite the dataset"
            raise SpecError(
                [Problem(where=self.info.full_name, what=what, remedy=remedy) for what in problems],
                headline=f"Inputs differ from what {self.data_dir} was made from",
            )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager  # nothing is downloaded
        splits = self._in_memory().plan.splits
        return {name: self._generate_examples(records) for name, records in splits.items()}

    def _in_memory(self) -> corpus.CorpusInMemory:
        """What TFDS's own writers are given, while a build runs."""
        assert isinstance(self._planned, corpus.CorpusInMemory)
        return self._planned

    def _generate_examples(self, records: pd.DataFrame) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields (key, example); keys rise with the line, so that sorting by them keeps its order.

        TFDS deals keys into buckets by their leading bits of 128, hence the scale.
        """
        loaded = self._in_memory().accepted.loaded
        for place, example in enumerate(iter_examples(records, root=loaded.root, spec=loaded.spec)):
            key = ((2 * place + 1) << 127) // len(records)
            yield key, example

    def _download_and_prepare(
        self, dl_manager: Any, download_config: tfds.download.DownloadConfig
    ) -> None:
        if download_config.max_examples_per_split == 0:
            return
        planned = self._planned
        assert planned is not None
        bounds_of = functools.partial(
            shards.split_bounds,
            num_shards=download_config.num_shards,
            min_bytes=download_config.min_shard_size,
            max_bytes=download_config.max_shard_size,
        )
        max_records = download_config.max_examples_per_split

        def cut_of(planned: corpus.PlannedCorpus) -> corpus.CutCorpus:
            return planned.cut(bounds_of, max_records=max_records)

        folder = epath.Path(self.data_dir)
        if self.builder_config.engine == "tfds":
            (folder / RESULTS).mkdir()
            # Sorted by key while writing; reading must stay free to shuffle files.
            with py_utils.temporary_assignment(self.info.as_proto, "disable_shuffling", True):
                super()._download_and_prepare(dl_manager, download_config)
            written = self._written_by_tfds(planned, cut_of(planned))
        else:
            written = write_usable(
                planned,
                self._engine,
                cut_of=cut_of,
                tasks_of=functools.partial(self._tasks, planned.accepted.loaded),
                folder=epath.Path(absolute(folder)),
                leftovers=self._leftovers,
            )
            self._set_splits(written.results)
        planned, cut = written.planned, written.cut
        self.info.metadata.update(planned.metadata(cut, counters=written.counters))
        self.info.write_to_directory(self.data_dir)
        dataset_writing.finish(
            folder,
            written.results,
            planned=cut.num_records,
            spec=planned.accepted.loaded.spec,
            inputs=planned.accepted.inputs,
            is_whole=planned.is_whole(cut),
        )
        self._written = list(itertools.chain(*written.results.values()))

    def _tasks(self, loaded: LoadedSpec, cut: corpus.CutCorpus) -> Tasks:
        return {
            name: shards.make_tasks(
                part,
                spec=loaded.spec,
                root=loaded.root,
                file_format=self.info.file_format.value,
                template=self._get_filename_template(split_name=name),
            )
            for name, part in cut.shards.items()
        }

    def _set_splits(self, results: Mapping[str, Sequence[ShardResult]]) -> None:
        infos = [
            tfds_splits.SplitInfo(
                name=name,
                shard_lengths=[result.num_examples for result in of_split],
                num_bytes=sum(result.num_bytes for result in of_split),
                filename_template=self._get_filename_template(split_name=name),
            )
            for name, of_split in results.items()
        ]
        self.info.set_splits(tfds_splits.SplitDict(infos))

    def _written_by_tfds(self, planned: corpus.PlannedCorpus, cut: corpus.CutCorpus) -> Written:
        """What TFDS's own writers wrote, told as the engines tell it."""
        written: dict[str, list[ShardResult]] = {}
        for name, part in cut.shards.items():
            tables = [shard for shard, _ in part if isinstance(shard, pd.DataFrame)]
            records, begin = pd.concat(tables), 0
            split = self.info.splits[name]
            for path, number in zip(split.filepaths, split.shard_lengths, strict=True):
                shard, begin = records.iloc[begin : begin + number], begin + number
                written.setdefault(name, []).append(result_of(path, shard, self._spec))
        return Written(planned=planned, cut=cut, results=written, counters={})


@contextlib.contextmanager
def _in_plain_words(what: str) -> Iterator[None]:
    """A disk that is full or fails is told without a traceback, and without the name of a file."""
    try:
        yield
    except storage_errors() as error:
        is_of_storage = getattr(error, "filename", None) is not None
        if isinstance(error, ConnectionError | TimeoutError) and not is_of_storage:
            raise  # it is a runner's
        raise BuildError(f"{what}: {in_words(error)}") from None


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
