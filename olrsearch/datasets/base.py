"""What a data set is: records of images with labels, and what was found wrong while reading them.

Notation: `N` images, `L` labels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from olrsearch.core.counted import counted
from olrsearch.core.errors import DatasetError, DuplicateKeyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from olrsearch.core.arrays import I8, Bool

PARTITIONS = ("train", "val", "test")
EXAMPLES = 5
"""How many examples an issue keeps."""
UNREADABLE_FOLDERS = "unreadable-folders"
"""The issue of folders that cannot be listed: what they hold is not seen, and not gone either."""
_LONGEST = 80


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image of a data set, not yet read.

    Attributes:
        key: The image's name, unique within the data set (`000001.jpg`).
        uri: Where its bytes are, relative to `Dataset.root`; see `olrsearch.datasets.images`.
        labels: −1 (absent), 0 (unknown) or +1 (present) for each of `Dataset.label_names`,
            in their order; None where the data set has no label row for the image.
        partition: `train`, `val` or `test`; None where the data set does not say.
        identity: Number or name of the person (or thing) shown; None where the data set does not say.
    """

    key: str
    uri: str
    labels: tuple[int, ...] | None
    partition: str | None = None
    identity: int | str | None = None


@dataclass(frozen=True, slots=True)
class DatasetIssue:
    """Something odd about a data set that does not keep it from being read.

    Attributes:
        code: Stable name for programs: `rows-without-image`, `images-without-row`, ….
        message: One line for people.
        count: How many entries it concerns.
        examples: The first few of them.
    """

    code: str
    message: str
    count: int
    examples: tuple[str, ...] = ()


@runtime_checkable
class Dataset(Protocol):
    """A readable data set: what `open_celeba`, `open_folder`, `open_idx` and `open_cifar100` return.

    Attributes:
        kind: The reader: `celeba`, `folder`, `idx` or `cifar100`.
        root: The folder all uris are relative to.
        label_names: Names of the L labels, unique.
        issues: What was odd, one entry a kind of oddity.
    """

    kind: str
    root: Path
    label_names: tuple[str, ...]
    issues: list[DatasetIssue]

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[ImageRecord]: ...


@dataclass(slots=True)
class ArrayDataset:
    """A data set held in columns: what every reader of this package returns.

    Attributes:
        kind: As in `Dataset`.
        root: As in `Dataset`.
        label_names: As in `Dataset`.
        keys: N unique keys.
        uris: N uris.
        labels: int8 [N, L], −1/0/+1; rows of images without labels are 0.
        labelled: bool [N], whether the data set has a label row for the image.
        partitions: N entries of `PARTITIONS` or None; left out, None for every image.
        identities: N numbers, or names, or None, likewise.
        issues: As in `Dataset`.

    Raises:
        DuplicateKeyError: A key stands twice.
        DatasetError: Columns differ in length, or label names are not unique.
    """

    kind: str
    root: Path
    label_names: tuple[str, ...]
    keys: Sequence[str]
    uris: Sequence[str]
    labels: I8
    labelled: Bool
    partitions: Sequence[str | None] = ()
    identities: Sequence[int | str | None] = ()
    issues: list[DatasetIssue] = field(default_factory=list)

    def __post_init__(self) -> None:
        count = len(self.keys)
        self.partitions = self.partitions or [None] * count
        self.identities = self.identities or [None] * count
        sizes = {len(self.uris), len(self.labelled), len(self.partitions), len(self.identities), count}
        if sizes != {count} or self.labels.shape != (count, len(self.label_names)):
            raise DatasetError(
                f"columns of different lengths: {count} keys, {len(self.uris)} uris, "
                f"labels {self.labels.shape}, {len(self.partitions)} partitions, "
                f"{len(self.identities)} identities"
            )
        twice = first_duplicate(self.label_names)
        if twice is not None:
            raise DatasetError(f"the label {twice!r} stands twice; label names must be unique")
        if len(set(self.keys)) != count:
            raise DuplicateKeyError(f"the key {first_duplicate(self.keys)!r} stands twice in {self.root}")

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[ImageRecord]:
        for index in range(len(self.keys)):
            labels: list[int] = self.labels[index].tolist()
            yield ImageRecord(
                key=self.keys[index],
                uri=self.uris[index],
                labels=tuple(labels) if self.labelled[index] else None,
                partition=self.partitions[index],
                identity=self.identities[index],
            )


def issues_of(
    code: str, entries: Sequence[str], one: str, many: str, what: str, *, said: bool = False
) -> list[DatasetIssue]:
    """An issue that says what is odd about `entries`, the first few kept as examples; none without any.

    Args:
        code: As in `DatasetIssue`.
        entries: Those that it concerns.
        one: Follows their number in the message where it is 1, `image has`.
        many: Follows every other number, `images have`.
        what: The rest of the message.
        said: Whether the message names the first one.
    """
    count = len(entries)
    such = f", such as {entries[0][:_LONGEST]!r}" if said and entries else ""
    return (
        [DatasetIssue(code, f"{counted(count, one, many)} {what}{such}", count, tuple(entries[:EXAMPLES]))]
        if entries
        else []
    )


def first_duplicate(values: Iterable[str]) -> str | None:
    """The first value that was there before, or None."""
    seen: set[str] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None
