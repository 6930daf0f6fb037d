"""`medical-images verify`: are the files of a dataset as they were written?"""

from __future__ import annotations

import sys

import click

from medical_images.cli import options


@click.command(short_help="Read all files of a dataset again.")
@click.argument("name")
@options.data_dir
@options.as_json
def verify(name: str, data_dir: str | None, as_json: bool) -> None:
    """Read all files of the dataset NAME and tell which are damaged or missing.

    NAME is a config such as `mine` (of `medical_images/mine`), or the folder of a built dataset.
    The exit status is 1 if anything is not as it was written.
    """
    from medical_images.verification import verify as verify_dataset

    builder = options.built(name, data_dir)
    try:
        problems = verify_dataset(builder, progress=not as_json)
    except FileNotFoundError as error:
        raise click.UsageError(str(error)) from None
    num_examples = sum(split.num_examples for split in builder.info.splits.values())
    if as_json:
        options.echo_json({"examples": num_examples, "problems": problems})
    elif problems:
        click.echo("\n".join(problems), err=True)
    else:
        click.echo(f"{builder.data_dir}: {num_examples:,} examples, all as they were written")
    sys.exit(1 if problems else 0)
