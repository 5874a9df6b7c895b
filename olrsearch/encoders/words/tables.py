"""Tables of word vectors on disk: arrays that are mapped, and the cache folder that keeps them.

```
<cache>/words/
  <sha256 of the source's bytes>/
    table.json          format_version, digest, shape [N, D], source
    text.npy            uint8, the words in UTF-8, one after another
    starts.npy          int64 [N + 1], where each word begins in it
    order.npy           int32 [N], rows in the order of their case-folded words
    vectors.npy         float32 [N, D]; not there where the source itself can be mapped
  found/<sha256 of paths, sizes and times>.json      which of these a source was, so that it need not be read
```

An entry is written under another name and renamed, so it is whole or not there, and one that
does not fit its `table.json` is made again. The folder may be removed at any time.

Notation: N words, D numbers a word.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch.core.arrays import read_npy
from olrsearch.core.files import whole_folder, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from olrsearch.core.arrays import F32, I64, U8

log = logging.getLogger(__name__)

FORMAT_VERSION: Final = 1
CACHE_VARIABLE: Final = "OLRSEARCH_CACHE"
"""The environment variable that names another cache folder."""

_META: Final = "table.json"
_ARRAYS: Final = ("text", "starts", "order")
"""What an entry has as `.npy` files beside its vectors."""

_READ: Final = 1 << 22


@dataclass(frozen=True, slots=True, eq=False)
class WordTable:
    """Words, their vectors and the order to search them in; none of it can be written to.

    Attributes:
        digest: sha256 of words and vectors, 64 hexadecimal digits.
        text: uint8, the words in UTF-8, one after another.
        starts: int64 [N + 1], where each word begins in `text`; the last is its length.
        order: int32 [N], rows in the order of their case-folded words; of equal ones the first row first.
        vectors: float32 [N, D].
    """

    digest: str
    text: U8
    starts: I64
    order: NDArray[np.int32]
    vectors: F32


@dataclass(frozen=True, slots=True, eq=False)
class WordList:
    """What was read from a source, before it is a table.

    Attributes:
        words: The N words, each once.
        chunks: float32 [_, D], N rows together.
    """

    words: Sequence[str]
    chunks: Sequence[F32]

    def table(self) -> WordTable:
        """The table in memory."""
        vectors = np.concatenate(self.chunks)
        vectors.setflags(write=False)
        digest, arrays = self.index()
        return WordTable(digest, **arrays, vectors=vectors)

    def index(self) -> tuple[str, dict[str, NDArray[Any]]]:
        """What a table has beside its vectors: its digest, and the `_ARRAYS` by name."""
        encoded = [word.encode("utf-8", "replace") for word in self.words]
        starts = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(word) for word in encoded], out=starts[1:])
        text = np.frombuffer(b"".join(encoded), np.uint8)
        folded = [word.casefold() for word in self.words]
        order = np.array(sorted(range(len(folded)), key=folded.__getitem__), np.int32)
        found = hashlib.sha256(starts.astype("<i8").tobytes())
        found.update(text.tobytes())
        for chunk in self.chunks:
            rows = max(1, _READ // chunk.shape[1])
            for at in range(0, len(chunk), rows):
                found.update(chunk[at : at + rows].astype("<f4").tobytes())
        starts.setflags(write=False)
        order.setflags(write=False)
        return found.hexdigest(), {"text": text, "starts": starts, "order": order}


def open_table(
    files: Sequence[Path],
    read: Callable[[], WordList],
    *,
    source: str,
    cache: Path | None = None,
    mapped: Path | None = None,
) -> WordTable:
    """A source's table: from the cache, or read and put there.

    A cache folder that cannot be written to is no error: the table is then kept in memory.

    Args:
        files: What the source consists of; they must be there.
        read: Reads them, where the cache has no table of them.
        source: The source's name for people.
        cache: The cache folder; see `cache_folder` for what None means.
        mapped: The `.npy` file among `files` that holds the vectors, which are then not copied.
    """
    root = cache_folder(cache)
    if root is None:
        return read().table()
    pointer = root / "found" / f"{_stamp(files)}.json"
    known = _read_json(pointer).get("content")
    content = known if isinstance(known, str) else _content(files)
    table = _load(root / content, mapped)
    if table is None:
        words = read()
        if not _write(root, content, words, source=source, mapped=mapped):
            return words.table()
        table = _load(root / content, mapped) or words.table()
    if known is None:
        _remember(pointer, content)
    return table


def find_table(digest: str, *, cache: Path | None = None) -> tuple[WordTable, str] | None:
    """The table of this digest that was read from a file before, and the file's name; None where none is."""
    root = cache_folder(cache)
    for meta in sorted(root.glob(f"*/{_META}")) if root else ():
        content = _read_json(meta)
        if content.get("digest") == digest and (table := _load(meta.parent, None)):
            return table, str(content["source"])
    return None


def cache_folder(cache: Path | None = None) -> Path | None:
    """Where tables are kept; None where there is no such place.

    Args:
        cache: The cache folder. None takes `$OLRSEARCH_CACHE`, or else the user's cache folder as the
            platform has it (`$XDG_CACHE_HOME/olrsearch`, `~/.cache/olrsearch`).
    """
    if cache is not None:
        return cache / "words"
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named) / "words"
    try:
        home = Path.home()
    except RuntimeError:  # a user without home
        return None
    place: dict[str, tuple[str, Path]] = {
        "win32": ("LOCALAPPDATA", home / "AppData" / "Local"),
        "darwin": ("XDG_CACHE_HOME", home / "Library" / "Caches"),
    }
    variable, usual = place.get(sys.platform, ("XDG_CACHE_HOME", home / ".cache"))
    return Path(os.environ.get(variable) or usual) / "olrsearch" / "words"


def _stamp(files: Sequence[Path]) -> str:
    """What is known of files without reading them, as a name."""
    facts = []
    for file in files:
        path = file.resolve()
        state = path.stat()
        facts.append([str(path), state.st_size, state.st_mtime_ns])
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _content(files: Sequence[Path]) -> str:
    """sha256 of files' bytes, one after another."""
    found = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(_READ):
                found.update(block)
    return found.hexdigest()


def _load(folder: Path, mapped: Path | None) -> WordTable | None:
    """An entry of the cache, mapped; None where it is missing or damaged."""
    meta = _read_json(folder / _META)
    try:
        if meta["format_version"] != FORMAT_VERSION:
            return None
        count, size = meta["shape"]
        table = WordTable(
            digest=str(meta["digest"]),
            **{name: _map(folder / f"{name}.npy") for name in _ARRAYS},
            vectors=_map(mapped or folder / "vectors.npy"),
        )
        whole = (
            table.starts.shape == (count + 1,)
            and table.order.shape == (count,)
            and table.text.shape == (int(table.starts[-1]),)
            and (table.vectors.shape, table.vectors.dtype) == ((count, size), np.dtype(np.float32))
        )
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError):
        whole = False
    if not whole and meta:
        log.warning("the cached word vectors in %s are damaged: they are made again", folder)
    return table if whole else None


def _map(path: Path) -> Any:  # noqa: ANN401, arrays of several types
    # A plain view: slices of a memmap cost several times as much.
    return np.asarray(read_npy(path, mapped=True))


def _write(root: Path, content: str, words: WordList, *, source: str, mapped: Path | None) -> bool:
    """Write an entry of the cache, whole or not at all; False where that cannot be done."""
    target = root / content
    count, size = len(words.words), words.chunks[0].shape[1]
    try:
        with whole_folder(target, replace=target.exists() and _load(target, mapped) is None) as staging:
            digest, arrays = words.index()
            for name, array in arrays.items():
                np.save(staging / f"{name}.npy", array)
            if mapped is None:
                with (staging / "vectors.npy").open("wb") as file:
                    header = {"descr": "<f4", "fortran_order": False, "shape": (count, size)}
                    np.lib.format.write_array_header_1_0(file, header)
                    for chunk in words.chunks:
                        file.write(chunk.astype("<f4").data)
            meta = {
                "format_version": FORMAT_VERSION,
                "digest": digest,
                "shape": [count, size],
                "source": source,
            }
            (staging / _META).write_text(json.dumps(meta), encoding="utf-8")
    except OSError as error:
        if _read_json(target / _META):  # another process was faster
            return True
        log.warning("word vectors are kept in memory: %s cannot be written to (%s)", root, error)
        return False
    return True


def _remember(pointer: Path, content: str) -> None:
    """Note which entry a source is; left undone where the folder cannot be written to."""
    try:
        write_whole(pointer, json.dumps({"content": content}).encode(), durable=False)  # found out again
    except OSError as error:
        log.debug("%s cannot be written (%s)", pointer, error)


def _read_json(path: Path) -> dict[str, Any]:
    """A file's JSON object; an empty one where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
