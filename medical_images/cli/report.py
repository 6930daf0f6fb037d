"""`medical-images report`: the data card of a dataset."""

from __future__ import annotations

import click

from medical_images.cli import options


@click.command(short_help="Write the data card of a dataset.")
@click.argument("name")
@click.option("--out", type=click.Path(dir_okay=False), help="The page to write. [NAME.html, here]")
@options.data_dir
@click.option(
    "--images/--no-images",
    default=True,
    show_default=True,
    help="Show examples of each class. They are images of patients.",
)
@click.option(
    "--min-cell",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Hide counts below this number, such as 5.",
)
@click.option(
    "--audit",
    is_flag=True,
    help="Also read all images and look for near copies (pip install 'medical_images[audit]').",
)
def report(
    name: str, out: str | None, data_dir: str | None, images: bool, min_cell: int, audit: bool
) -> None:
    """Write the data card of the dataset NAME: one HTML file that needs no network.

    It shows what the dataset is and where it is from, its features, classes and splits, examples,
    missing values, what was rejected, copies, what goes with the label, and how to build it again.
    Patients stand in it as numbers only; see --images and --min-cell before you pass it on.

    NAME is a config such as `mine` (of `medical_images/mine`), or the folder of a built dataset.
    """
    from medical_images.report import write_report

    if min_cell == 2:
        raise click.BadParameter(
            "2 would hide too little; give 1 or at least 3", param_hint="--min-cell"
        )
    builder = options.built(name, data_dir)
    config = builder.builder_config
    path = out or f"{config.name if config else builder.name}.html"
    try:
        written = write_report(builder, path, images=images, min_cell=min_cell, audit=audit)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    click.echo(f"{written}: open it in a browser")
