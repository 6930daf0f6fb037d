"""The key of pseudonyms and of moved dates: a secret from outside, which is never passed on.

Each process that needs it reads it itself, from its own environment or from the file that the spec
names. What goes from process to process is where it is, and a check value that tells it from
others.
"""

from __future__ import annotations

import hmac
import os
import stat
from collections.abc import Collection
from typing import NoReturn

from etils import epath

from medical_images.errors import BuildError, Problem, SpecError
from medical_images.paths import is_remote, joined
from medical_images.remote import in_words, storage_errors
from medical_images.spec import CorpusSpec, LoadedSpec
from medical_images.spec_parts import normal_form
from medical_images.spec_privacy import KEY_VARIABLE, Privacy

_FEWEST_BYTES, _MOST_BYTES = 16, 4096
_REMEDY = (
    "make one with `openssl rand -hex 32`, or with"
    " `python3 -c 'import secrets; print(secrets.token_hex(32))'`, and keep it"
)
# No cell holds NUL, so that nothing else made by the key is ever the pseudonym of a cell.
_DAYS, _CHECK = b"\0days\0", b"\0check\0"


class Key:
    """A secret. It is not pickled, and what is shown of it is that it is one.

    Args:
      secret: At least 16 bytes.

    Raises:
      ValueError: They are fewer.

    Example:
      >>> key = Key(b'an example of a key, not one to use')
      >>> key, key.pseudonym('patient 7')
      (Key(hidden), 'd8ec8bfb8a87829ab7e9ba670a924905')
    """

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        if len(secret) < _FEWEST_BYTES:
            raise ValueError(f"a key has at least {_FEWEST_BYTES} bytes")
        self._secret = secret

    def pseudonym(self, cell: str) -> str:
        """Returns the first 32 hexadecimal digits of HMAC-SHA256 of a cell in its normal form."""
        return self._digest(_encoded(cell))[:16].hex()

    def days(self, patient: str, *, max_days: int) -> int:
        """Returns by how many days the dates of a patient are moved, 1 to `max_days`."""
        return 1 + int.from_bytes(self._digest(_DAYS + _encoded(patient))) % max_days

    @property
    def check(self) -> str:
        """What tells the key from others: 8 hexadecimal digits of HMAC-SHA256 of a fixed text.

        These 32 bits say nothing about a random key; of a key that can be guessed, neither they nor
        pseudonyms keep anything.
        """
        return self._digest(_CHECK)[:4].hex()

    def _digest(self, message: bytes) -> bytes:
        return hmac.digest(self._secret, message, "sha256")

    def __repr__(self) -> str:
        return "Key(hidden)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        del protocol
        raise TypeError("a key is not pickled; each process reads it itself")


def with_key(loaded: LoadedSpec) -> LoadedSpec:
    """Reads the key, before anything else of a corpus is read; returns the spec of a build with it.

    Args:
      loaded: A spec, which may need no key; then it is returned as it is.

    Returns:
      The spec with the place and the check value of the key, and not the key.

    Raises:
      SpecError: There is no key, it has fewer than 16 bytes, others can read its file, or that
        stands among the images.
    """
    privacy = loaded.spec.privacy
    if not privacy.needs_key:
        return loaded
    path = None
    if privacy.key_file is not None:
        path = joined(os.path.dirname(loaded.path) if loaded.path else ".", privacy.key_file)
        _refuse_among_images(path, loaded)
    place = ("privacy",) if path is None else ("privacy", "key_file")
    key = _read(path, where=loaded.source.where(place))
    begun = privacy.begun_with(path=path, check=key.check)
    return loaded.model_copy(update={"spec": loaded.spec.model_copy(update={"privacy": begun})})


def read_key(privacy: Privacy) -> Key:
    """Reads the key in any process of a build.

    Raises:
      SpecError: As by `with_key`.
      BuildError: It is another one than that which the build was begun with.
    """
    key = _read(privacy.key_path, where="privacy")
    if privacy.key_check not in (None, key.check):
        raise BuildError(
            "a worker was given another key than the process that began the build; see"
            f" {KEY_VARIABLE} and `key_file:`"
        )
    return key


def lines_as_cells(lines: Collection[str], spec: CorpusSpec) -> Collection[str]:
    """Returns the lines of a list of official splits as the cells of `on:` stand in rows."""
    if spec.splits.on not in spec.privacy.pseudonymize:
        return lines
    key = read_key(spec.privacy)
    return [key.pseudonym(line) for line in lines]


def _read(path: str | None, *, where: str) -> Key:
    try:
        # No variable holds the key: what shows those of frames shows none.
        return Key((_of_environment() if path is None else _of_file(path)).rstrip(b"\r\n"))
    except ValueError as error:
        what = f"{_called(path)}: {error}"
    except FileNotFoundError:
        what = f"{_called(path)} does not exist; `key_file:` is its path, and not the key itself"
    except PermissionError:
        what = f"{_called(path)} cannot be read"
    except storage_errors() as error:
        what = f"{_called(path)} cannot be read: {in_words(error)}"
    raise SpecError(
        [Problem(where=where, what=what, remedy=_REMEDY)], headline="There is no key to hide by"
    ) from None


def _of_environment() -> bytes:
    text = os.environ.get(KEY_VARIABLE)
    if not text:
        raise ValueError("is not set, and the spec names no `key_file:`")
    return os.fsencode(text)


def _of_file(path: str) -> bytes:
    if is_remote(path):
        found: bytes = epath.Path(path).read_bytes()
        return found[: _MOST_BYTES + 1]
    # A pipe would be waited for; and what is looked at must be what is read.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise ValueError("is no regular file")
        if mode & 0o077:
            raise ValueError(f"others can read it (mode {stat.S_IMODE(mode):03o}); `chmod 600` it")
        found = file.read(_MOST_BYTES + 1)
    if len(found) > _MOST_BYTES:
        raise ValueError(f"is no key: it has more than {_MOST_BYTES:,} bytes")
    return found


def _called(path: str | None) -> str:
    # A path is not said: who takes `key_file:` for `key:` writes the key there.
    return f"the environment variable {KEY_VARIABLE}" if path is None else "the key file"


def _refuse_among_images(path: str, loaded: LoadedSpec) -> None:
    """Whoever is given the images must not be given the key with them."""
    folders = {joined(loaded.root, template.folder) for template in loaded.spec.images.templates}
    if any(_is_below(path, folder) for folder in folders):
        problem = Problem(
            where=loaded.source.where(("privacy", "key_file")),
            what="the key file stands among the images",
            remedy="keep it apart, such as in ~/.config/medical_images/key",
        )
        raise SpecError([problem], headline="There is no key to hide by")


def _is_below(path: str, folder: str) -> bool:
    if is_remote(path) != is_remote(folder):
        return False
    if not is_remote(path):
        path, folder = os.path.realpath(path), os.path.realpath(folder)
    return path.startswith(folder.rstrip("/") + "/")


def _encoded(cell: str) -> bytes:
    return normal_form(cell).encode("utf-8", "surrogatepass")
