"""Folders of generated data sets: written beside their place and renamed, so whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from olrsearch.core.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator


def check_free(out: Path) -> None:
    """Raise `DatasetError` unless `out` is not there, or is an empty folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DatasetError(f"{out} exists and is not empty; name another folder, or remove it")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out` to write to; it becomes `out` at the end of the block.

    After an error or an interruption within the block there is no `out`, and nothing is left over.

    Args:
        out: The folder to make; it may exist if it is empty.

    Raises:
        DatasetError: `out` exists and is not empty.
    """
    check_free(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield building
        building.chmod(0o777 & ~_umask())
        if out.exists():
            out.rmdir()  # empty, as was checked
        building.rename(out)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def _umask() -> int:
    """The umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
