"""A user's file of rules between labels.

```
# what cannot be
never: Bald & Bangs
never: !No_Beard & !Male
always: Goatee -> Male
always: Bald -> !Bangs
at most one: Black_Hair, Blond_Hair, Brown_Hair, Gray_Hair
```

One rule a line; a `#` at the beginning of a line, or after a space, begins a comment. Names may be spelled in
any way, as in queries, and are quoted where they hold other characters.
"""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING, Final

from olrsearch.audit.scorers.rules import Rule, never
from olrsearch.core.errors import AuditError, QueryError
from olrsearch.core.names import LabelNames
from olrsearch.core.shown import shown
from olrsearch.datasets.text_files import read_text
from olrsearch.search.query.ast import And, Literal, Node, Not
from olrsearch.search.query.parser import parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_FORMS: Final = "`never: A & B`, `always: A -> B` or `at most one: A, B, C`"
_PIECE = re.compile(r'"(?:[^"]|"")*"|(?P<comment>(?:^|(?<=\s))#.*)|(?P<arrow>->)|.')


def read_rules(path: Path, names: Sequence[str]) -> tuple[Rule, ...]:
    """The rules of a file, in its order, each once; `count_rules` gives them numbers.

    Args:
        path: Text in UTF-8; see the module for its form.
        names: The L label names that its names are looked up among.

    Raises:
        AuditError: no such file, or no rule in it, or a line that is no rule; says which line.
        QuerySyntaxError: conditions that do not parse; says which line.
        UnknownLabelError: no label has such a name; carries the nearest.
    """
    lines = read_text(path, what="file of rules", missing=AuditError, damaged=AuditError).splitlines()
    table = LabelNames(names)
    found: dict[Rule, None] = {}
    for number, line in enumerate(lines, start=1):
        try:
            found.update(dict.fromkeys(_rules(line, table)))
        except (AuditError, QueryError) as error:
            error.args = (f"{path}, line {number}: {error}",)
            raise
    if not found:
        raise AuditError(f"{path} holds no rule: expected lines such as {_FORMS}")
    return tuple(found)


def _rules(line: str, table: LabelNames) -> Iterator[Rule]:
    """What one line says."""
    parts = _parts(line)
    if not "".join(parts).strip():
        return
    keyword, colon, first = parts[0].partition(":")
    form = " ".join(keyword.lower().split())
    arrows = len(parts) - 1
    if not colon or form not in {"never", "always", "at most one"}:
        raise AuditError(f"expected {_FORMS}, found {shown(line.strip())}")
    if arrows != (form == "always"):
        raise AuditError(f"expected {_FORMS}, found {shown(line.strip())} with {arrows} arrows")
    conditions = _conditions(first, table)
    if form == "always":
        implied = _conditions(parts[1], table)
        if len(conditions) != 1 or len(implied) != 1:
            raise AuditError(f"expected one label on either side of the arrow, found {shown(line.strip())}")
        label, value = implied[0]
        conditions.append((label, -value))
    if form == "never" and len(conditions) != 2:
        raise AuditError(f"expected two labels joined by &, found {len(conditions)} in {shown(line.strip())}")
    labels = [label for label, _ in conditions]
    if len(labels) < 2 or len(set(labels)) < len(labels):
        raise AuditError(f"expected different labels, two or more, found {shown(line.strip())}")
    for (one, value), (two, other) in combinations(conditions, 2):
        yield never((one, two), (value, other), table.names, source="file")


def _parts(line: str) -> list[str]:
    """A line without its comment, split at arrows; neither is looked for in quoted names."""
    parts = [""]
    for piece in _PIECE.finditer(line):
        if piece["comment"]:
            break
        if piece["arrow"]:
            parts.append("")
        else:
            parts[-1] += piece.group()
    return parts


def _conditions(text: str, table: LabelNames) -> list[tuple[int, int]]:
    """Labels and values of a conjunction; `,` and `&` are one."""
    node = parse(text)
    terms = node.children if isinstance(node, And) and node.weight == 1.0 else (node,)
    return [_condition(term, table) for term in terms]


def _condition(term: Node, table: LabelNames) -> tuple[int, int]:
    literal, value = (term.child, -1) if isinstance(term, Not) else (term, 1)
    if not isinstance(literal, Literal) or literal.weight != 1.0:
        raise AuditError(f"expected labels or their negations, without weights, | or parentheses: {_FORMS}")
    return table.position(literal.name), value
