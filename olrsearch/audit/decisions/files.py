"""Files of decisions: a CSV that people fill in, and the history as JSON lines.

```
image,label,decision,given,why,who,run     or `key`, `verdict` for image, decision; the last four are optional
000001.jpg,Smiling,flip,present,laughs,ann,audit-20240501-120000-000000

{"image": "000001.jpg", "label": "Smiling", "verdict": "flip", "given": 1, "value": -1, "who": "ann", …}
```

A CSV decides each entry once: accept, flip, unsure or undo, or present, absent or unknown to set it;
lines that say nothing yet are left out and counted; other columns are passed over. JSON lines are a
history: they are taken in their order, and an entry may stand again in lines that say when they were
decided.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from olrsearch.core.errors import AuditError
from olrsearch.core.shown import shown
from olrsearch.datasets.csv_files import read_csv, wrong_width
from olrsearch.datasets.json_lines import parse_json
from olrsearch.datasets.table_columns import names_shown
from olrsearch.datasets.text_files import read_text
from olrsearch.store.decision_rules import NAMED_VALUES, VERDICTS, DecisionRequest, is_verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from olrsearch.store.decision_rules import Decision

Line = TypeVar("Line")

HISTORY_SUFFIXES: Final = frozenset({".json", ".jsonl"})
"""Of JSON lines."""

_SAID: Final = (*(verdict for verdict in VERDICTS if verdict != "set"), *NAMED_VALUES)
"""What a CSV may say: the value itself stands for `set`."""

_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "image": ("image", "key"),
    "label": ("label",),
    "verdict": ("decision", "verdict"),
    "given": ("given",),
    "who": ("who",),
    "why": ("why",),
    "run": ("run",),
}
_NEEDED: Final = ("image", "label", "verdict")
_TOLD: Final = ("label", "verdict", "given", "value", "who", "when", "why", "run")
"""What a line of the history says of a decision beside its image."""
_KEYS: Final = frozenset({"image", "key", "dataset", "image_id", "sha256", "replaced", *_TOLD})
_VALUES: Final = {"present": 1, "1": 1, "+1": 1, "absent": -1, "-1": -1, "−1": -1, "unknown": 0, "0": 0}


@dataclass(frozen=True, slots=True)
class DecisionFile:
    """What a file holds.

    Attributes:
        requests: The decisions, in the order of the lines.
        faults: Line numbers with what is wrong there.
        undecided: Lines without a decision.
    """

    requests: tuple[DecisionRequest, ...]
    faults: tuple[tuple[int, str], ...]
    undecided: int = 0


def parse_decisions(path: Path) -> DecisionFile:
    """Read a file of decisions; bad lines become faults.

    Args:
        path: `.json` or `.jsonl` for JSON lines; CSV or TSV under any other name (UTF-8, with a header).

    Raises:
        AuditError: no such file, none that can be read, or columns that are missing or stand twice.
    """
    if path.suffix.lower() in HISTORY_SUFFIXES:
        return _parse_lines(path)
    header, rows = read_csv(path, what="file of decisions", missing=AuditError, damaged=AuditError)
    columns = _columns(header, path.name)

    def read(line: int, cells: Sequence[str]) -> DecisionRequest | None:
        if len(cells) != len(header):
            raise _FaultError(wrong_width(cells, header))
        return _from_csv(line, {name: cells[at].strip() for name, at in columns.items()})

    return _collected(rows, read)


def format_history(decisions: Iterable[Decision], images: Mapping[int, str]) -> bytes:
    """A history as JSON lines that `parse_decisions` reads; it says of what bytes where the image has others.

    Args:
        decisions: Oldest first.
        images: How to name each image, by id.
    """
    rows = (
        {"image": images[item.image_id], **{name: getattr(item, name) for name in _TOLD}}
        | ({"sha256": item.sha256} if item.replaced else {})
        for item in decisions
    )
    lines = (json.dumps(row, ensure_ascii=False, default=dt.datetime.isoformat) for row in rows)
    return "".join(f"{line}\n" for line in lines).encode()


class _FaultError(Exception):
    """What is wrong with one line."""


def _collected(
    lines: Iterable[tuple[int, Line]], read: Callable[[int, Line], DecisionRequest | None]
) -> DecisionFile:
    """What all lines say, by a reader of one that gives None for a line without a decision."""
    requests: list[DecisionRequest] = []
    faults: list[tuple[int, str]] = []
    undecided = 0
    for line, said in lines:
        try:
            request = read(line, said)
        except _FaultError as fault:
            faults.append((line, str(fault)))
            continue
        if request is None:
            undecided += 1
        else:
            requests.append(request)
    return DecisionFile(tuple(requests), tuple(faults), undecided)


def _columns(header: Sequence[str], where: str) -> dict[str, int]:
    """Where the columns stand that mean something."""
    lowered = [name.lower() for name in header]
    found: dict[str, int] = {}
    for meaning, names in _COLUMNS.items():
        places = [at for at, name in enumerate(lowered) if name in names]
        if len(places) > 1:
            raise AuditError(
                f"{where}, line 1: found the columns {' and '.join(header[at] for at in places)}, expected "
                f"one that says the {meaning}"
            )
        if places:
            found[meaning] = places[0]
    missing = [name for name in _NEEDED if name not in found]
    if missing:
        raise AuditError(
            f"{where}, line 1: no column {' or '.join(_COLUMNS[missing[0]])} among {names_shown(header)}; "
            "expected a header with image, label and decision"
        )
    return found


def _from_csv(line: int, said: Mapping[str, str]) -> DecisionRequest | None:
    if not said["verdict"]:
        return None
    word = said["verdict"].lower()
    verdict = "set" if word in NAMED_VALUES else word
    if word == "set" or not is_verdict(verdict):
        raise _FaultError(
            f"found the decision {shown(said['verdict'])}, expected {', '.join(_SAID)}, or nothing"
        )
    return DecisionRequest(
        image=_text(said, "image"),
        label=_text(said, "label"),
        verdict=verdict,
        value=NAMED_VALUES.get(word),
        given=_value(said.get("given", ""), "given"),
        who=said.get("who") or None,
        why=said.get("why", ""),
        run=said.get("run") or None,
        line=line,
    )


def _text(said: Mapping[str, Any], *names: str) -> str:
    """The first of some texts that is there and not empty."""
    found = next((said[name] for name in names if said.get(name)), None)
    if not isinstance(found, str):
        raise _FaultError(f"found no {names[0]}")
    return found


def _value(said: Any, what: str) -> int | None:  # noqa: ANN401 - a cell, or whatever JSON can hold
    """A label's value, in words or numbers; None for nothing."""
    if said is None or said == "":
        return None
    value = None if isinstance(said, bool) else _VALUES.get(str(said).strip().lower())
    if value is None:
        raise _FaultError(f"found {shown(str(said))} for {what}, expected present, absent or unknown")
    return value


def _parse_lines(path: Path) -> DecisionFile:
    text = read_text(path, what="file of decisions", missing=AuditError, damaged=AuditError)
    # Not `splitlines`: a reason may hold one of the other characters that it takes for a line's end.
    lines = [(line, part) for line, part in enumerate(text.split("\n"), start=1) if part.strip()]
    if not lines:
        raise AuditError(f"{path.name} holds no decisions, expected one JSON object a line")
    return _collected(lines, _from_json)


def _from_json(line: int, text: str) -> DecisionRequest:
    try:
        said = parse_json(text)
    except ValueError as cause:
        raise _FaultError(f"found no JSON ({cause}), expected one object") from cause
    if not isinstance(said, dict):
        raise _FaultError(f"found {shown(text)}, expected an object with image, label and verdict")
    extra = sorted(set(said) - _KEYS)
    if extra:
        raise _FaultError(f"found the key {shown(extra[0])}, expected some of {', '.join(sorted(_KEYS))}")
    verdict = said.get("verdict")
    if not isinstance(verdict, str) or not is_verdict(verdict):
        raise _FaultError(f"found the verdict {shown(verdict)}, expected {', '.join(VERDICTS)}")
    if verdict == "set" and "value" not in said:
        raise _FaultError("found no value to set, expected 1, 0, -1 or null")
    texts = {name: said.get(name) for name in ("who", "why", "run")}
    odd = next((name for name, value in texts.items() if not isinstance(value, str | None)), None)
    if odd is not None:
        raise _FaultError(f"found {shown(texts[odd])} for {odd}, expected text or null")
    value = _value(said.get("value"), "value")
    return DecisionRequest(
        image=_text(said, "image", "key"),
        label=_text(said, "label"),
        verdict=verdict,
        value=value if verdict == "set" else None,  # of the others it follows from what is given
        given=_value(said.get("given"), "given"),
        who=texts["who"] or None,
        why=texts["why"] or "",
        run=texts["run"],
        when=_moment(said.get("when")),
        line=line,
    )


def _moment(said: Any) -> dt.datetime | None:  # noqa: ANN401 - whatever JSON can hold
    """A time as the store keeps it: UTC, without time zone."""
    if said is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(said)
        return moment if moment.tzinfo is None else moment.astimezone(dt.UTC).replace(tzinfo=None)
    except (TypeError, ValueError, OverflowError) as cause:  # the last: in UTC beyond the year 1 or 9999
        expected = "a time such as 2024-05-01T12:00:00"
        raise _FaultError(f"found {shown(said)} for when, expected {expected}") from cause
