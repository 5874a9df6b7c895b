"""Folders of training runs: which of them made an encoder, and which images it used.

```
runs/<kind>-<time>/run.json        kind, config, generation, …; once it is finished fingerprint and seconds
runs/<kind>-<time>/ids.npy         int64 [N], the images used
runs/<kind>-<time>/labels.npy      int8 [N, L], their labels
runs/<kind>-<time>/selection.npy   bool [N], those held back from training
```

What else lies there is the trainer's.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch.core.files import write_whole
from olrsearch.store.files import RUNS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from olrsearch.core.arrays import I64, Bool
    from olrsearch.store.values import SpaceInfo

RECORD: Final = "run.json"
ROUNDED_FROM: Final = "rounded_from"
"""The key of an encoder's configuration that names the fingerprint it had before it was rounded."""


def read_run(run: Path) -> dict[str, Any]:
    """What a run recorded: `kind`, `config`, …; once it is finished `fingerprint` and `seconds`."""
    found: dict[str, Any] = json.loads((run / RECORD).read_text(encoding="utf-8"))
    return found


def write_run(run: Path, record: Mapping[str, Any]) -> None:
    """Replaces what a run recorded, in one step: every later command reads the records of all runs."""
    write_whole(run / RECORD, json.dumps(record, indent=1).encode())


def run_of(store: Path, fingerprint: str) -> Path | None:
    """The run that made an encoder; None for one that came from elsewhere."""
    for file in sorted((store / RUNS).glob(f"*/{RECORD}")):
        if read_run(file.parent).get("fingerprint") == fingerprint:
            return file.parent
    return None


def unfinished_run(store: Path, kind: str) -> Path | None:
    """The newest run of a kind that has made no encoder yet."""
    for file in sorted((store / RUNS).glob(f"{kind}-*/{RECORD}"), reverse=True):
        if "fingerprint" not in read_run(file.parent):
            return file.parent
    return None


def teacher_of(run: Path) -> Path | None:
    """The run that a run takes its teacher from; None where it has its own, or none."""
    name = read_run(run).get("teacher")
    return None if name is None else run.parent / str(name)


def run_behind(store: Path, info: SpaceInfo) -> Path | None:
    """The run that a space's encoder, or the one it was rounded from, was trained in; None without one."""
    run, origin = run_of(store, info.fingerprint), info.config.get(ROUNDED_FROM)
    return run if run is not None or origin is None else run_of(store, str(origin))


def selection_ids(store: Path, info: SpaceInfo) -> I64 | None:
    """Ids of the images that training held back, int64; None for an encoder from elsewhere.

    A rounded encoder was trained in the run of the one it was rounded from.
    """
    run = run_behind(store, info)
    if run is None:
        return None
    ids: I64 = np.load(run / "ids.npy")
    held_back: Bool = np.load(run / "selection.npy")
    return ids[held_back]
