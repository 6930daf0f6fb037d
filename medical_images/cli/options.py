"""What several commands share: options, and how a built dataset is named."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import click

Command = Callable[..., Any]

data_dir: Callable[[Command], Command] = click.option(
    "--data-dir", type=click.Path(), help="Where TFDS datasets are; TFDS's default."
)
root: Callable[[Command], Command] = click.option(
    "--root",
    type=click.Path(),
    help="The corpus root. By default `root:` of the spec; of a corpus of the catalog, the folder"
    " of its name in DATA_DIR/downloads/manual.",
)
as_json: Callable[[Command], Command] = click.option(
    "--json", "as_json", is_flag=True, help="As JSON, for scripts."
)


def echo_json(told: Any) -> None:
    """Prints a value as JSON; what JSON does not know, as text."""
    click.echo(json.dumps(told, indent=1, default=str))


def located(spec: str, root: str | None, data_dir: str | None) -> str | None:
    """Returns the root of a corpus of the catalog in TFDS's folders, if no other is given."""
    from medical_images.spec import is_of_catalog, manual_root

    if root is None and data_dir is not None and is_of_catalog(spec):
        return manual_root(spec, manual_dir=os.path.join(data_dir, "downloads", "manual"))
    return root


def built(name: str, data_dir: str | None) -> Any:
    """Returns the builder of a dataset named by its config, its full name or its folder."""
    import tensorflow_datasets as tfds

    from medical_images.paths import is_remote

    # A folder that only has the name of a dataset, such as that of its corpus, is not meant.
    if is_remote(name) or os.path.isfile(os.path.join(name, "dataset_info.json")):
        try:
            return tfds.builder_from_directory(name)
        except Exception as error:
            what = f"the dataset in '{name}' cannot be read ({type(error).__name__}: {error})"
            raise click.UsageError(what) from error
    try:
        full = name if "/" in name else f"medical_images/{name}"
        builder = tfds.builder(full, data_dir=data_dir)
        if not builder.is_prepared():
            raise FileNotFoundError(full)
        return builder
    except Exception as error:  # TFDS has an error of its own for each way not to find one
        where = data_dir or "the data folder of TFDS"
        what = f"there is no dataset '{name}' in {where}; is it in another --data-dir?"
        raise click.UsageError(what) from error
