"""A dataset is written beside its place, and put there when it is complete."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from etils import epath

from medical_images.errors import BuildError
from medical_images.paths import is_remote
from medical_images.remote import in_words, move_folder, remove_folder, storage_errors

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

_INFO = "dataset_info.json"  # where it stands, the dataset is complete


def read_info(builder: Any) -> None:
    """Reads what a dataset tells that was not there yet when its builder was made."""
    vars(builder.info).update(vars(builder._info()))
    builder.info.read_from_directory(builder.data_dir)


def new_folder(dataset: epath.Path) -> epath.Path:
    """Names a folder beside a dataset for a build of it; if that is killed, the next one finds it.

    Example:
      >>> new_folder(epath.Path('/data/mine/1.0.0')).match('/data/mine/incomplete.*_1.0.0')
      True
    """
    return dataset.parent / f"incomplete.{uuid.uuid4().hex[:6]}_{dataset.name}"


@contextlib.contextmanager
def replacing(builder: tfds.core.DatasetBuilder, beside: epath.Path) -> Iterator[None]:
    """Lets TFDS write to a folder beside that of the dataset, and puts it there in the end.

    An older dataset is read in its place meanwhile.

    Args:
      builder: What TFDS builds in the body.
      beside: A `new_folder`. If the body fails, it is left as it is.
    """
    folder = builder.data_path
    with _info_of_its_own(builder):
        with _writing_to(beside, builder):
            yield
        (_move if is_remote(folder) else _swap)(beside, folder)
    builder.info.update_data_dir(os.fspath(folder))


def is_complete(folder: epath.Path) -> bool:
    """Tells a dataset from a part of one; the files of a remote one arrive one by one."""
    return bool((folder / _INFO).exists())


def bring_back(folder: epath.Path) -> None:
    """Ends what a build had begun that was killed while it put a dataset in the place of another.

    Args:
      folder: The dataset's local folder, whose lock is held.
    """
    aside = _aside(folder)
    if not aside.exists():
        return
    if not folder.exists():
        aside.rename(folder)
    elif not discard(aside):
        with contextlib.suppress(*storage_errors()):
            aside.rename(new_folder(folder))  # which the next build finds


def discard(folder: epath.Path) -> bool:
    """Removes a folder that is not needed, if it exists; that this fails is told, and no error.

    Returns:
      Whether it is gone.
    """
    try:
        folder.rmtree(missing_ok=True)
    except storage_errors() as error:
        print(f"{os.fspath(folder)} is not needed, and cannot be removed now: {in_words(error)}")
        return False
    return True


def _aside(folder: epath.Path) -> epath.Path:
    return folder.parent / f".{folder.name}.replaced"


def _swap(beside: epath.Path, folder: epath.Path) -> None:
    try:
        if folder.exists():
            folder.rename(_aside(folder))
        beside.rename(folder)
    finally:
        bring_back(folder)


def _move(beside: epath.Path, folder: epath.Path) -> None:
    """Moves the files of a remote folder; few stores can rename one."""
    try:
        remove_folder(folder, first=_INFO)
        move_folder(beside, folder, last=_INFO)
    except storage_errors() as error:
        what = f"{beside} holds the new dataset, but its files could not all be copied to {folder}"
        raise BuildError(f"{what} ({in_words(error)}); build again, or copy the rest") from None


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
def _writing_to(beside: epath.Path, builder: Any) -> Iterator[None]:
    """Leaves out TFDS's own temporary folder, which it deletes when a build fails.

    So is its question for room on the disk, of 0 bytes.
    """
    from tensorflow_datasets.core import utils

    usual, asked = utils.incomplete_dir, utils.has_sufficient_disk_space

    @contextlib.contextmanager
    def incomplete_dir(dirname: str, **kwargs: Any) -> Iterator[str]:
        if os.fspath(dirname) == os.fspath(beside):
            beside.mkdir(parents=True, exist_ok=True)
            yield os.fspath(dirname)
        else:  # another thread's
            with usual(dirname, **kwargs) as path:
                yield path

    def has_sufficient_disk_space(needed_bytes: int, **kwargs: Any) -> bool:
        return not needed_bytes or bool(asked(needed_bytes, **kwargs))

    with (
        utils.temporary_assignment(utils, "incomplete_dir", incomplete_dir),
        utils.temporary_assignment(utils, "has_sufficient_disk_space", has_sufficient_disk_space),
        utils.temporary_assignment(builder, "_data_dir", os.fspath(beside)),
    ):
        yield
