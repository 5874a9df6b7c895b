"""Data sets that can be imported, by the name of their layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable

    from olrsearch.datasets.base import Dataset
    from olrsearch.pipeline.pixels import OnError

Layout = Literal["celeba", "folder", "idx", "cifar100"]


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


def open_dataset(layout: Layout, path: Path | str, **options: Any) -> Dataset:  # noqa: ANN401 - the reader's
    """Open a data set to import it with `Store.import_dataset`. Nothing is read but its lists.

    Args:
        layout: `celeba`, `folder`, `idx` or `cifar100`.
        path: Where it lies; of `idx` the images.
        options: What `Store.import_celeba`, `import_folder`, `import_idx` or `import_cifar100` take.

    Raises:
        DatasetNotFoundError: it is not there.
        DatasetError: it cannot be read.
    """
    from olrsearch import datasets

    readers: dict[Layout, Callable[..., Dataset]] = {
        "celeba": datasets.open_celeba,
        "folder": datasets.open_folder,
        "idx": datasets.open_idx,
        "cifar100": datasets.open_cifar100,
    }
    return readers[layout](Path(path), **options)


def default_name(dataset: Dataset, path: Path | str) -> str:
    """What a data set is called where nobody named it: by its layout where only one has it, or its folder."""
    return dataset.kind if dataset.kind in {"celeba", "cifar100"} else Path(path).resolve().name


def open_truth(path: Path | str) -> Dataset:
    """Avatars with the labels they were drawn with, where `generate_avatars` turned some of them round.

    Args:
        path: Their folder.
    """
    from olrsearch.datasets.generated.avatars import TRUTH

    return open_dataset("celeba", path, annotations=Path(path) / TRUTH)
