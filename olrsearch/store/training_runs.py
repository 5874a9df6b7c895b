"""Folders of training runs: which of them made an encoder, and which images it used.

```
runs/<kind>-<time>/run.json        kind, config, generation, arrays; once it is finished fingerprint, seconds
runs/<kind>-<time>/ids.npy         int64 [N], the images used
runs/<kind>-<time>/labels.npy      int8 [N, L], their labels
runs/<kind>-<time>/selection.npy   bool [N], those held back from training
```

What else lies there is the trainer's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch.core.arrays import read_npy
from olrsearch.core.checksums import FileBlocks, block_sums, checking
from olrsearch.core.errors import StoreCorruptError
from olrsearch.core.files import checked_json, parse_json, what_system_said, whole_file, write_whole
from olrsearch.store.files import RUNS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from olrsearch.core.arrays import I64, Bool
    from olrsearch.store.values import SpaceInfo

RECORD: Final = "run.json"
ARRAYS: Final = "arrays"
"""The key of a record that holds the checksums of its arrays; runs of older programs have none."""
_ARRAYS: Final = ("ids", "labels", "selection")
ROUNDED_FROM: Final = "rounded_from"
"""The key of an encoder's configuration that names the fingerprint it had before it was rounded."""


def read_run(run: Path) -> dict[str, Any]:
    """What a run recorded: `kind`, `config`, …; once it is finished `fingerprint` and `seconds`.

    Raises:
        StoreCorruptError: its record is damaged, or cannot be read.
    """
    path = run / RECORD
    try:
        found = parse_json(path.read_bytes(), path)
    except OSError as error:
        raise StoreCorruptError(f"{path} cannot be read: {what_system_said(error)}") from error
    if not isinstance(found.get("kind"), str):
        raise StoreCorruptError(f"{path} is damaged: no record of a run; restore it from a backup")
    return found


def keep_arrays(run: Path, arrays: Mapping[str, NDArray[Any]]) -> dict[str, list[str]]:
    """Writes the arrays of a new run; gives their checksums, which its record is to hold as `ARRAYS`."""
    for name, array in arrays.items():
        with whole_file(run / f"{name}.npy") as temporary:
            np.save(temporary, array)
    return {name: block_sums(run / f"{name}.npy") for name in arrays}


def run_array(run: Path, name: str) -> NDArray[Any]:
    """An array that `keep_arrays` wrote, compared with its checksums.

    Raises:
        StoreCorruptError: it is missing or damaged.
    """
    path = run / f"{name}.npy"
    kept = read_run(run).get(ARRAYS, {})
    sums = kept.get(name) if isinstance(kept, dict) else ""
    if sums is not None and not (isinstance(sums, list) and all(isinstance(item, str) for item in sums)):
        raise _damaged(run / RECORD, f"no checksums of {name}")
    try:
        if checking() and sums is not None:
            FileBlocks(path, sums, _damaged).check_all()
        found: NDArray[Any] = read_npy(path)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path, str(error)) from error
    return found


def is_finished(run: Path) -> bool:
    """Whether a run has made an encoder; raises as `read_run`."""
    return "fingerprint" in read_run(run)


def damaged_runs(store: Path) -> Iterator[str]:
    """Yields a line for every training run of a store whose record or arrays are damaged."""
    for file in sorted((store / RUNS).glob(f"*/{RECORD}")):
        run = file.parent
        if run.name.startswith("audit-"):  # which are looked after as audits
            continue
        try:
            for name in read_run(run).get(ARRAYS, ()) or _ARRAYS:
                run_array(run, name)
        except StoreCorruptError as error:
            yield str(error)


def _damaged(path: Path, fault: str) -> StoreCorruptError:
    return StoreCorruptError(
        f"{path} is damaged ({fault}): restore it from a backup, or remove the run and train again"
    )


def write_run(run: Path, record: Mapping[str, Any]) -> None:
    """Replaces what a run recorded, in one step: every later command reads the records of all runs."""
    write_whole(run / RECORD, checked_json(record))


def run_of(store: Path, fingerprint: str) -> Path | None:
    """The run that made an encoder; None for one that came from elsewhere."""
    for file in sorted((store / RUNS).glob(f"*/{RECORD}")):
        if read_run(file.parent).get("fingerprint") == fingerprint:
            return file.parent
    return None


def waiting_run(store: Path, kind: str) -> Path | None:
    """The newest run of a kind where it has made no encoder yet; an older one was given up."""
    runs = _runs_of(store, kind)
    return None if not runs or is_finished(runs[-1]) else runs[-1]


def unfinished_run(store: Path, kind: str) -> Path | None:
    """The newest run of a kind that has made no encoder yet."""
    return next((run for run in reversed(_runs_of(store, kind)) if not is_finished(run)), None)


def _runs_of(store: Path, kind: str) -> list[Path]:
    """Runs of a kind, oldest first; a name that begins with `vae-` may be of `vae-tl`."""
    runs = [file.parent for file in sorted((store / RUNS).glob(f"{kind}-*/{RECORD}"))]
    return [run for run in runs if read_run(run)["kind"] == kind]


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
    ids: I64 = run_array(run, "ids")
    held_back: Bool = run_array(run, "selection")
    return ids[held_back]
