"""Audit runs: what scorers say of a store's labels, step by step, kept so that nothing is computed twice.

    ids, given, fold, identity, seen       what the run looks at, whole before its folder has a name
    twins                                  where a scorer needs them
    evidence-<scorer>                      of the labels as they are
    injected/rows, given, evidence-…       some images again with known errors: what weighs the evidence
    present-<n>                            all things taken together, once more after every refit
    SQL                                    estimates and suspects, one transaction

Every array is durable as soon as it is there (`olrsearch.store.audit_runs`). A run that was interrupted, or
killed, goes on behind the last one.

Notation: N images, L labels, n images with injected errors.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch._version import __version__
from olrsearch.audit.evidence.combine import Combination
from olrsearch.audit.evidence.estimates import estimate_errors
from olrsearch.audit.evidence.noise import symmetric
from olrsearch.audit.evidence.raising import raise_constants, raise_notes
from olrsearch.audit.runs.begin import AuditSettings, begin_run
from olrsearch.audit.runs.from_store import run_material, run_scorers, run_space
from olrsearch.audit.runs.lists import find_audit
from olrsearch.audit.runs.ranking import adapt_weights, combine, find_suspects, fit_weights, injected_rows
from olrsearch.audit.runs.results import AuditReport
from olrsearch.audit.runs.reviewed import Reviewed
from olrsearch.audit.scorers.retired import RETIRED, retired_notes
from olrsearch.audit.scorers.twins import find_twins
from olrsearch.core.errors import AuditError, StoreCorruptError, StoreReadOnlyError
from olrsearch.core.files import discard_folder
from olrsearch.core.progress import Track, silent
from olrsearch.evaluation.report import jsonable
from olrsearch.store.audit_runs import RunFolder, audit_folders
from olrsearch.store.files import RUNS
from olrsearch.store.read.audits import read_audits
from olrsearch.store.read.decisions import read_history

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from olrsearch.audit.scorers.material import Material
    from olrsearch.audit.scorers.protocol import Scorer
    from olrsearch.core.arrays import F32
    from olrsearch.core.progress import T
    from olrsearch.store.backend import Backend

logger = logging.getLogger(__name__)

INJECTED: Final = 0.05
"""Share of entries that are flipped to learn what evidence is worth."""
INJECTED_SEED: Final = 100

_FIRST: Final = ("ids", "given", "fold", "identity", "seen")
_FINISHED = "finished"
_PRESENT: Final = "present-"


def run_audit(
    backend: Backend, settings: AuditSettings, *, resume: bool = False, track: Track = silent
) -> AuditReport:
    """Audit the stored labels of a space's images.

    The store stays open to others: its lock is taken only to register what was found.

    Args:
        backend: The store, writable.
        settings: What to look at, and how.
        resume: Go on with the newest run that was not finished, with its own settings.
        track: Shows progress.

    Raises:
        AuditError: nothing to audit or to resume, a scorer that is not known, weights that do not fit,
            a run whose first arrays are damaged.
        UnknownLabelError, QuerySyntaxError: labels, or a condition, that cannot be.
        EmptyStoreError: no images, or no label embeddings.
        StoreReadOnlyError: the store was opened read-only.
        KeyboardInterrupt, OSError: interrupted, or the disk refused; says that the run can go on.
    """
    _require_writable(backend, "keep")
    if resume:
        if settings != AuditSettings():
            raise AuditError("a resumed audit keeps its own settings: give --resume alone")
        folder = _unfinished(backend.path / RUNS)
    else:
        folder = begin_run(backend, settings)
    with folder.locked(), _resumable(folder):
        folder.clean()
        return _Run(backend, folder, track).finish()


def refit_audit(backend: Backend, name: str | None = None) -> AuditReport:
    """Weigh, rank and estimate a finished audit again, with what was decided since; no scorer is asked.

    Args:
        backend: The store, writable.
        name: Of the audit; the newest when None.

    Raises:
        AuditError: there is no such audit.
        StoreCorruptError: its evidence is damaged.
    """
    _require_writable(backend, "refit")
    folder = RunFolder.open(find_audit(backend, name).path)
    with folder.locked():
        folder.clean()
        return _Run(backend, folder, silent).refit()


def delete_audit(backend: Backend, name: str) -> None:
    """Remove an audit, finished or not, with all it kept; decisions that it led to stay.

    Raises:
        AuditError: there is none of this name, or somebody works on it.
    """
    _require_writable(backend, "delete")
    path = backend.path / RUNS / name
    known = [folder.name for folder in audit_folders(backend.path / RUNS)]
    registered = {info.name for info in read_audits(backend.snapshot())}
    if name not in registered and name not in known:
        raise AuditError(
            f"no audit is called {name!r}; there are {', '.join(sorted(registered | set(known))) or 'none'}"
        )
    if not path.is_dir():  # its folder is lost already
        with backend.writer() as writer:
            writer.audits.remove(name)
        return
    with RunFolder(path, {}).locked():
        with backend.writer() as writer:
            writer.audits.remove(name)
        discard_folder(path)


class _Run:
    """One audit on its way: each step takes what is whole and computes what is not."""

    def __init__(self, backend: Backend, folder: RunFolder, track: Track) -> None:
        self._backend = backend
        self._folder = folder
        self._track = track
        self._config: dict[str, Any] = folder.record["config"]
        self._snapshot = backend.snapshot()
        broken = [name for name in _FIRST if not folder.whole(name)]
        if broken:
            raise AuditError(
                f"{folder.path / broken[0]}.npy is damaged, and nothing can be computed without it: "
                f"`olrsearch audit delete {folder.name}` and audit again"
            )
        self._opened = run_space(self._snapshot, folder)
        self._ids = np.asarray(folder.load("ids"))
        self._seen = np.asarray(folder.load("seen"))
        self._found = run_material(self._opened, folder)
        self._notes: list[str] = [*folder.record["notes"]]

    def finish(self) -> AuditReport:
        """Computes what is missing and registers what was found."""
        began = self._folder.record["versions"]["olrsearch"]
        if began != __version__:
            self._notes.append(f"{self._folder.name} was begun with olrsearch {began}, this is {__version__}")
        if gone := retired_notes(self._config["scorers"]):
            raise AuditError(
                f"{'; '.join(gone)}; so {self._folder.name} cannot go on: `olrsearch audit delete "
                f"{self._folder.name}` and audit again"
            )
        scorers = run_scorers(self._config)
        found = self._found
        if "twins" in self._config["scorers"]:
            twins = self._array("twins", lambda: find_twins(self._snapshot, self._ids, track=self._track))
            found = replace(found, twins=twins)
        evidence = self._evidence(scorers, "", found, "stored labels")
        if self._config["weights"] is None:
            seed = self._config["seed"]
            rows = self._array("injected/rows", lambda: injected_rows(found.identity, self._seen, seed=seed))
            noisy = self._array(
                "injected/given", lambda: symmetric(found.given[rows], INJECTED, INJECTED_SEED)
            )
            self._evidence(scorers, "injected/", found.part(rows, noisy), "injected errors")
        return self._rank(evidence)

    def refit(self) -> AuditReport:
        """Ranks again, from the evidence that is kept."""
        return self._rank(self._kept_evidence(""))

    def _evidence(self, scorers: Sequence[Scorer], place: str, found: Material, what: str) -> dict[str, F32]:
        """Evidence of every scorer, float32 [L, N], memory-mapped."""
        track = _staged(self._track, what)
        out: dict[str, F32] = {}
        for scorer in scorers:
            name = f"{place}evidence-{scorer.name}"
            logger.info("%s: %s, %s", self._folder.name, scorer.name, what)
            out[scorer.name] = self._array(name, partial(scorer.evidence, found, track=track))
        return out

    def _kept_evidence(self, place: str) -> dict[str, F32]:
        return {name: self._folder.load(f"{place}evidence-{name}") for name in self._config["scorers"]}

    def _array(self, name: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """An array of the run, computed where it is not there whole."""
        if not self._folder.whole(name):
            if self._folder.has(name):
                self._notes.append(f"{name}.npy of {self._folder.name} was damaged and is computed again")
            started = time.perf_counter()
            array = make()
            self._folder.keep(name, array)
            spent = {**self._folder.record["seconds"], name: round(time.perf_counter() - started, 3)}
            self._folder.note(seconds=spent)
        return np.asarray(self._folder.load(name))

    def _weighed(self, evidence: Mapping[str, F32], reviewed: Reviewed) -> Combination:
        if self._config["weights"] is not None:
            base = Combination.from_dict(self._config["weights"])
            return adapt_weights(base, evidence, self._found.given, self._found.names, reviewed)
        rows = np.asarray(self._folder.load("injected/rows"))
        return fit_weights(
            self._kept_evidence("injected/"),
            np.asarray(self._folder.load("injected/given")),
            self._found.given[rows],
            self._found.names,
            evidence,
            reviewed,
        )

    def _rank(self, evidence: Mapping[str, F32]) -> AuditReport:
        folder, given, names = self._folder, self._found.given, self._found.names
        reviewed = Reviewed.read(self._snapshot, self._ids, names)
        weights = self._weighed(evidence, reviewed)
        errors = estimate_errors(
            names,
            given,
            {name: said for name, said in evidence.items() if name not in RETIRED},
            self._found.identity,
            reviewed=reviewed.against(given),
            seed=self._config["seed"],
        )
        raised = raise_constants(weights, evidence, given, names, errors)
        notes = [*self._notes, *raise_notes(weights, raised, names)]
        present = combine(raised, evidence, given, names)
        earlier = [name for name in folder.record["arrays"] if name.startswith(_PRESENT)]
        number = 1 + max((int(name.removeprefix(_PRESENT)) for name in earlier), default=0)
        kept = f"{_PRESENT}{number}"
        folder.keep(kept, present)
        suspects, suspicious = find_suspects(present, given, self._ids, self._snapshot.label_positions(names))
        summary = {
            "present": kept,
            "images": len(self._ids),
            "entries": int(np.count_nonzero(given)),
            "suspicious": suspicious,
            "reviewed": len(reviewed),
            "history": len(read_history(self._snapshot, labels=names)),
            "estimates": jsonable([asdict(item) for item in errors]),
            "notes": notes,
        }
        with self._backend.writer() as writer:
            writer.audits.set(
                folder.name,
                space_id=self._opened.info.id,
                label_revision=self._revision(reviewed),
                created_at=dt.datetime.fromisoformat(folder.record["created_at"]),
                config={key: value for key, value in self._config.items() if key != "weights"},
                summary=summary,
                suspects=suspects,
            )
        folder.note(status=_FINISHED, weights=weights.to_dict())
        for old in earlier:
            folder.drop(old)
        return AuditReport(
            run=folder.name,
            space=self._opened.info.name,
            images=len(self._ids),
            labels=len(names),
            entries=summary["entries"],
            suspicious=suspicious,
            reviewed=len(reviewed),
            scorers=tuple(self._config["scorers"]),
            seconds=folder.record["seconds"],
            notes=tuple(notes),
        )

    def _revision(self, reviewed: Reviewed) -> int:
        """The revision of the labels that are ranked: today's, where only reviews have changed any since."""
        began: int = self._folder.record["label_revision"]
        if began == self._snapshot.label_revision:
            return began
        now = self._snapshot.labels(self._ids, self._found.names)
        changed = (now != self._found.given) & (reviewed.truth == 0)
        return began if changed.any() else self._snapshot.label_revision


def _require_writable(backend: Backend, what: str) -> None:
    if backend.read_only:
        raise StoreReadOnlyError(f"{backend.path} was opened read-only: open it to write to {what} an audit")


def _unfinished(runs: Path) -> RunFolder:
    """The newest run that was not finished."""
    for path in reversed(audit_folders(runs)):
        try:
            folder = RunFolder.open(path)
        except StoreCorruptError:  # which `store verify` names
            continue
        if folder.record.get("status") != _FINISHED:
            return folder
    raise AuditError(f"there is no unfinished audit in {runs.parent}: start one without --resume")


@contextmanager
def _resumable(folder: RunFolder) -> Iterator[None]:
    """Says of an interruption, or a disk that refuses, what is kept."""
    advice = f"what is done of {folder.name} is kept: `olrsearch audit run --resume` goes on"
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(advice) from None
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; {advice}", error.filename) from error


def _staged(track: Track, stage: str) -> Track:
    """A track that says of which labels a scorer speaks."""

    def staged(items: Iterable[T], *, total: int, what: str, unit: str = "images") -> Iterator[T]:
        return track(items, total=total, what=f"{what}, {stage}", unit=unit)

    return staged
