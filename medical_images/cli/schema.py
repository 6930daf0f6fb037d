"""`medical-images schema`: the format of the spec, for editors."""

from __future__ import annotations

import click

from medical_images.cli import options


@click.command(short_help="Print the spec's JSON schema, for editors.")
def schema() -> None:
    """Print the JSON schema of `corpus.yaml`, for completion and checks in an editor.

    \b
        medical-images schema > corpus.schema.json

    and, as the first line of corpus.yaml, for the YAML language server:

    \b
        # yaml-language-server: $schema=corpus.schema.json
    """
    from medical_images.spec_guide import spec_schema

    options.echo_json(spec_schema())
