"""`medical-images phantom`: a synthetic corpus to try everything with."""

from __future__ import annotations

import shlex

import click

from medical_images.progress import progress_bar


@click.command(short_help="Write a synthetic corpus.")
@click.argument("out", type=click.Path(file_okay=False))
@click.option(
    "--images",
    type=click.IntRange(1, 9_999_999),
    default=2000,
    show_default=True,
    help="How many images.",
)
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
        with progress_bar(images, "Drawing") as bar:
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
    click.echo(f"{spec}\nBuild it with: medical-images build {shlex.quote(str(spec))}")
