"""What imports take beside a reader's own options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from olrsearch.datasets.base import Dataset
    from olrsearch.pipeline.reading_pixels import OnError


class ReadOptions(TypedDict, total=False):
    """How every import reads images.

    Attributes:
        on_error: Unreadable images: `skip` (the default) counts and reports them, `fail` stops at the first.
        thumbnails: Keep a small JPEG of each image, for sheets; true when left out.
        limit: Import at most this many images.
    """

    on_error: OnError
    thumbnails: bool
    limit: int | None


class ImportOptions(ReadOptions, total=False):
    """What every import takes, beside where the data set lies and how it is read (`ReadOptions`).

    Attributes:
        name: Name of the data set in the store; the layout's or the folder's when left out.
    """

    name: str | None


def open_truth(path: Path | str) -> Dataset:
    """Avatars with the labels they were drawn with, where `generate_avatars` turned some of them round.

    Args:
        path: Their folder.
    """
    from olrsearch.datasets.generated.avatars import TRUTH
    from olrsearch.datasets.registry import open_dataset

    return open_dataset("celeba", path, annotations=Path(path) / TRUTH)[0]
