"""CelebA's lists where they lie: text as distributed or CSV as Kaggle has them, in folders and zips."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from olrsearch.core.errors import DatasetNotFoundError, LabelFileError
from olrsearch.datasets.celeba_files import IDENTITY, PARTITION, parse_attributes, parse_pairs
from olrsearch.datasets.csv_files import parse_csv, wrong_width
from olrsearch.datasets.images import zip_names
from olrsearch.datasets.label_table import chosen_labels, label_table_of_csv
from olrsearch.datasets.table_cells import identities_of, partitions_of
from olrsearch.datasets.text_files import decode_text, read_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.datasets.table import LabelTable
    from olrsearch.datasets.table_cells import Identity
    from olrsearch.datasets.table_options import TableOptions

V = TypeVar("V")


class FoundList(NamedTuple):
    """A list that was found: its file's name, and its bytes."""

    name: str
    data: bytes

    @property
    def is_csv(self) -> bool:
        """Whether it is one of Kaggle's."""
        return self.name.endswith(".csv")


def find_list(places: Sequence[Path], name: str) -> FoundList | None:
    """The first list of a name, as text or CSV, in some folders and zips; None where there is none.

    Raises:
        DatasetNotFoundError: A zip is none, or the list in it cannot be unpacked.
    """
    names = (name, f"{Path(name).stem}.csv")
    for place in places:
        for one in names:
            if (place / one).is_file():
                return FoundList(one, read_file(place / one))
        members = zip_names(place) if place.is_file() else []
        for one in names:
            member = next((member for member in members if PurePosixPath(member).name == one), None)
            if member is not None:
                return FoundList(one, _unpacked(place, member))
    return None


def attributes_of(found: FoundList, options: TableOptions) -> LabelTable:
    """The table that a list of attributes is.

    Raises:
        LabelFileError: It is none; the message names the line.
    """
    if found.is_csv:
        return label_table_of_csv(
            decode_text(found.data, where=found.name), where=found.name, options=options
        )
    return chosen_labels(parse_attributes(found.data, where=found.name), found.name, options)


def partitions_in(places: Sequence[Path]) -> dict[str, str]:
    """The partition of every image that the first list of partitions names; none without one.

    Raises:
        LabelFileError: It is no such list; the message names the line.
    """
    found = find_list(places, PARTITION)
    return {} if found is None else partitions_of_list(found)


def identities_in(places: Sequence[Path]) -> dict[str, Identity]:
    """Who is shown, likewise, by the list of identities."""
    found = find_list(places, IDENTITY)
    return {} if found is None else identities_of_list(found)


def partitions_of_list(found: FoundList) -> dict[str, str]:
    """The partitions in a list, by image name."""
    lines, keys, cells = _pairs(found)
    said, _ = partitions_of(cells, "partition", found.name, lines)
    return _by_key(found.name, lines, keys, said)


def identities_of_list(found: FoundList) -> dict[str, Identity]:
    """The identities in a list, by image name."""
    lines, keys, cells = _pairs(found)
    return _by_key(found.name, lines, keys, identities_of(cells, "identity", found.name, lines))


def _pairs(found: FoundList) -> tuple[Sequence[int], Sequence[str], Sequence[str]]:
    """Line numbers, image names and what is said of each."""
    if not found.is_csv:
        return parse_pairs(found.data, where=found.name)
    header, rows = parse_csv(decode_text(found.data, where=found.name), where=found.name)
    for line, cells in [(1, header), *rows]:
        if len(cells) != 2:
            raise LabelFileError(f"{found.name}, line {line}: {wrong_width(cells, ('image', 'value'))}")
    return [line for line, _ in rows], [cells[0] for _, cells in rows], [cells[1] for _, cells in rows]


def _by_key(where: str, lines: Sequence[int], keys: Sequence[str], said: Sequence[V | None]) -> dict[str, V]:
    known: dict[str, V | None] = {}
    for line, key, value in zip(lines, keys, said, strict=True):
        before = known.setdefault(key, value)
        if before != value:
            raise LabelFileError(
                f"{where}, line {line}: found {value} for {key[:200]}, which had {before} further up; "
                "keep one"
            )
    return {key: value for key, value in known.items() if value is not None}


def _unpacked(place: Path, member: str) -> bytes:
    try:
        with zipfile.ZipFile(place) as archive:
            return archive.read(member)
    except (OSError, zipfile.BadZipFile, RuntimeError, EOFError, zlib.error, lzma.LZMAError) as cause:
        raise DatasetNotFoundError(f"{member} in {place} cannot be unpacked: {cause}") from cause
