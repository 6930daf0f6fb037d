"""`medical-images build`: a corpus becomes a dataset."""

from __future__ import annotations

import shlex

import click

from medical_images.cli import options


@click.command(short_help="Build a corpus into a dataset.")
@click.argument("spec", type=click.Path())
@click.option("--name", help="The dataset's config name; by default the spec's own.")
@options.root
@options.data_dir
@click.option(
    "--file-format",
    type=click.Choice(["tfrecord", "array_record"]),
    default="tfrecord",
    show_default=True,
    help="array_record is for random access (as_data_source, Grain, PyTorch).",
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes; all cores by default.")
@click.option("--overwrite", is_flag=True, help="Replace a dataset built before.")
def build(
    spec: str,
    name: str | None,
    root: str | None,
    data_dir: str | None,
    file_format: str,
    workers: int | None,
    overwrite: bool,
) -> None:
    """Build the corpus that SPEC describes.

    SPEC is a YAML file, a folder with a corpus.yaml, or a name of the catalog.

    \b
        medical-images build corpus.yaml
        medical-images build ham10000 --root ~/Downloads/HAM10000

    All that is wrong with spec, tables and file names is told at once, before anything is written;
    the exit status is then 2. An image that turns out unusable while it is written stops the build
    with exit status 1, unless the spec accepts it; a dataset built before is then kept. A build
    that was stopped goes on where it was. For Beam, Flink and Dataflow see `tfds build`:

    \b
        tfds build medical_images --imports medical_images --config '{"spec": "corpus.yaml"}'
    """
    import tensorflow_datasets as tfds

    from medical_images.errors import Problem, SpecError
    from medical_images.medical_images_dataset_builder import Builder, MedicalImagesConfig
    from medical_images.remote import why_unreachable

    if data_dir is not None and (found := why_unreachable(data_dir)):
        raise SpecError([Problem(where=data_dir, what=found[0], remedy=found[1])])
    config = MedicalImagesConfig(name=name or "", spec=spec, root=root, num_workers=workers)
    builder = Builder(config=config, data_dir=data_dir)
    if builder.is_prepared() and not overwrite:
        builder.download_and_prepare()  # refuses a spec that has changed since
        click.echo(f"{builder.data_dir} is built already; --overwrite builds it anew")
        return
    # A builder that sees an older dataset has taken over its format.
    builder.info.set_file_format(file_format, override=True, override_if_initialized=True)
    modes = tfds.download.GenerateMode
    mode = modes.REUSE_CACHE_IF_EXISTS if overwrite else modes.REUSE_DATASET_IF_EXISTS
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(download_mode=mode))
    there = "" if data_dir is None else f", data_dir={data_dir!r}"
    click.echo(f"To load it: tfds.load('{builder.name}/{config.name}'{there})")
    there = "" if data_dir is None else f" --data-dir {shlex.quote(data_dir)}"
    click.echo(f"To look at it: medical-images report {config.name}{there}")
