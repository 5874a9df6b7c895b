"""Faults as disks, copies and people make them, drawn at random over the files of a store.

A fault names a file by its kind first, then by chance among those of the kind, so that a few small files
(`store.json`, records, descriptions) are met as often as many large ones.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np

KINDS: Final[Mapping[str, str]] = {
    "store.json": r"store\.json",
    "metadata": r"metadata\.db",
    "checksums of metadata": r"metadata\.sums",
    "manifest": r"segments/[^/]+/manifest\.json",
    "segment": r"segments/[^/]+/.*\.npy",
    "model": r"models/.*",
    "scores": r"indexes/[^/]+/(scores|words)/.*",
    "features": r"indexes/[^/]+/kl/.*",
    "built index": r"indexes/[^/]+/(?!scores/|words/|kl/)[^/]+/.*",
    "audit": r"runs/audit-.*",
    "training run": r"runs/(?!audit-).*",
}
"""Kinds of files, by what their paths in a store look like."""

TEXTS: Final = (
    ("artefact", "payload"),
    ("space", "labels"),
    ("space", "config"),
    ("audit_run", "config"),
    ("audit_run", "summary"),
)
"""JSON in the metadata."""

_IGNORED: Final = re.compile(r"LOCK|\.holder$|/pixels|/checkpoints?/|\.ckpt$|metadata\.db-")


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that was made.

    Attributes:
        what: What was done, in words.
        kind: Of the file.
        path: The file, relative to the store.
    """

    what: str
    kind: str
    path: str


def files_by_kind(store: Path) -> dict[str, list[str]]:
    """The files of a store that a fault may meet, by kind, relative to it."""
    found: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for path in sorted(store.rglob("*")):
        name = path.relative_to(store).as_posix()
        if path.is_file() and not _IGNORED.search(name):
            for kind, form in KINDS.items():
                if re.fullmatch(form, name):
                    found[kind].append(name)
                    break
    return {kind: names for kind, names in found.items() if names}


def damage(store: Path, others: Mapping[str, Path], rng: np.random.Generator) -> Fault:
    """Damages one file of a store.

    Args:
        store: The store.
        others: Where other files come from: `other`, another store, and `older`, this store some changes
            ago.
        rng: Draws file and fault.
    """
    files = files_by_kind(store)
    kind = str(rng.choice(list(files)))
    name = str(rng.choice(files[kind]))
    path = store / name
    if kind == "metadata":
        making = str(rng.choice(["flip", "flip", "zero", "cut", "append", "swap", "older", "text", "text"]))
    else:
        making = str(rng.choice(["flip", "flip", "zero", "cut", "append", "remove", "swap"]))
    return Fault(_MAKING[making](store, path, others, rng), kind, name)


def _flip(_: Path, path: Path, __: Mapping[str, Path], rng: np.random.Generator) -> str:
    data = bytearray(path.read_bytes())
    if not data:
        return "flip in an empty file"
    places = rng.integers(0, len(data), int(rng.integers(1, 4)))
    for place in places.tolist():
        data[place] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)
    return f"bits flipped at {sorted(places.tolist())}"


def _zero(_: Path, path: Path, __: Mapping[str, Path], rng: np.random.Generator) -> str:
    data = bytearray(path.read_bytes())
    start = int(rng.integers(0, max(1, len(data))))
    end = min(len(data), start + int(rng.choice([16, 512, 4096])))
    data[start:end] = bytes(end - start)
    path.write_bytes(data)
    return f"bytes {start} to {end} zero"


def _cut(_: Path, path: Path, __: Mapping[str, Path], rng: np.random.Generator) -> str:
    data = path.read_bytes()
    size = int(rng.integers(0, max(1, len(data))))
    path.write_bytes(data[:size])
    return f"cut to {size} of {len(data)} bytes"


def _append(_: Path, path: Path, __: Mapping[str, Path], rng: np.random.Generator) -> str:
    more = rng.bytes(int(rng.integers(1, 5000)))
    path.write_bytes(path.read_bytes() + more)
    return f"{len(more)} bytes appended"


def _remove(_: Path, path: Path, __: Mapping[str, Path], ___: np.random.Generator) -> str:
    path.unlink()
    return "removed"


def _swap(store: Path, path: Path, others: Mapping[str, Path], rng: np.random.Generator) -> str:
    """A file of this name, or at least this ending, of another store or from elsewhere in the same one."""
    home = store if rng.random() < 0.5 else others["other"]
    alike = [found for found in sorted(home.rglob(path.name)) if found.is_file()]
    alike = alike or [found for found in sorted(home.rglob("*")) if found.suffix == path.suffix]
    alike = [found for found in alike or sorted(home.rglob("*.json")) if found.is_file()]
    other = alike[int(rng.integers(len(alike)))]
    if other.read_bytes() == path.read_bytes():
        return f"replaced by its own bytes, of {other.name}"
    data = other.read_bytes()
    path.write_bytes(data)
    where = "the same store" if home == store else "another store"
    return f"replaced by {other.relative_to(home).as_posix()} of {where}"


def _older(store: Path, path: Path, others: Mapping[str, Path], _: np.random.Generator) -> str:
    shutil.copy(others["older"] / path.relative_to(store), path)
    return "replaced by an older copy"


def _text(store: Path, path: Path, _: Mapping[str, Path], rng: np.random.Generator) -> str:
    """JSON in the metadata changed through SQL, with or without the checksums of the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        places = [
            (table, column, *found)
            for table, column in TEXTS
            for found in connection.execute(f"SELECT rowid, {column} FROM {table}")  # noqa: S608 - of ours
        ]
        table, column, row, text = places[int(rng.integers(len(places)))]
        how = str(rng.choice(["cut", "empty", "list", "other type", "key"]))
        changed = _changed(text, how, rng)
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (changed, row))  # noqa: S608 - of ours
    if rng.random() < 0.5:
        (store / "metadata.sums").unlink()
        return f"{column} of row {row} of {table}: {how}, no checksums"
    return f"{column} of row {row} of {table}: {how}"


def _changed(text: str, how: str, rng: np.random.Generator) -> str:
    if how == "cut":
        return text[: int(rng.integers(0, len(text)))]
    if how == "key":
        keys = re.findall(r'"(\w+)": ', text) or ["x"]
        return text.replace(f'"{keys[int(rng.integers(len(keys)))]}": ', '"gone": ', 1)
    return {"empty": "{}", "list": "[1]", "other type": "17"}[how]


_Making = "Callable[[Path, Path, Mapping[str, Path], np.random.Generator], str]"
_MAKING: Final[Mapping[str, Callable[[Path, Path, Mapping[str, Path], np.random.Generator], str]]] = {
    "flip": _flip,
    "zero": _zero,
    "cut": _cut,
    "append": _append,
    "remove": _remove,
    "swap": _swap,
    "older": _older,
    "text": _text,
}
