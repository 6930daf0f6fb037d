"""An older dataset stays until the one that replaces it is complete."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from etils import epath

from medical_images.errors import BuildError
from medical_images.paths import is_remote
from medical_images.remote import move_folder, remove_folder, storage_errors

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

_INFO = "dataset_info.json"  # where it stands, the dataset is complete


@contextlib.contextmanager
def replacing(builder: tfds.core.DatasetBuilder) -> Iterator[None]:
    """Keeps the older dataset of a builder, if there is one, until its new one is complete.

    A local folder is renamed meanwhile, see `set_aside`. A remote one stays where it is, since
    there renaming is copying: the builder writes to another folder beside it, whose files are moved
    in the end.

    Args:
      builder: What TFDS builds in the body.
    """
    is_far = is_remote(builder.data_dir)
    with (
        _written_beside(builder) if is_far else set_aside(builder.data_path),
        _info_of_its_own(builder),
    ):
        yield


@contextlib.contextmanager
def _info_of_its_own(builder: Any) -> Iterator[None]:
    """Lets a builder forget what it has read of the older dataset, but for the format."""
    info, older = builder.info, dict(vars(builder.info))
    if info.initialized:
        file_format = info.file_format
        vars(info).update(vars(builder._info()))
        info.set_file_format(file_format)
    try:
        yield
    except BaseException:
        vars(info).update(older)
        raise


@contextlib.contextmanager
def set_aside(folder: epath.Path) -> Iterator[None]:
    """Renames a dataset for as long as it is replaced; if no new one comes, it comes back.

    To be used with the lock of the dataset held: an older dataset that stands aside then was left
    there by a build that was killed, and comes back first.

    Args:
      folder: The dataset's local folder; nothing is done where it does not exist.
    """
    bring_back(folder)
    if not folder.exists():
        yield
        return
    aside = _aside(folder)
    folder.rename(aside)
    try:
        yield
    finally:
        if folder.exists():
            aside.rmtree()
        else:
            aside.rename(folder)


def bring_back(folder: epath.Path) -> None:
    """Renames a dataset back that a killed build set aside, or removes it if there is a new one.

    Args:
      folder: The dataset's local folder, whose lock is held.
    """
    aside = _aside(folder)
    if aside.exists():
        if folder.exists():
            aside.rmtree()
        else:
            aside.rename(folder)


def _aside(folder: epath.Path) -> epath.Path:
    return folder.parent / f".{folder.name}.replaced"


@contextlib.contextmanager
def _written_beside(builder: Any) -> Iterator[None]:
    """Lets TFDS write to a folder beside that of the dataset, and moves it there in the end.

    TFDS itself writes to a temporary folder and renames it, but not all stores can rename folders,
    and where they can, `dataset_info.json` is there before the shards are. So its temporary folder
    is left out here.
    """
    from tensorflow_datasets.core import utils

    folder = builder.data_path
    beside = folder.parent / f"incomplete.{uuid.uuid4().hex[:6]}_{folder.name}"
    usual = utils.incomplete_dir

    @contextlib.contextmanager
    def incomplete_dir(dirname: str, **kwargs: Any) -> Iterator[str]:
        if os.fspath(dirname) == os.fspath(beside):
            beside.mkdir(parents=True, exist_ok=True)
            yield os.fspath(dirname)
        else:  # another thread's
            with usual(dirname, **kwargs) as path:
                yield path

    try:
        with (
            utils.temporary_assignment(utils, "incomplete_dir", incomplete_dir),
            utils.temporary_assignment(builder, "_data_dir", os.fspath(beside)),
        ):
            yield
    except BaseException:
        remove_folder(beside, first=_INFO)
        raise
    try:
        remove_folder(folder, first=_INFO)
        move_folder(beside, folder, last=_INFO)
    except storage_errors() as error:
        what = f"{beside} holds the new dataset, but its files could not all be moved to {folder}"
        raise BuildError(f"{what} ({type(error).__name__}: {error}); move the rest") from None
    builder.info.update_data_dir(os.fspath(folder))
