"""The command line: `medical-images` and its commands, one module each."""

from __future__ import annotations

import os
import sys

import click
from absl import logging

from medical_images._version import __version__
from medical_images.cli.build import build
from medical_images.cli.catalog import catalog
from medical_images.cli.certificate import certificate
from medical_images.cli.check import check
from medical_images.cli.init import init
from medical_images.cli.phantom import phantom
from medical_images.cli.report import report
from medical_images.cli.schema import schema
from medical_images.cli.verify import verify


class _InOrder(click.Group):
    """Lists commands in the order in which they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Medical images and their tables as TensorFlow Datasets.

    A corpus is described in one YAML file, its spec. For a folder of your own:

    \b
        medical-images init FOLDER          # drafts FOLDER/corpus.yaml
        medical-images check FOLDER/corpus.yaml
        medical-images build FOLDER/corpus.yaml
        medical-images report NAME          # a page that shows what was built

    For a well-known corpus (`medical-images catalog` lists them):

    \b
        medical-images catalog ham10000     # how to get it, and its terms
        medical-images build ham10000 --root ~/Downloads/HAM10000

    To try all this without any data: medical-images phantom my_phantom
    """


for _command in (catalog, init, check, build, report, certificate, verify, phantom, schema):
    cli.add_command(_command)


def main() -> None:
    """Runs the command line; a refused corpus exits with status 2, what else fails with 1."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.set_verbosity(logging.ERROR)  # TFDS warns of every config that no list holds
    from medical_images.errors import BuildError, CorpusError

    try:
        cli()
    except CorpusError as error:
        click.echo(error, err=True)
        sys.exit(2)
    except (BuildError, ImportError, OSError) as error:  # an extra is not installed, a disk is full
        click.echo(error, err=True)
        sys.exit(1)
