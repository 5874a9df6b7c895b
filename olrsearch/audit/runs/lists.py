"""Lists of suspected entries, and of suggestions for unknown ones: what still holds of them, page by page.

Notation: N images, L labels of a run.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.audit.runs.results import LabelIssue
from olrsearch.audit.scorers.retired import retired_notes
from olrsearch.core.errors import AuditError, OlrsearchError
from olrsearch.core.names import LabelNames
from olrsearch.store.audit_runs import RunFolder, audit_folders
from olrsearch.store.decision_rules import VALUE_NAMES, VERDICT_CODES
from olrsearch.store.files import RUNS
from olrsearch.store.read.audits import Suspect, read_audits, read_suspects
from olrsearch.store.read.decisions import read_history, read_verdicts
from olrsearch.store.read.stored_json import RESTORE, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from olrsearch.audit.runs.results import LabelIssues
    from olrsearch.store.backend import Backend
    from olrsearch.store.read.audits import AuditInfo
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.read.stored_json import Form

COLUMNS: Final = ("image", "label", "given", "suggested", "score", "run", "decision")
"""Of the CSV; `Store.labels.decide_file` reads it back when the last is filled in."""

_CONFIG: Final[Mapping[str, Form]] = {"space": str, "labels": list, "scorers": list}
_SUMMARY: Final[Mapping[str, Form]] = {
    "present": str,
    "suspicious": int,
    "history": int,
    "estimates": list,
    "notes": list,
}
"""What is read of an audit's settings and of its summary."""
_BATCH: Final = 200
_VERDICTS: Final = {code: verdict for verdict, code in VERDICT_CODES.items()}


@dataclass(slots=True, eq=False)
class Page:
    """The first so many entries of a list that still hold, and how many did not.

    Attributes:
        snapshot: What holds now.
        info: The audit.
        most: How many entries are wanted, those that are to be skipped included.
        suggested: Only entries that the evidence finds so, −1 or +1.
        reviewed: Whether entries that people have judged are kept.
        changed: Entries left out so far because their label changed.
        hidden: Entries left out so far because people have judged them.
        gone: Entries of the whole list that are left out because their images were deleted or replaced.
    """

    snapshot: Snapshot
    info: AuditInfo
    most: int
    suggested: int | None
    reviewed: bool
    changed: int = 0
    hidden: int = 0
    gone: int = 0
    _found: list[tuple[Suspect, int]] = field(default_factory=list)

    def take(self, batch: Sequence[Suspect]) -> bool:
        """Takes what holds of some more entries; says whether the page is full."""
        ids = np.unique([item.image_id for item in batch])
        verdicts = read_verdicts(self.snapshot, ids)
        # Before the first change of a label nothing can differ, and reading is spared.
        labels = None
        if self.snapshot.label_revision != self.info.label_revision:
            labels = self.snapshot.labels(ids)
        for item in batch:
            if self.suggested is not None and self.suggested != _suggested(item):
                continue
            place = int(np.searchsorted(ids, item.image_id)), item.position
            verdict = int(verdicts[place])
            if verdict:
                if not self.reviewed:
                    self.hidden += 1
                    continue
            elif labels is not None and labels[place] != item.given:
                self.changed += 1
                continue
            self._found.append((item, verdict))
            if len(self._found) == self.most:
                return True
        return False

    def issues(self) -> tuple[LabelIssue, ...]:
        """What was taken, ranked from 1."""
        return tuple(
            LabelIssue(
                rank=rank,
                image_id=item.image_id,
                key=item.key,
                label=self.snapshot.label_names[item.position],
                given=item.given,
                suggested=_suggested(item),
                score=None if item.given == 0 else item.score,
                present=item.present,
                verdict=_VERDICTS.get(verdict),
            )
            for rank, (item, verdict) in enumerate(self._found, 1)
        )

    def notes(self) -> tuple[str, ...]:
        """What was left out, and how old the audit is."""
        notes = []
        if self.hidden:
            notes.append(f"{entries(self.hidden)} reviewed already left out: --reviewed shows them")
        if self.changed:
            notes.append(f"{entries(self.changed)} left out whose label changed since the audit")
        if self.gone:
            notes.append(f"{entries(self.gone)} left out whose image was deleted or replaced since the audit")
        return (*notes, *stale_notes(self.snapshot, self.info))


def find_audit(backend: Backend, name: str | None = None) -> AuditInfo:
    """A finished audit by name, the newest when None.

    Raises:
        AuditError: there is none, or none of this name.
    """
    found = read_audits(backend.snapshot())
    chosen = next((info for info in reversed(found) if name in {None, info.name}), None)
    if chosen is not None:
        _check_said(chosen)
        return chosen
    unfinished = [folder.name for folder in audit_folders(backend.path / RUNS)]
    if name in unfinished or (name is None and unfinished):
        raise AuditError(f"{name or unfinished[-1]} is not finished: run `olrsearch audit run --resume`")
    if not found:
        raise AuditError("no audit has been run in this store: run `olrsearch audit run`")
    raise AuditError(f"no audit is called {name!r}; there are {', '.join(info.name for info in found)}")


def _check_said(info: AuditInfo) -> None:
    """Refuses an audit whose settings or summary lack what is read of them."""
    for column, value, fields in (("config", info.config, _CONFIG), ("summary", info.summary, _SUMMARY)):
        advice = f"`olrsearch audit delete {info.name}` and audit again, or {RESTORE}"
        Place("audit_run", info.name, column, advice).record(value, fields)


def suspects(
    snapshot: Snapshot, info: AuditInfo, positions: Sequence[int] | None, given: int | None
) -> Iterator[list[Suspect]]:
    """Suspects of an audit in their order, some at a time; arguments as of `read_suspects`."""
    after = 0
    while some := read_suspects(
        snapshot, info.name, positions=positions, given=given, after=after, count=_BATCH
    ):
        yield some
        after = some[-1].rank


def suggestions(
    snapshot: Snapshot, info: AuditInfo, wanted: Sequence[int] | None
) -> tuple[Iterator[list[Suspect]], int]:
    """Suggestions for unknown entries of living images, the most certain first, and how many there are.

    Args:
        snapshot: The generation.
        info: The audit.
        wanted: Only of these labels of the store, by position.
    """
    folder = RunFolder.open(info.path)
    ids, given = np.asarray(folder.load("ids")), folder.load("given")
    present = folder.load(info.summary["present"])
    positions = np.asarray(snapshot.label_positions(info.config["labels"]))
    columns = np.arange(len(positions)) if wanted is None else np.flatnonzero(np.isin(positions, wanted))
    open_to_all = (np.asarray(given[:, columns]).T == 0) & np.isfinite(present[columns])
    label, row = np.nonzero(open_to_all & np.isin(ids, snapshot.image_ids()))
    chance = np.asarray(present[columns])[label, row]
    # Ties go by image id, as everywhere.
    order = np.lexsort((label, row, -np.maximum(chance, 1 - chance)))
    label, row, chance = columns[label[order]], row[order], chance[order]

    def batches() -> Iterator[list[Suspect]]:
        for start in range(0, len(row), _BATCH):
            some = slice(start, start + _BATCH)
            keys = snapshot.columns(ids[row[some]], ("key",))["key"].tolist()
            yield [
                Suspect(0, image, key, place, 0, np.nan, probability)
                for image, key, place, probability in zip(
                    ids[row[some]].tolist(),
                    keys,
                    positions[label[some]].tolist(),
                    chance[some].tolist(),
                    strict=True,
                )
            ]

    return batches(), len(row)


def named(snapshot: Snapshot, info: AuditInfo, label: str) -> str:
    """A label's own spelling.

    Raises:
        UnknownLabelError: the store has no such label; carries the nearest names.
        AuditError: the audit did not look at it.
    """
    name = LabelNames(snapshot.label_names).find(label)
    if name not in info.config["labels"]:
        raise AuditError(
            f"{info.name} did not look at {name}: audit again without --labels, or name one of its "
            f"{len(info.config['labels'])} labels"
        )
    return name


def agreement_notes(issues: Sequence[LabelIssue]) -> tuple[str, ...]:
    """Says from where on a list goes beyond what is suspected: audits keep some entries of every label."""
    first = next((issue.rank for issue in issues if issue.suggested == issue.given), None)
    if first is None:
        return ()
    note = f"from rank {first:,} on the evidence agrees with what is stored"
    return (f"{note}: these are the least certain entries, but none that is suspected",)


def stale_notes(snapshot: Snapshot, info: AuditInfo) -> tuple[str, ...]:
    """Says how old an audit is: scorers no longer asked, changes of images and labels, decisions to learn."""
    notes = list(retired_notes(info.config["scorers"]))
    if gone := _images_gone(snapshot, info):
        notes.append(
            f"{gone:,} image{' that' if gone == 1 else 's that'} {info.name} looked at "
            f"{'was' if gone == 1 else 'were'} deleted or replaced since: what replaced them is in no list "
            "before you audit again"
        )
    if snapshot.label_revision != info.label_revision:
        notes.append(
            f"{info.name} looked at labels of revision {info.label_revision}, they are at revision "
            f"{snapshot.label_revision} now"
        )
    made = len(read_history(snapshot, labels=info.config["labels"])) - info.summary["history"]
    if made > 0:
        notes.append(
            f"{made:,} decision{'' if made == 1 else 's'} since it was ranked: `olrsearch audit refit` "
            "ranks with what they teach"
        )
    return tuple(notes)


def _images_gone(snapshot: Snapshot, info: AuditInfo) -> int:
    """How many images of an audit live no more; 0 where its files cannot be read, as `verify` says."""
    dead = snapshot.tombstoned()
    if not dead.size:
        return 0
    try:
        looked = np.asarray(RunFolder.open(info.path).load("ids"))
    except (OlrsearchError, OSError):
        return 0
    return int(np.isin(dead, looked).sum())


def csv_table(snapshot: Snapshot, found: LabelIssues) -> bytes:
    """A list as CSV whose last column is to be filled in with accept, flip or unsure.

    Images are called as decisions find them: by their key, with the data set where there are several.
    """
    rows = snapshot.images([issue.image_id for issue in found])
    several = len(snapshot.datasets()) > 1
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for issue, row in zip(found, rows, strict=True):
        writer.writerow(
            [
                f"{row.dataset}/{row.key}" if several else row.key,
                issue.label,
                VALUE_NAMES[issue.given],
                VALUE_NAMES[issue.suggested],
                "" if issue.score is None else f"{issue.score:.6f}",
                found.run,
                "",
            ]
        )
    return buffer.getvalue().encode("utf-8")


def entries(count: int) -> str:
    """`1 entry`, `2 entries`."""
    return f"{count:,} entr{'y' if count == 1 else 'ies'}"


def _suggested(item: Suspect) -> int:
    return 1 if item.present >= 0.5 else -1
