"""Folders of generated data sets: written beside their place and renamed, so whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from olrsearch.core.errors import DatasetError
from olrsearch.core.files import is_free, whole_folder

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path


def check_free(out: Path) -> None:
    """Raise `DatasetError` unless `out` is not there, or is an empty folder."""
    if not is_free(out):
        raise DatasetError(f"{out} exists and is not empty; name another folder, or remove it")


def new_folder(out: Path) -> AbstractContextManager[Path]:
    """A hidden folder beside `out` to write to; it becomes `out` at the end of the block.

    After an error or an interruption within the block there is no `out`, and nothing is left over.

    Args:
        out: The folder to make; it may exist if it is empty.

    Raises:
        DatasetError: `out` exists and is not empty.
    """
    check_free(out)
    return whole_folder(out, durable=False)  # thousands of small files, made again by one command
