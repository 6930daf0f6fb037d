"""`medical-images init`: a draft of a spec from a folder."""

from __future__ import annotations

import dataclasses
import os
import shlex

import click

from medical_images.cli import options


@click.command(short_help="Draft the spec of a folder.")
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@click.option(
    "--table",
    "tables",
    multiple=True,
    help="A table below FOLDER; repeat it for several, in the order of their joins. By default"
    " they are looked for.",
)
@click.option("--name", help="The dataset's name; by default that of the folder.")
@click.option(
    "--out", type=click.Path(dir_okay=False), help="Where to write it. [FOLDER/corpus.yaml]"
)
@options.as_json
def init(
    folder: str, tables: tuple[str, ...], name: str | None, out: str | None, as_json: bool
) -> None:
    """Draft the spec of the corpus in FOLDER, and say what the draft is unsure of.

    \b
        medical-images init ~/my_corpus
        medical-images init ~/my_corpus --table metadata.csv --table patients.csv

    It looks for images and tables, for the column that names the images, for types, classes,
    missing values, patients and official splits. Read what it wrote: guesses are marked `# ?`, and
    what only you can tell is `???`. Nothing but the spec is written, and an older one is kept.
    """
    from medical_images.infer import infer_spec

    path = out or os.path.join(folder, "corpus.yaml")
    is_there = click.UsageError(f"{path} is there already; give another one as --out")
    if os.path.lexists(path):
        raise is_there
    draft = infer_spec(folder, tables=tables, name=name)
    try:
        draft.write(path)
    except FileExistsError:
        raise is_there from None
    if as_json:
        questions = [dataclasses.asdict(question) for question in draft.questions]
        options.echo_json({"spec": path, "questions": questions})
        return
    click.echo(draft)
    click.echo(f"\nWritten to {path}. Read it, then: medical-images check {shlex.quote(path)}")
