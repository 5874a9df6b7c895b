"""What an audit answers: plain frozen values, the same from Python and as JSON.

Values of labels are −1 absent, 0 unknown, +1 present; as JSON they are these words.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from olrsearch.core.counted import counted
from olrsearch.core.label_values import as_json
from olrsearch.core.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from olrsearch.core.label_values import LabelValue
    from olrsearch.core.rows import Thumbnails


@dataclass(frozen=True, slots=True)
class _Answer:
    """What is one object as JSON."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict."""
        found: dict[str, Any] = as_json(self)
        return found


@dataclass(frozen=True, slots=True)
class AuditReport(_Answer):
    """What an audit came to.

    Attributes:
        run: Its name.
        space: The space it looked at.
        images: How many it looked at.
        labels: How many labels.
        entries: Known entries among them.
        suspicious: Entries that are more likely wrong than right.
        reviewed: Entries that people had judged when they were ranked.
        scorers: What was asked.
        seconds: Time of each array that was computed, by its name.
        notes: What a reader must know.
    """

    run: str
    space: str
    images: int
    labels: int
    entries: int
    suspicious: int
    reviewed: int
    scorers: tuple[str, ...]
    seconds: Mapping[str, float]
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """For a person."""
        spent = sum(self.seconds.values())
        judged = f", {self.reviewed:,} reviewed" if self.reviewed else ""
        looked = (
            f"{counted(self.entries, 'entry', 'entries')} of {counted(self.labels, 'label')} and "
            f"{counted(self.images, 'image')} of {self.space}"
        )
        return [
            f"{self.run}: {looked} in {spent:.0f} s{judged}",
            f"{self.suspicious:,} are more likely wrong than right: olrsearch audit list, audit summary",
        ]


@dataclass(frozen=True, slots=True)
class AuditRun(_Answer):
    """One audit of a store.

    Attributes:
        run: Its name.
        state: `finished`, `unfinished` or `damaged`.
        space: The space it looks at; null where its record is damaged.
        created: When it began, UTC, ISO 8601; null likewise.
        images: How many it looks at; null likewise.
        labels: How many labels; null likewise.
        label_revision: Of the labels it looks at; null likewise.
        suspicious: Entries that are more likely wrong than right; null until it is finished.
        scorers: What it asks; empty where its record is damaged.
    """

    run: str
    state: str
    space: str | None
    created: str | None
    images: int | None
    labels: int | None
    label_revision: int | None
    suspicious: int | None
    scorers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LabelIssue(_Answer):
    """An entry that an audit suspects, or of an unknown one what it suggests.

    Attributes:
        rank: 1 for the most suspicious entry of the list, or the most certain suggestion.
        image_id: The image's stable id.
        key: The key its data set gave it.
        label: The label.
        given: Its stored value.
        suggested: The value that the evidence speaks for.
        score: Probability of what is given, 0 to 1, smaller = more suspicious; null where nothing is.
        present: Probability that the label is present.
        verdict: What people decided about it, `accept`, `flip`, `unsure` or `set`; null where nobody did.
    """

    rank: int
    image_id: int
    key: str
    label: str
    given: LabelValue
    suggested: LabelValue
    score: float | None
    present: float
    verdict: str | None = None


@dataclass(frozen=True, slots=True)
class LabelIssues(Rows[LabelIssue]):
    """A page of a list.

    Attributes:
        run: The audit that answers.
        issues: The page, most suspicious first.
        total: How many the run keeps, before what was reviewed or changed is left out.
        notes: What a reader must know.
        thumbnails: Pictures of the images, for notebooks.
    """

    ROWS: ClassVar[str] = "issues"

    run: str
    issues: tuple[LabelIssue, ...]
    total: int
    notes: tuple[str, ...] = ()
    thumbnails: Thumbnails | None = field(default=None, repr=False, compare=False)

    def _heading(self) -> str:
        return f"{self.run}: the first {len(self)} of {self.total:,} entries that may be wrong"


@dataclass(frozen=True, slots=True)
class EvidenceImage:
    """An image that speaks for or against an entry.

    Attributes:
        image_id: Its stable id.
        key: Its key.
        given: The label's value in it when the audit was made.
    """

    image_id: int
    key: str
    given: LabelValue


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one scorer says of an entry.

    Attributes:
        scorer: Its name.
        present: Its probability that the label is present; null where it says nothing.
        text: Why, in a sentence.
        images: Images that speak against the stored value, nearest first.
    """

    scorer: str
    present: float | None
    text: str
    images: tuple[EvidenceImage, ...] = ()


@dataclass(frozen=True, slots=True)
class DecisionMade:
    """A decision on an entry.

    Attributes:
        verdict: `accept`, `flip`, `unsure`, `set` or `undo`.
        given: The value before it; null where it was not recorded.
        value: The value that holds since; null for that of the annotation.
        who: Who decided.
        when: When, UTC, ISO 8601.
        why: The reason, may be empty.
        run: The audit that led to it; null where none did.
    """

    verdict: str
    given: LabelValue | None
    value: LabelValue | None
    who: str
    when: str
    why: str
    run: str | None


@dataclass(frozen=True, slots=True)
class AuditedEntry(_Answer):
    """One entry with all that is known of it.

    Attributes:
        run: The audit that answers.
        image_id: The image's stable id.
        key: The key its data set gave it.
        label: The label.
        given: Its value when the audit was made.
        now: Its value now.
        suggested: The value that the evidence speaks for.
        score: Probability of what was given; null where nothing was, or nothing is said.
        present: Probability that the label is present; null where nothing is said.
        evidence: One object a scorer.
        decisions: What was decided about it, oldest first.
        notes: What a reader must know.
    """

    run: str
    image_id: int
    key: str
    label: str
    given: LabelValue
    now: LabelValue
    suggested: LabelValue
    score: float | None
    present: float | None
    evidence: tuple[Evidence, ...]
    decisions: tuple[DecisionMade, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """How many entries are wrong, with a 90 % interval.

    Attributes:
        entries: Entries of the kind.
        count: How many of them are wrong; null where the data cannot tell.
        low: At least so many; null likewise.
        high: At most so many; null likewise.
    """

    entries: int
    count: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class LabelSummary(_Answer):
    """What an audit says of one label.

    Attributes:
        label: Its name.
        entries: Known entries.
        false_present: Of the entries stored as present.
        false_absent: Of the entries stored as absent.
        total: Of all known entries.
        identifiable: Whether the evidence tells present from absent well enough to count errors.
        reviewed: Entries that people have judged, as of now.
        wrong: Those among them whose value in the audit was found wrong.
        note: What a reader must know of the estimate; may be empty.
    """

    label: str
    entries: int
    false_present: ErrorCount
    false_absent: ErrorCount
    total: ErrorCount
    identifiable: bool
    reviewed: int
    wrong: int
    note: str


@dataclass(frozen=True, slots=True)
class AuditSummary:
    """What an audit says of all labels: one row each, the most errors first."""

    run: str
    labels: tuple[LabelSummary, ...]
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[LabelSummary]:
        return iter(self.labels)


@dataclass(frozen=True, slots=True)
class RuleCount(_Answer):
    """A rule between two labels, and how often it is broken.

    Attributes:
        text: What it says and how often it holds, in a sentence.
        kind: `exclusion` or `implication`.
        labels: The two labels.
        values: The value of each that no image should have together, −1 or +1.
        source: `mined` from the labels, or from a `file` of the user's.
        support: How many images have each value.
        expected: How many would break it by chance.
        violations: How many break it.
        examples: Keys of some that do.
    """

    text: str
    kind: str
    labels: tuple[str, str]
    values: tuple[LabelValue, LabelValue]
    source: str
    support: tuple[int, int]
    expected: float
    violations: int
    examples: tuple[str, ...]
