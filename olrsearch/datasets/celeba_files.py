"""CelebA's three text files: attributes, partition, identity. Parsed fast, and written.

```
list_attr_celeba.txt         202599
                             5_o_Clock_Shadow Arched_Eyebrows … Young
                             000001.jpg -1  1  1 -1 …
list_eval_partition.txt      000001.jpg 0                 (0 train, 1 val, 2 test)
identity_CelebA.txt          000001.jpg 2880              (or a name without blanks)
```

Columns are separated by any blanks, lines end in LF or CRLF, empty lines are passed over.
Notation: `R` rows, `L` labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import LabelFileError
from olrsearch.core.names import unfit_character
from olrsearch.core.shown import shown
from olrsearch.datasets.base import DatasetIssue, first_duplicate, issues_of
from olrsearch.datasets.table import LabelTable
from olrsearch.datasets.text_files import decode_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import I8, I64, U8

ATTRIBUTES = "list_attr_celeba.txt"
PARTITION = "list_eval_partition.txt"
IDENTITY = "identity_CelebA.txt"

_SHOWN = 40
_MOST_DIGITS = 18
_BLANK = 32  # this byte and all below it separate columns
_NEWLINE = 10


@dataclass(frozen=True, slots=True)
class _Tokens:
    """Where the words of some lines begin and end.

    `lines` holds the line numbers (counted from 1) of the R lines that are not empty; `begins` and
    `ends` are byte offsets, int64 [R, columns].
    """

    data: bytes
    lines: I64
    begins: I64
    ends: I64

    def column(self, index: int) -> list[str]:
        spans = zip(self.begins[:, index].tolist(), self.ends[:, index].tolist(), strict=True)
        return [self.data[begin:end].decode() for begin, end in spans]


def parse_attributes(data: bytes, *, where: str) -> LabelTable:
    """Parse an attribute file of any number of labels.

    A number of rows other than the first line announces is an issue, as is a row that
    is repeated without change.

    Args:
        data: The file's bytes; 200,000 rows of 40 labels take about a second.
        where: What to call the file in an error message.

    Raises:
        LabelFileError: Another header, a row with another number of columns, a value
            other than −1, 0, 1, or two rows of one image that contradict each other.
    """
    data = decode_text(data, where=where).encode()
    first, names_end = data.find(b"\n"), -1
    if first >= 0:
        names_end = data.find(b"\n", first + 1)
    stated = data[: max(first, 0)].strip()
    if not stated.isdigit() or len(stated) > _MOST_DIGITS or names_end < 0:
        raise LabelFileError(
            f"{where}, line 1: found {_shown(stated or data[:_SHOWN])}, expected the number of rows, "
            "and the label names on line 2"
        )
    names = tuple(name.decode() for name in data[first + 1 : names_end].split())
    twice = first_duplicate(names)
    if not names or twice is not None:
        found = "no names" if not names else f"{shown(twice or '')} twice"
        raise LabelFileError(f"{where}, line 2: found {found}, expected unique label names")
    odd = next((name for name in names if unfit_character(name)), None)
    if odd is not None:
        raise LabelFileError(f"{where}, line 2: found the label {shown(odd)} with {unfit_character(odd)}")

    tokens = _tokenise(data, names_end + 1, first_line=3, columns=len(names) + 1, where=where)
    labels = _values(tokens, names, where)
    keys = _keys(tokens, where)
    keep, repeated = _without_repeats(keys, tokens.lines, labels, where)
    issues: list[DatasetIssue] = []
    if len(keys) != int(stated):
        message = f"{where} announces {int(stated)} rows on line 1 and holds {len(keys)}"
        issues.append(DatasetIssue("row-count", message, abs(len(keys) - int(stated))))
    issues += issues_of("repeated-rows", repeated, "row", "rows", f"of {where} given twice")
    return LabelTable(names, [keys[row] for row in keep], labels[keep], issues=issues)


def parse_pairs(data: bytes, *, where: str) -> tuple[list[int], list[str], list[str]]:
    """Parse a file of image names and what is said of each: the partition or the identity file.

    Args:
        data: The file's bytes.
        where: What to call the file in an error message.

    Returns:
        R line numbers, R image names, and R words.

    Raises:
        LabelFileError: A line that is not a name and a word.
    """
    data = decode_text(data, where=where).encode()
    tokens = _tokenise(data, 0, first_line=1, columns=2, where=where)
    return tokens.lines.tolist(), _keys(tokens, where), tokens.column(1)


def format_attributes(names: Sequence[str], keys: Sequence[str], labels: I8) -> bytes:
    """An attribute file with these rows, in CelebA's own spacing.

    Args:
        names: L label names, without blanks.
        keys: R image names, without blanks.
        labels: int8 [R, L], −1/0/+1.
    """
    lines = [str(len(keys)), " ".join(names) + " "]
    rows: list[list[int]] = labels.tolist()
    lines += [
        f"{key} " + " ".join(f"{value:2d}" for value in row) for key, row in zip(keys, rows, strict=True)
    ]
    return ("\n".join(lines) + "\n").encode()


def format_numbers(keys: Sequence[str], numbers: Sequence[int]) -> bytes:
    """A partition or identity file with these rows."""
    return "".join(f"{key} {number}\n" for key, number in zip(keys, numbers, strict=True)).encode()


def _tokenise(data: bytes, offset: int, *, first_line: int, columns: int, where: str) -> _Tokens:
    """Find the words of `data[offset:]`, and require `columns` of them on each line that has any."""
    text: U8 = np.frombuffer(data, dtype=np.uint8, offset=min(offset, len(data)))
    word = np.zeros(len(text) + 2, dtype=np.int8)
    word[1:-1] = text > _BLANK
    edges = np.diff(word)
    begins = np.flatnonzero(edges == 1)
    ends = np.flatnonzero(edges == -1)
    newlines = np.flatnonzero(text == _NEWLINE)
    # Words on each line, by where each newline falls among the beginnings.
    bounds = np.concatenate(([0], np.searchsorted(begins, newlines), [len(begins)]))
    counts = np.diff(bounds)
    wrong = np.flatnonzero((counts != columns) & (counts != 0))
    if wrong.size:
        at = int(wrong[0])
        raise LabelFileError(
            f"{where}, line {at + first_line}: found {int(counts[at])} columns, expected {columns}"
        )
    lines = np.flatnonzero(counts).astype(np.int64) + first_line
    if not lines.size:
        raise LabelFileError(f"{where}: found no rows, expected one for each image")
    shape = (len(lines), columns)
    return _Tokens(data, lines, begins.reshape(shape) + offset, ends.reshape(shape) + offset)


def _values(tokens: _Tokens, names: tuple[str, ...], where: str) -> I8:
    """Parse all columns but the first as −1, 0 or 1: int8 [R, L]."""
    text = np.frombuffer(tokens.data, dtype=np.uint8)
    begins, lengths = tokens.begins[:, 1:], tokens.ends[:, 1:] - tokens.begins[:, 1:]
    first, last = text[begins], text[tokens.ends[:, 1:] - 1]
    one, zero = last == ord("1"), last == ord("0")
    plain, minus = lengths == 1, (lengths == 2) & (first == ord("-"))
    wrong = np.argwhere(~((plain & (one | zero)) | (minus & one)))
    if wrong.size:
        row, column = (int(value) for value in wrong[0])
        found = tokens.data[tokens.begins[row, column + 1] : tokens.ends[row, column + 1]]
        raise LabelFileError(
            f"{where}, line {int(tokens.lines[row])}: found {_shown(found)} for {names[column]}, "
            "expected -1, 0 or 1"
        )
    return np.where(minus, np.int8(-1), one.astype(np.int8))


def _keys(tokens: _Tokens, where: str) -> list[str]:
    keys = tokens.column(0)
    for line, key in zip(tokens.lines.tolist(), keys, strict=True):
        if unfit := unfit_character(key):
            raise LabelFileError(f"{where}, line {line}: found the image name {shown(key)} with {unfit}")
    return keys


def _without_repeats(keys: list[str], lines: I64, labels: I8, where: str) -> tuple[list[int], list[str]]:
    """The rows to keep, and the keys that were repeated."""
    rows: dict[str, int] = {}
    repeated: list[str] = []
    for row, key in enumerate(keys):
        before = rows.setdefault(key, row)
        if before == row:
            continue
        if not np.array_equal(labels[before], labels[row]):
            raise LabelFileError(
                f"{where}, line {lines[row]}: found other labels for {key[:200]} than on line "
                f"{lines[before]}; keep one of the rows"
            )
        repeated.append(key)
    return list(rows.values()), repeated


def _shown(found: bytes) -> str:
    return shown(found[: 4 * _SHOWN].decode("utf-8", "replace"))
