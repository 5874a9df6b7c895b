"""Everything that can be asked of the audits of an open store.

Nothing here imports torch, and lists are read from SQL. Notation: N images, L labels.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from olrsearch.api.arguments import checked_verbs
from olrsearch.api.pictures import pictures
from olrsearch.api.thumbnails import Thumbnails
from olrsearch.audit.runs.lists import (
    Page,
    agreement_notes,
    csv_table,
    find_audit,
    named,
    stale_notes,
    suggestions,
    suspects,
)
from olrsearch.audit.runs.results import (
    AuditRun,
    AuditSummary,
    ErrorCount,
    LabelIssues,
    LabelSummary,
    RuleCount,
)
from olrsearch.audit.runs.reviewed import Reviewed
from olrsearch.core.errors import AuditError, QueryError, StoreCorruptError, StoreVersionError
from olrsearch.core.shown import shown
from olrsearch.search.page import check_page
from olrsearch.store.audit_runs import RunFolder, audit_folders
from olrsearch.store.decision_rules import NAMED_VALUES
from olrsearch.store.files import RUNS
from olrsearch.store.read.audits import count_gone, count_suspects, read_audits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from olrsearch.api.session import Session
    from olrsearch.audit.runs.results import AuditedEntry, AuditReport
    from olrsearch.core.arrays import I8
    from olrsearch.store.read.audits import AuditInfo

_EXAMPLES = 5
"""Images that are named for a broken rule."""


@checked_verbs
class Audits:
    """The audits of a store: `Store.audit`."""

    def __init__(self, session: Session) -> None:
        self._backend = session.backend
        self._session = session
        self._pictures = partial(pictures, session)

    def run(
        self,
        *,
        space: str | None = None,
        labels: Sequence[str] | None = None,
        where: str | None = None,
        scorers: Sequence[str] | None = None,
        rules: Path | str | None = None,
        weights: Path | str | None = None,
        folds: int | None = None,
        seed: int | None = None,
        resume: bool = False,
    ) -> AuditReport:
        """Audit the stored labels; see `olrsearch.audit.runs.run.run_audit`."""
        from olrsearch.audit.runs.begin import AuditSettings
        from olrsearch.audit.runs.run import run_audit

        settings = AuditSettings(
            space=space,
            labels=labels,
            where=where,
            scorers=scorers,
            rules=None if rules is None else Path(rules),
            weights=weights,
            folds=folds,
            seed=seed,
        )
        return run_audit(self._backend, settings, resume=resume, track=self._session.track)

    def refit(self, run: str | None = None) -> AuditReport:
        """Let an audit learn from decisions; see `olrsearch.audit.runs.run.refit_audit`."""
        from olrsearch.audit.runs.run import refit_audit

        return refit_audit(self._backend, run)

    def delete(self, run: str) -> None:
        """Remove an audit; see `olrsearch.audit.runs.run.delete_audit`."""
        from olrsearch.audit.runs.run import delete_audit

        delete_audit(self._backend, run)

    def runs(self) -> tuple[AuditRun, ...]:
        """All audits of the store, the oldest first, unfinished and damaged ones too."""
        finished = {info.name: info for info in read_audits(self._backend.snapshot())}
        names = {path.name for path in audit_folders(self._backend.path / RUNS)} | set(finished)
        return tuple(self._about(name, finished.get(name)) for name in sorted(names))

    def list(
        self,
        label: str | Sequence[str] | None = None,
        k: int = 20,
        *,
        offset: int = 0,
        given: str | None = None,
        suggested: str | None = None,
        unknown: bool = False,
        reviewed: bool = False,
        run: str | None = None,
    ) -> LabelIssues:
        """The most suspicious entries of an audit, or what it suggests for unknown ones.

        Entries of images that were deleted or replaced since are left out, and so are those whose value has
        changed, which is said.

        Args:
            label: Only of this label, or of any of these, in any spelling.
            k: Entries a page.
            offset: Skip this many.
            given: Only entries that are stored so, `present` or `absent`.
            suggested: Only entries that the evidence finds `present` or `absent`.
            unknown: Entries nobody has labelled instead, the most certain suggestions first.
            reviewed: Also entries that people have judged.
            run: Name of the audit; the newest when None.

        Raises:
            AuditError: no such audit, or one that did not look at this label.
            UnknownLabelError: the store has no such label; carries the nearest names.
            QueryError: a page, or a value, that cannot be.
        """
        check_page(k, offset)
        value, wanted = _value(given, "given"), _value(suggested, "suggested")
        if unknown and value is not None:
            raise QueryError(
                "unknown entries are given as neither present nor absent: leave one of the two out"
            )
        info, snapshot = find_audit(self._backend, run), self._backend.snapshot()
        labels = (label,) if isinstance(label, str) else label or ()
        positions = snapshot.label_positions([named(snapshot, info, one) for one in labels]) or None
        page = Page(snapshot, info, offset + k, wanted, reviewed=reviewed)
        if unknown:
            batches, total = suggestions(snapshot, info, positions)
        else:
            batches = suspects(snapshot, info, positions, value)
            total = count_suspects(snapshot, info.name, positions=positions, given=value)
            page.gone = count_gone(snapshot, info.name, positions=positions, given=value, suggested=wanted)
        full = any(page.take(batch) for batch in batches)
        ended = [f"{info.name} keeps {total:,} suspects of this kind: there are no more"]
        issues = page.issues()[offset:]
        notes = (*agreement_notes(issues), *page.notes(), *([] if full or unknown else ended))
        return LabelIssues(info.name, issues, total, notes, Thumbnails(snapshot))

    def show(self, image: int | str, label: str, *, run: str | None = None) -> AuditedEntry:
        """One entry with all that is known of it: every scorer's evidence and why, and decisions.

        Args:
            image: Its id or key.
            label: The label, in any spelling.
            run: Name of the audit; the newest when None.

        Raises:
            AuditError: no such audit, or one that did not look at this entry.
            UnknownImageError, UnknownLabelError: there is none.
        """
        from olrsearch.audit.runs.show import Shown, show_entry

        snapshot = self._backend.snapshot()
        info = find_audit(self._backend, run)
        number = snapshot.resolve(image)
        return show_entry(Shown(snapshot, info), number, named(snapshot, info, label))

    def summary(self, *, run: str | None = None) -> AuditSummary:
        """How many entries of each label are wrong, with intervals; most errors first.

        Args:
            run: Name of the audit; the newest when None.

        Raises:
            AuditError: no such audit.
        """
        info, snapshot = find_audit(self._backend, run), self._backend.snapshot()
        names = info.config["labels"]
        folder = RunFolder.open(info.path)
        judged = Reviewed.read(snapshot, np.asarray(folder.load("ids")), names)
        against = judged.against(np.asarray(folder.load("given"))) if len(judged) else None
        try:
            rows = [
                _label_summary(item, None if against is None else against[:, column])
                for column, item in enumerate(info.summary["estimates"])
            ]
        except (KeyError, TypeError, IndexError) as error:
            raise StoreCorruptError(
                f"metadata: the estimates of the audit {info.name} are damaged ({error!r}): run `olrsearch "
                "audit refit`, or restore metadata.db from a backup"
            ) from error
        rows.sort(key=lambda row: (-(row.total.count or 0), row.label))
        return AuditSummary(info.name, tuple(rows), (*info.summary["notes"], *stale_notes(snapshot, info)))

    def rules(self, rules: Path | str | None = None) -> tuple[RuleCount, ...]:
        """Rules between the stored labels and how often they are broken, the user's first, then mined ones.

        Args:
            rules: A file of the user's rules.

        Raises:
            AuditError: a file that holds no rules, or no label is stored.
            EmptyStoreError: there are no images.
            UnknownLabelError: a rule about a label that the store has not.
        """
        from olrsearch.audit.scorers.rule_file import read_rules
        from olrsearch.audit.scorers.rules import count_rules, mine_rules, violations

        snapshot = self._session.living()
        ids = snapshot.image_ids()
        given = snapshot.labels(ids)
        if not given.any():
            raise AuditError("no label is stored, so there are no rules: import a data set with labels")
        names = snapshot.label_names
        own = () if rules is None else count_rules(read_rules(Path(rules), names), given)
        said = {(rule.labels, rule.values) for rule in own}
        mined = (rule for rule in mine_rules(names, given) if (rule.labels, rule.values) not in said)
        found = (*own, *mined)
        rows, which = violations(found, given)
        broken = [rows[which == number] for number in range(len(found))]
        shown = np.unique(np.concatenate([ids[:0], *(ids[some[:_EXAMPLES]] for some in broken)]))
        keys = {row.id: row.key for row in snapshot.images(shown)}
        return tuple(
            RuleCount(
                text=rule.text,
                kind=rule.kind,
                labels=rule.names,
                values=rule.values,
                source=rule.source,
                support=rule.support,
                expected=round(rule.expected, 3),
                violations=len(some),
                examples=tuple(keys[int(ids[row])] for row in some[:_EXAMPLES]),
            )
            for rule, some in zip(found, broken, strict=True)
        )

    def sheet(
        self,
        path: Path | str,
        *,
        labels: Sequence[str] = (),
        k: int = 20,
        given: str | None = None,
        unknown: bool = False,
        reviewed: bool = False,
        run: str | None = None,
        columns: int = 5,
    ) -> Path:
        """Write the most suspicious entries with their pictures, evidence and contrary neighbours.

        Args:
            path: `.html` or `.png`.
            labels: A section for each of these; one over all labels where none is named.
            k: Entries a section.
            given: As of `list`.
            unknown: Likewise.
            reviewed: Likewise.
            run: Likewise.
            columns: Pictures in a row of a PNG.

        Raises:
            OlrsearchError: another suffix; and what `list` raises.
        """
        from olrsearch.audit.runs.show import Shown
        from olrsearch.sheets import sheet_form, write_sheet
        from olrsearch.sheets.audits import issues_sheet

        sheet_form(Path(path))
        info, snapshot = find_audit(self._backend, run), self._backend.snapshot()
        sections: tuple[str | None, ...] = tuple(named(snapshot, info, label) for label in labels) or (None,)
        found = [
            (label, self.list(label, k, given=given, unknown=unknown, reviewed=reviewed, run=info.name))
            for label in sections
        ]
        shown = Shown(snapshot, info)
        return write_sheet(issues_sheet(found, shown, self._pictures), path, columns=columns)

    def card(self, entry: AuditedEntry, path: Path | str) -> Path:
        """Write what `show` returned as a page with pictures, `.html` or `.png`."""
        from olrsearch.sheets import write_sheet
        from olrsearch.sheets.audits import entry_sheet

        return write_sheet(entry_sheet(entry, self._pictures), path)

    def table(self, found: LabelIssues, path: Path | str) -> Path:
        """Write a list as CSV, whose column `decision` is to be filled in for `Store.labels.decide_file`."""
        from olrsearch.core.files import write_whole

        write_whole(Path(path), csv_table(self._backend.snapshot(), found))
        return Path(path)

    def _about(self, name: str, info: AuditInfo | None) -> AuditRun:
        try:
            record = RunFolder.open(self._backend.path / RUNS / name).record
            config = record["config"]
            form = record["arrays"]["given"]["shape"]
        except (StoreCorruptError, StoreVersionError, KeyError, TypeError):
            return AuditRun(name, "damaged", None, None, None, None, None, None, ())
        return AuditRun(
            run=name,
            state="unfinished" if info is None else "finished",
            space=config["space"],
            created=record["created_at"],
            images=form[0],
            labels=form[1],
            label_revision=record["label_revision"],
            suspicious=None if info is None else info.summary["suspicious"],
            scorers=tuple(config["scorers"]),
        )


def _value(word: str | None, what: str) -> int | None:
    value = None if word is None else NAMED_VALUES.get(word, 0)
    if value == 0:
        raise QueryError(f"{what} is present or absent, found {shown(word)}")
    return value


def _label_summary(item: Mapping[str, Any], judged: I8 | None) -> LabelSummary:
    """A row of the summary.

    Args:
        item: The estimate, as the run kept it.
        judged: int8 [N], +1 found wrong, −1 found right, 0 not reviewed; None where nothing was.
    """
    return LabelSummary(
        label=item["label"],
        entries=item["total"]["entries"],
        false_present=_count(item["false_present"]),
        false_absent=_count(item["false_absent"]),
        total=_count(item["total"]),
        identifiable=item["identifiable"],
        reviewed=0 if judged is None else int(np.count_nonzero(judged)),
        wrong=0 if judged is None else int((judged > 0).sum()),
        note=item["note"],
    )


def _count(item: Mapping[str, Any]) -> ErrorCount:
    return ErrorCount(item["entries"], item["count"], item["count_low"], item["count_high"])
