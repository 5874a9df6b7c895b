"""The readers of data sets by their names: a new one is a module and a line here."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from olrsearch.core.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from olrsearch.datasets.base import Dataset


CELEBA_LABELS: Final = frozenset({"5_o_Clock_Shadow", "Attractive", "Bags_Under_Eyes", "Blurry", "Chubby"})
"""Labels that CelebA has, and that other data in its layout (generated avatars) do not have together."""


class Reader(NamedTuple):
    """Where a reader is, and what its data sets are called.

    Attributes:
        module: Below `olrsearch.datasets`; loaded when it is asked for.
        function: Opens a path, with options of its own by keyword.
        name: What a store calls its data set where nobody says otherwise; None for the name of the path.
        telling: Labels without which it is another data set in this layout, called by its path.
    """

    module: str
    function: str
    name: str | None = None
    telling: frozenset[str] = frozenset()


READERS: Final[Mapping[str, Reader]] = {
    "celeba": Reader("celeba", "open_celeba", "celeba", CELEBA_LABELS),
    "folder": Reader("folder", "open_folder"),
    "idx": Reader("idx", "open_idx"),
    "cifar100": Reader("cifar", "open_cifar100", "cifar100"),
}


def open_dataset(kind: str, path: Path | str, **options: Any) -> tuple[Dataset, str]:  # noqa: ANN401 - each reader has its own
    """Open a data set.

    Args:
        kind: One of `READERS`.
        path: The files, as the reader's function says.
        options: As the reader's function says; those that are None are left to it.

    Returns:
        The data set, and what a store calls it where nobody says otherwise.

    Raises:
        DatasetError: There is no such reader, or the data set is not what the reader reads.
    """
    if kind not in READERS:
        raise DatasetError(f"no reader {kind!r}; expected one of {', '.join(READERS)}")
    module, function, name, telling = READERS[kind]
    opened = getattr(import_module(f"olrsearch.datasets.{module}"), function)
    dataset: Dataset = opened(path, **{key: value for key, value in options.items() if value is not None})
    if name is None or not telling <= set(dataset.label_names):
        name = Path(path).resolve().name
    return dataset, name
