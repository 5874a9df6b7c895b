"""Files of word vectors: GloVe and word2vec text, word2vec binary, compressed with gzip or not.

The format is recognised from the content:

```
GloVe text         hat 0.1 -0.2 …            a line a word, no header
word2vec text      400000 50                 the same after a line of two numbers (fastText's .vec)
word2vec binary    400000 50                 then the word, a space and D numbers in float32, for each word
```

Notation: N words, D numbers a word.
"""

from __future__ import annotations

import gzip
import logging
import re
import zlib
from itertools import chain, islice, takewhile
from typing import IO, TYPE_CHECKING, Final, cast

import numpy as np

from olrsearch.core.errors import WordVectorsError
from olrsearch.encoders.words.tables import WordList

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from olrsearch.core.arrays import F32, Floats

log = logging.getLogger(__name__)

_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_HEADER = re.compile(rb"(\d+)[ \t]+(\d+)[ \t\r]*")
_NUMBERS = re.compile(rb"[0-9eE+\-.naifNAIF \t\r\n]*")
"""What may follow a word and its space in a text file."""

_LONGEST_LINE: Final = 1 << 20
_LONGEST_WORD: Final = 1 << 12
_LONGEST_VECTOR: Final = 1 << 16
_CHUNK: Final = 8192
"""Rows that are turned into one array at a time."""

_READ: Final = 1 << 22
_SHOWN: Final = 3


def read_rows(path: Path) -> WordList:
    """Read a file of word vectors.

    Of a word that comes twice the first vector counts, and a warning is logged.

    Args:
        path: The file; see the module for the formats.

    Raises:
        WordVectorsError: no such file, none of these formats, truncated, a row of another length
            (its line is named), a number that is not finite, or no words at all.
    """
    try:
        with path.open("rb") as raw, _unpacked(raw, path) as file:
            words, chunks, repeated = _collect(_rows(file, path), path)
    except (FileNotFoundError, NotADirectoryError):
        raise WordVectorsError(f"no file of word vectors at {path}: check the path") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise WordVectorsError(f"{path} is truncated or damaged ({error}): copy it again") from None
    except OSError as error:
        raise WordVectorsError(f"{path} cannot be read ({error.strerror or error})") from None
    if not words:
        raise WordVectorsError(
            f"{path} holds no word vectors: expected GloVe text, or word2vec text or binary"
        )
    if repeated:
        named = ", ".join(map(repr, repeated[:_SHOWN]))
        log.warning("%s: %d rows repeat a word (%s …); the first vector counts", path, len(repeated), named)
    return WordList(words, chunks)


def _unpacked(raw: IO[bytes], path: Path) -> IO[bytes]:
    """The same file, or what gzip has packed into it.

    Raises:
        WordVectorsError: it is a zip archive, as GloVe is handed out.
    """
    start = raw.read(4)
    raw.seek(0)
    if start.startswith(_ZIP):
        raise WordVectorsError(f"{path} is a zip archive: unpack it, and name the file inside")
    return cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if start.startswith(_GZIP) else raw


def _collect(rows: Iterator[tuple[str, Floats]], path: Path) -> tuple[list[str], list[F32], list[str]]:
    """All words once, their vectors in arrays of up to `_CHUNK` rows, and the words that came again.

    Raises:
        WordVectorsError: a number is not finite.
    """
    words: dict[str, None] = {}
    chunks: list[F32] = []
    repeated: list[str] = []
    while chunk := list(islice(rows, _CHUNK)):
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes an infinity, refused below
            vectors = np.stack([vector for _, vector in chunk]).astype(np.float32)
        if not np.isfinite(vectors).all():
            bad = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
            raise WordVectorsError(
                f"{path}: the vector of {chunk[bad][0]!r} holds NaN or an infinity; expected finite numbers"
            )
        kept = []
        for row, (word, _) in enumerate(chunk):
            if word in words:
                repeated.append(word)
            else:
                words[word] = None
                kept.append(row)
        chunks.append(vectors if len(kept) == len(chunk) else vectors[kept])
    return list(words), chunks, repeated


def _rows(file: IO[bytes], path: Path) -> Iterator[tuple[str, Floats]]:
    """Words and vectors of an open file, whatever its format."""
    first = file.readline(_LONGEST_LINE)
    header = _HEADER.fullmatch(first.rstrip(b"\n"))
    if header is None:
        yield from _text((first,), file, path, line=1, size=None)
        return
    count, size = int(header[1]), int(header[2])
    if not 0 < size <= _LONGEST_VECTOR:
        raise WordVectorsError(
            f"{path}: the header says vectors of {size} numbers; expected 1 to {_LONGEST_VECTOR}"
        )
    # Bytes of floats hold something that no number is written with; text of as many bytes does not.
    peeked = file.read(min(_LONGEST_WORD + 4 * size, _READ))
    _, _, behind = peeked.lstrip(b"\n").partition(b" ")
    if _NUMBERS.fullmatch(behind.split(b"\n", 1)[0][: 4 * size]):
        read = _text(_lines(peeked, file), file, path, line=2, size=size)
    else:
        read = _binary(peeked, file, path, count, size)
    found = 0
    for found, row in enumerate(read, 1):  # noqa: B007, the count is wanted behind the loop
        yield row
    if found != count:
        raise WordVectorsError(
            f"{path} holds {found} words, but its header says {count}: the file is truncated or altered"
        )


def _lines(peeked: bytes, file: IO[bytes]) -> Iterator[bytes]:
    """The lines of what was read already, the last of them completed from the file."""
    *whole, last = peeked.split(b"\n")
    yield from whole
    if rest := last + file.readline(_LONGEST_LINE):
        yield rest


def _text(
    begun: Iterable[bytes], file: IO[bytes], path: Path, *, line: int, size: int | None
) -> Iterator[tuple[str, Floats]]:
    """Rows of text: those lines that were read already, then the file's.

    Args:
        begun: The lines that were read already.
        file: What holds the other lines.
        path: For messages.
        line: The number of the first line.
        size: D; None takes it from the first line.

    Raises:
        WordVectorsError: a row without word, of another length, or with something that is no number.
    """
    unread = iter(lambda: file.readline(_LONGEST_LINE), b"")
    for number, raw in enumerate(chain(begun, unread), line):
        fields = raw.rstrip(b" \t\r\n").replace(b"\t", b" ").split(b" ")
        if fields == [b""]:
            continue
        if size is None:
            size = _first_size(fields, path)
        # Some GloVe files have words with spaces ('. . .'), but no such word ends in a number.
        extra = fields[1:-size] if len(fields) > size + 1 else []
        if len(fields) <= size or (extra and _is_number(extra[-1])):
            raise WordVectorsError(
                f"{path}, line {number}: {len(fields) - 1} numbers, expected {size} as in the other rows"
            )
        try:
            vector = np.array([float(value) for value in fields[-size:]])
        except ValueError:
            raise WordVectorsError(
                f"{path}, line {number}: expected a word and {size} numbers, found something else among them"
            ) from None
        word = b" ".join(fields[:-size]).decode("utf-8", "replace")
        if not word:
            raise WordVectorsError(f"{path}, line {number}: no word before the {size} numbers")
        yield word, vector


def _first_size(fields: list[bytes], path: Path) -> int:
    """How many numbers end the first line of a file without header.

    Raises:
        WordVectorsError: none do.
    """
    size = len(list(takewhile(_is_number, reversed(fields[1:]))))
    if not size:
        raise WordVectorsError(
            f"{path} holds no word vectors: its first line is no word with numbers after it; expected GloVe "
            "text, or word2vec text or binary"
        )
    return size


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _binary(
    peeked: bytes, file: IO[bytes], path: Path, count: int, size: int
) -> Iterator[tuple[str, Floats]]:
    """Rows of word2vec's binary format; a line break may stand before each word.

    Raises:
        WordVectorsError: the file ends inside a row, or a word does not end.
    """
    buffer, at, length = peeked, 0, 4 * size
    for row in range(count):
        if len(buffer) - at < _LONGEST_WORD + length:
            buffer, at = buffer[at:] + file.read(_READ), 0
        space = buffer.find(b" ", at, at + _LONGEST_WORD)
        end = space + 1 + length
        if space < 0 or end > len(buffer):
            raise WordVectorsError(
                f"{path} ends, or is damaged, in word {row + 1} of the {count} of its header: copy it again"
            )
        word = buffer[at:space].lstrip(b"\n").decode("utf-8", "replace")
        if not word:
            raise WordVectorsError(f"{path}: word {row + 1} of {count} is empty; copy it again")
        yield word, np.frombuffer(buffer, "<f4", size, space + 1)
        at = end
    if buffer[at:].strip(b"\n") or file.read(1):
        raise WordVectorsError(f"{path} goes on after the {count} words that its header says: it is altered")
