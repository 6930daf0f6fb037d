"""`medical-images check`: all that can be said of a corpus before it is built."""

from __future__ import annotations

import sys

import click

from medical_images.cli import options


@click.command(short_help="Say what a build would write and reject.")
@click.argument("spec", type=click.Path())
@options.root
@options.data_dir
@click.option(
    "--audit",
    is_flag=True,
    help="Also read all images and look for near copies (pip install 'medical_images[audit]').",
)
@click.option("--strict", is_flag=True, help="Exit with status 1 if there is any warning.")
@options.as_json
def check(
    spec: str, root: str | None, data_dir: str | None, audit: bool, strict: bool, as_json: bool
) -> None:
    """Say what a build of SPEC would write and reject, without writing anything.

    SPEC is a YAML file, a folder with a corpus.yaml, or a name of the catalog.

    \b
        medical-images check corpus.yaml
        medical-images check ham10000 --root ~/Downloads/HAM10000 --audit

    It reads tables, lists files, joins them and plans the splits, as a build does, and decodes a
    sample of the images. The exit status is 0 if the corpus would be built, 2 if it is refused.
    """
    from medical_images.checking import check as check_corpus

    found = check_corpus(
        spec,
        root=options.located(spec, root, data_dir),
        data_dir=data_dir,
        audit=audit,
        progress=not as_json,
    )
    if as_json:
        options.echo_json(found.as_dict())
    else:
        click.echo(found)
    sys.exit(found.status or int(strict and found.has_warnings))
