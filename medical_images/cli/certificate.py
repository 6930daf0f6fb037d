"""`medical-images certificate`: what the splits of a dataset hold."""

from __future__ import annotations

import click

from medical_images.cli import options


@click.command(short_help="What the splits of a dataset hold.")
@click.argument("name")
@options.data_dir
@options.as_json
def certificate(name: str, data_dir: str | None, as_json: bool) -> None:
    """Show what the splits of the dataset NAME were to hold, and what they hold.

    NAME is a config such as `mine` (of `medical_images/mine`), or the folder of a built dataset.
    """
    from medical_images.dataset_certificate import certificate as certificate_of

    try:
        told = certificate_of(options.built(name, data_dir))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if as_json:
        options.echo_json(told)
    else:
        click.echo(told)
