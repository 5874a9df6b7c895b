"""What imports take beside a reader's own options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

from olrsearch.datasets.registry import READERS
from olrsearch.datasets.table_options import TableOptions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from olrsearch.datasets.base import Dataset
    from olrsearch.pipeline.reading_pixels import OnError
    from olrsearch.store.values import DatasetInfo


__all__ = [
    "FileOptions",
    "ImportOptions",
    "ReadOptions",
    "TableOptions",
    "name_in",
    "open_truth",
    "split_options",
]


class ReadOptions(TypedDict, total=False):
    """How every import reads images.

    Attributes:
        on_error: Unreadable images: `skip` (the default) counts and reports them, `fail` stops at the first.
        thumbnails: Keep a small JPEG of each image, for sheets; true when left out.
        limit: Import at most this many images.
        sync: Take images whose files are gone out of every answer; else they are counted.
        remove_most: Let `sync` remove more than half of the images.
        restore: Bring back images that were deleted from the store.
        max_file_mb: Millions of bytes that an image's file may have, 256 when left out; a larger one counts
            as unreadable.
    """

    on_error: OnError
    thumbnails: bool
    limit: int | None
    sync: bool
    remove_most: bool
    restore: bool
    max_file_mb: int


class ImportOptions(ReadOptions, total=False):
    """What every import takes, beside where the data set lies and how it is read (`ReadOptions`).

    Attributes:
        name: Name of the data set in the store; the layout's or the folder's when left out.
    """

    name: str | None


class FileOptions(ImportOptions, TableOptions, total=False):
    """What imports with a table of labels take: `ImportOptions`, and `TableOptions` for the table."""


def split_options(options: FileOptions) -> tuple[TableOptions, ReadOptions]:
    """What is said of a table, and of images; the name is in neither."""
    of_table = {name: said for name, said in options.items() if name in TableOptions.__annotations__}
    of_images = {name: said for name, said in options.items() if name not in {*of_table, "name"}}
    return cast("TableOptions", of_table), cast("ReadOptions", of_images)


def name_in(datasets: Iterable[DatasetInfo], dataset: Dataset, usual: str) -> str:
    """What a store calls a data set that nobody names: as it does already, or the usual name.

    Data sets in CelebA's layout were all called `celeba` once; importing such a one again must not double it.

    Args:
        datasets: Those of the store.
        dataset: The one to import.
        usual: From `open_dataset`.
    """
    before, root = READERS[dataset.kind].name, dataset.root.resolve()
    same = (one for one in datasets if one.kind == dataset.kind and one.root.resolve() == root)
    return next((one.name for one in same if one.name == before), usual)


def open_truth(path: Path | str) -> Dataset:
    """Avatars with the labels they were drawn with, where `generate_avatars` turned some of them round.

    Args:
        path: Their folder.
    """
    from olrsearch.datasets.generated.avatars import TRUTH
    from olrsearch.datasets.registry import open_dataset

    return open_dataset("celeba", path, annotations=Path(path) / TRUTH)[0]
