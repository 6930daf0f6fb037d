"""`medical-images catalog`: well-known corpora, how to get them, and their specs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import rich.box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from medical_images.cli import options

if TYPE_CHECKING:
    from medical_images.spec_splits import Splits


@click.command(short_help="Well-known corpora, and how to get them.")
@click.argument("name", required=False)
@click.option("--spec", "shows_spec", is_flag=True, help="Print the spec, to copy and change.")
@options.data_dir
@options.as_json
def catalog(name: str | None, shows_spec: bool, data_dir: str | None, as_json: bool) -> None:
    """List well-known corpora, or tell how to get the corpus NAME, and its terms.

    \b
        medical-images catalog
        medical-images catalog ham10000
        medical-images catalog ham10000 --spec > my_ham10000.yaml

    The images are not in this package: download them as it is told, then `medical-images build`.
    """
    from medical_images.catalog import names, path_of

    if shows_spec:
        if name is None:
            raise click.UsageError("--spec prints the spec of one corpus: give its NAME")
        click.echo(path_of(name).read_text(encoding="utf-8"), nl=False)
    elif name is None:
        _list([_facts(each, data_dir) for each in names()], as_json=as_json)
    else:
        path_of(name)  # refuses a name that is not there
        _tell(_facts(name, data_dir), as_json=as_json)


def _facts(name: str, data_dir: str | None) -> dict[str, Any]:
    from medical_images.spec import load_spec, manual_root

    root = options.located(name, None, data_dir) or manual_root(name)
    spec = load_spec(name, root=root).spec
    told = spec.model_dump(include={"name", "description", "homepage", "license", "citation"})
    return {
        **told,
        **spec.about.model_dump(),
        "group": list(spec.group),
        "splits": _splits(spec.splits),
        "root": root,
    }


def _splits(splits: Splits) -> str:
    """Tells which splits are official and which are planned."""
    kinds = {"official": splits.official, "planned": [*splits.sizes, *splits.fold_names]}
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names)


def _list(corpora: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        options.echo_json(corpora)
        return
    table = Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("name", no_wrap=True, style="bold")
    table.add_column("images", justify="right", no_wrap=True)
    table.add_column("access", no_wrap=True)
    table.add_column("corpus")
    for told in corpora:
        title = told["title"]
        if told["modality"].lower() not in title.lower():
            title += f": {told['modality']}"
        cells = (told["name"], _number(told), told["access"], title)
        table.add_row(*map(escape, cells))
    Console().print(table)
    click.echo("medical-images catalog NAME tells how to get one, and its terms.")


def _number(told: dict[str, Any]) -> str:
    return "" if told["num_images"] is None else f"{told['num_images']:,}"


def _tell(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        options.echo_json(told)
        return
    console = Console(highlight=False)
    console.print(f"[bold]{escape(told['title'])}[/bold]\n{escape(told['description'])}\n")
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="bold", no_wrap=True)
    rows.add_column()
    number = _number(told)
    if told["num_patients"] is not None:
        number += f" of {told['num_patients']:,} patients"
    for label, text in (
        ("images", number),
        ("kind", told["modality"]),
        ("access", told["access"]),
        ("licence", told["license"]),
        ("homepage", told["homepage"]),
        ("cite", told["citation"]),
        ("splits", told["splits"]),
        ("kept together by", ", ".join(told["group"]) or "nothing: each image is alone"),
        ("overlaps with", ", ".join(told["overlaps"])),
    ):
        if text:
            rows.add_row(label, escape(text))
    console.print(rows)
    for heading, sentences in (
        ("How to get it", told["get"]),
        ("What to know", told["warnings"]),
        ("Not verified", told["unverified"]),
    ):
        if sentences:
            console.print(f"\n[bold]{heading}[/bold]")
            listed = Table.grid(padding=(0, 1))
            for sentence in sentences:
                listed.add_row("-", escape(sentence))
            console.print(listed)
    console.print(f"\n[bold]Put it[/bold] into {escape(told['root'])}, or say where it is:")
    click.echo(f"    medical-images check {told['name']} --root FOLDER")
    click.echo(f"    medical-images build {told['name']} --root FOLDER")
