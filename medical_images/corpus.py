"""The first phase of a build: everything that can be refused is refused here, before writing."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from etils import epath

from medical_images import certification, images, tables
from medical_images.errors import CorpusError
from medical_images.join import Joined, check_rejects, join_images
from medical_images.plan import Plan, plan_records
from medical_images.spec import LoadedSpec


@dataclasses.dataclass(frozen=True)
class PlannedCorpus:
    """A corpus that was read, joined, accepted and planned.

    Attributes:
      loaded: Its spec.
      joined: Records and the log of rejects.
      plan: Splits and order.
      rejects_path: Where the rejects are listed; None if there are none.
    """

    loaded: LoadedSpec
    joined: Joined
    plan: Plan
    rejects_path: str | None

    def metadata(self, plan: Plan) -> dict[str, Any]:
        """Returns what the dataset says of itself: class counts, certificate, rejects."""
        spec = self.loaded.spec
        return {
            "class_counts": certification.class_counts(plan, spec),
            "certificate": certification.certify(plan, spec),
            "rejects": self.joined.log.counts(),
            "rows": self.joined.num_rows,
            "image_files": self.joined.num_files,
        }

    def summary(self) -> str:
        """Says in a few lines what was found."""
        splits = ", ".join(f"{name} {len(r):,}" for name, r in self.plan.splits.items())
        lines = [
            f"{self.joined.num_rows:,} rows and {self.joined.num_files:,} image files:"
            f" {self.plan.num_records:,} images to write ({splits})"
        ]
        for outcome, codes in self.joined.log.counts().items():
            listed = ", ".join(f"{count:,} {code}" for code, count in codes.items())
            lines.append(f"{outcome}: {listed}")
        if self.rejects_path:
            lines.append(f"listed in {self.rejects_path} (personal data, readable by you only)")
        return "\n".join(lines)


def plan_corpus(loaded: LoadedSpec) -> PlannedCorpus:
    """Reads tables and lists images, joins them, and plans splits and order.

    Args:
      loaded: The spec and the corpus root.

    Raises:
      CorpusError: The corpus cannot be used as it is; nothing but the rejects file was written.
    """
    spec, root = loaded.spec, loaded.root
    rows = tables.read_rows(spec, root=root, source=loaded.source) if spec.tables else None
    files = images.list_images(
        root,
        spec.images.templates,
        exclude={table.path for table in spec.tables} | _own_files(loaded),
        pixel_sizes=spec.boxes is not None,
    )
    joined = join_images(rows, files, spec)
    rejects_path = _write_rejects(joined, loaded)
    listed = f"All of them are listed in {rejects_path}" if rejects_path else ""
    check_rejects(joined, spec, epilog=f"{listed} (personal data, readable by you only)")
    return PlannedCorpus(loaded, joined, plan_records(joined.records, spec), rejects_path)


def _own_files(loaded: LoadedSpec) -> set[str]:
    """Returns the spec and the list of rejects as paths relative to the root."""
    if loaded.path is None or "://" in loaded.root + loaded.path:
        return set()
    own = [loaded.path, *_reject_paths(loaded)]
    return {os.path.relpath(path, loaded.root) for path in own}


def _write_rejects(joined: Joined, loaded: LoadedSpec) -> str | None:
    """Lists rejects beside the spec, or in the user's state folder where that is read-only."""
    for path in _reject_paths(loaded):
        try:
            if joined.log.entries.empty:
                if os.path.isfile(path):
                    os.remove(path)  # of an earlier build; it would no longer be true
                return None
            os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
            joined.log.write(path)
        except OSError:
            continue
        return path
    if joined.log.entries.empty:
        return None
    raise CorpusError([], headline="The rejects file cannot be written; name one: `rejects: file:`")


def _reject_paths(loaded: LoadedSpec) -> list[str]:
    name = f"{loaded.spec.name}.rejects.csv"
    named = loaded.spec.rejects.file
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    fallback = os.path.join(state, "medical_images", name)
    if loaded.path is None or "://" in loaded.path:
        return [named or fallback]
    folder = epath.Path(loaded.path).parent
    return [os.fspath(folder / (named or name)), *([] if named else [fallback])]
