"""The command line: `medical-images build`, `certificate`, `verify` and `phantom`."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import click
import tqdm

from medical_images._version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Medical images and their tables as TensorFlow Datasets.

    A corpus is described in one YAML file; see the README for its format. To look at a corpus and
    its spec, write the synthetic one:

        medical-images phantom my_phantom && cat my_phantom/corpus.yaml
    """


@cli.command()
@click.argument("out", type=click.Path(file_okay=False))
@click.option("--images", default=2000, show_default=True, help="How many images.")
@click.option("--size", default="128x96", show_default=True, help="Width x height in pixels.")
@click.option("--seed", default=0, show_default=True, help="Another seed, another corpus.")
def phantom(out: str, images: int, size: str, seed: int) -> None:
    """Write the synthetic corpus (images, tables, corpus.yaml) to the folder OUT.

    The same options give the same bytes on every machine.
    """
    from medical_images.phantom import write_phantom

    width, _, height = size.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise click.BadParameter("write it as WIDTHxHEIGHT, such as 600x450", param_hint="--size")
    try:
        with tqdm.tqdm(total=images, unit=" images", desc="Drawing") as bar:
            spec = write_phantom(
                out,
                num_images=images,
                height=int(height),
                width=int(width),
                seed=seed,
                progress=lambda done: (bar.update(done), None)[1],
            )
    except (ValueError, FileExistsError) as error:
        raise click.UsageError(str(error)) from None
    click.echo(f"{spec}\nBuild it with: medical-images build {spec}")


@cli.command()
@click.argument("spec", type=click.Path())
@click.option("--name", help="The dataset's config name; by default the spec's own.")
@click.option("--root", type=click.Path(), help="The corpus root; by default `root:` of the spec.")
@click.option("--data-dir", type=click.Path(), help="Where TFDS datasets are; TFDS's default.")
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
    """Build the corpus that the file SPEC describes.

    The same as `tfds build medical_images --imports medical_images --config '{"spec": SPEC}'`.
    All that is wrong with spec, tables and file names is told at once, before anything is written;
    the exit status is then 2. An image that turns out unusable while it is written stops the build
    with exit status 1; a dataset built before is then kept.
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
    click.echo(f"tfds.load('{builder.name}/{config.name}')  # from {builder.data_dir_root}")


@cli.command()
@click.argument("name")
@click.option("--data-dir", type=click.Path(), help="Where TFDS datasets are; TFDS's default.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
def certificate(name: str, data_dir: str | None, as_json: bool) -> None:
    """Show what the splits of the dataset NAME were to hold, and what they hold.

    NAME is a config such as `mine` (of `medical_images/mine`), or the folder of a built dataset.
    """
    from medical_images.dataset_certificate import certificate as certificate_of

    try:
        told = certificate_of(_built(name, data_dir))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    click.echo(json.dumps(told, indent=1) if as_json else told)


@cli.command()
@click.argument("name")
@click.option("--data-dir", type=click.Path(), help="Where TFDS datasets are; TFDS's default.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
def verify(name: str, data_dir: str | None, as_json: bool) -> None:
    """Read all files of the dataset NAME and tell which are damaged or missing.

    NAME is a config such as `mine` (of `medical_images/mine`), or the folder of a built dataset.
    The exit status is 1 if anything is not as it was written.
    """
    from medical_images.verification import verify as verify_dataset

    builder = _built(name, data_dir)
    try:
        problems = verify_dataset(builder, progress=not as_json)
    except FileNotFoundError as error:
        raise click.UsageError(str(error)) from None
    num_examples = sum(split.num_examples for split in builder.info.splits.values())
    if as_json:
        click.echo(json.dumps({"examples": num_examples, "problems": problems}, indent=1))
    elif problems:
        click.echo("\n".join(problems), err=True)
    else:
        click.echo(f"{builder.data_dir}: {num_examples:,} examples, all as they were written")
    sys.exit(1 if problems else 0)


def _built(name: str, data_dir: str | None) -> Any:
    """Returns the builder of a dataset named by its config, its full name or its folder."""
    import tensorflow_datasets as tfds

    from medical_images.paths import is_remote

    try:
        if os.path.isdir(name) or is_remote(name):
            return tfds.builder_from_directory(name)
        full = name if "/" in name else f"medical_images/{name}"
        return tfds.builder(full, data_dir=data_dir)
    except Exception as error:  # TFDS has an error of its own for each way not to find one
        where = "" if os.path.isdir(name) else f" in {data_dir or 'the data folder of TFDS'}"
        raise click.UsageError(f"there is no dataset '{name}'{where}") from error


def main() -> None:
    """Runs the command line; a refused corpus exits with status 2."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from medical_images.errors import BuildError, CorpusError

    try:
        cli()
    except (CorpusError, BuildError) as error:
        click.echo(error, err=True)
        sys.exit(2 if isinstance(error, CorpusError) else 1)


if __name__ == "__main__":
    main()
