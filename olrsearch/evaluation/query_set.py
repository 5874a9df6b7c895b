"""The fixed attribute queries of P2: chosen once, published, and the same for everyone after.

A query file is tab-separated text: `# key: value` lines, a header, then one query a line with its
number, its class and the query in the query language. It holds label names and signs, nothing of
any image.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import BenchmarkError
from olrsearch.core.names import LabelNames
from olrsearch.core.shown import shown
from olrsearch.datasets.text_files import read_text
from olrsearch.search.query.ast import Literal, Not, canonical, conjunction, conjuncts, negation
from olrsearch.search.query.parser import parse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from olrsearch.core.arrays import F32, I8, I64, Bool, Floats
    from olrsearch.evaluation.data import BenchData
    from olrsearch.search.query.ast import Node

CLASSES = ("A", "!A", "A & B", "A & B & C", "A & !B", "A & B & !C")
"""The classes of P2, by shape."""

WANTED = {"A & B": 100, "A & B & C": 100, "A & !B": 50, "A & B & !C": 50}
"""How many of each are drawn; single labels and negations are all taken."""

MIN_RELEVANT = 30
MAX_SHARE = 0.3
_HEAD = "number\tclass\tquery"


@dataclass(frozen=True, slots=True)
class AttributeQuery:
    """A conjunction of labels and negated labels.

    Attributes:
        kind: One of `CLASSES`.
        literals: (label name, +1 or −1), positive literals first.
    """

    kind: str
    literals: tuple[tuple[str, int], ...]

    @property
    def text(self) -> str:
        """The query as the query language has it: `Smiling & !Male`."""
        return canonical(
            conjunction(
                [Literal(name) if sign > 0 else negation(Literal(name)) for name, sign in self.literals]
            )
        )


@dataclass(frozen=True, slots=True)
class QuerySet:
    """Queries and where they come from.

    Attributes:
        queries: In file order.
        source: What chose them: data, seed and rule.
    """

    queries: tuple[AttributeQuery, ...]
    source: str

    def __len__(self) -> int:
        return len(self.queries)

    def signs(self, label_names: Sequence[str]) -> I8:
        """Queries as signs, int8 [Q, L]; +1 wanted, −1 unwanted, 0 not asked.

        Raises:
            UnknownLabelError: a query names a label the data does not have.
        """
        names = LabelNames(label_names)
        out = np.zeros((len(self.queries), len(label_names)), np.int8)
        for number, query in enumerate(self.queries):
            for name, sign in query.literals:
                out[number, names.position(name)] = sign
        return out


def generate_queries(data: BenchData, *, seed: int = 0) -> QuerySet:
    """Draw the queries of P2 from a gallery's labels.

    Eligible is what at least 30 images and at most 30 % of the gallery satisfy exactly. The draw
    depends on the label names' order, the gallery's labels and the seed alone.

    Args:
        data: Only its gallery's labels are looked at.
        seed: Of the draw.

    Raises:
        BenchmarkError: nothing is eligible.
    """
    truth = data.truth
    present, absent = (truth > 0).astype(np.float32), (truth < 0).astype(np.float32)
    most = MAX_SHARE * truth.shape[1]
    rng = np.random.default_rng([seed, 0x9E47])
    eligible: dict[str, list[tuple[tuple[int, int], ...]]] = {
        "A": [((int(label), 1),) for label in np.flatnonzero(_eligible(present.sum(axis=1), most))],
        "!A": [((int(label), -1),) for label in np.flatnonzero(_eligible(absent.sum(axis=1), most))],
    }
    pairs = np.array(list(itertools.combinations(range(len(truth)), 2)), np.int64).reshape(-1, 2)
    both = present @ present.T
    eligible["A & B"] = [((a, 1), (b, 1)) for a, b in pairs[_eligible(both[pairs[:, 0], pairs[:, 1]], most)]]
    # A conjunction holds no more images than its part: pairs below the minimum have no heirs.
    parents = pairs[both[pairs[:, 0], pairs[:, 1]] >= MIN_RELEVANT]
    with_third, without_third = _triples(parents, present, absent)
    third = np.arange(len(truth))[None, :]
    eligible["A & B & C"] = [
        ((parents[p, 0], 1), (parents[p, 1], 1), (c, 1))
        for p, c in np.argwhere(_eligible(with_third, most) & (third > parents[:, 1:]))
    ]
    only = present @ absent.T
    eligible["A & !B"] = [((a, 1), (b, -1)) for a, b in np.argwhere(_eligible(only, most)) if a != b]
    other = (third != parents[:, :1]) & (third != parents[:, 1:])
    eligible["A & B & !C"] = [
        ((parents[p, 0], 1), (parents[p, 1], 1), (c, -1))
        for p, c in np.argwhere(_eligible(without_third, most) & other)
    ]
    queries = tuple(
        AttributeQuery(kind, tuple((data.label_names[label], sign) for label, sign in literals))
        for kind in CLASSES
        for literals in _draw(eligible[kind], kind, rng)
    )
    if not queries:
        raise BenchmarkError(
            f"no query has {MIN_RELEVANT} relevant images and at most {MAX_SHARE:.0%} of the gallery of "
            f"{truth.shape[1]}; import more images"
        )
    return QuerySet(queries, f"{data.name}, gallery of {truth.shape[1]}, seed {seed}")


def write_queries(path: Path, queries: QuerySet) -> None:
    """Write a query file; the folder is made when it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        "# Attribute queries of protocol P2: label names and signs only.",
        f"# drawn from: {queries.source}",
        f"# eligible: {MIN_RELEVANT} or more relevant images, at most {MAX_SHARE:.0%} of the gallery",
        _HEAD,
        *(f"{number}\t{query.kind}\t{query.text}" for number, query in enumerate(queries.queries, 1)),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_queries(path: Path) -> QuerySet:
    """Read a query file that `write_queries` wrote.

    Raises:
        BenchmarkError: no such file, another header, or a line that is no query of P2.
        QuerySyntaxError: a query does not parse.
    """
    text = read_text(path, what="query file", missing=BenchmarkError, damaged=BenchmarkError)
    lines = text.splitlines()
    drawn = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("# drawn from:")), "unknown"
    )
    body = [line for line in lines if line and not line.startswith("#")]
    if not body or body[0] != _HEAD:
        raise BenchmarkError(f"{path} is no query file: its first line must be {_HEAD!r}")
    queries = []
    for line in body[1:]:
        cells = line.split("\t")
        if len(cells) != 3 or cells[1] not in CLASSES:
            raise BenchmarkError(f"{path}: {shown(line)} is not 'number, class, query' with a class of P2")
        queries.append(
            AttributeQuery(cells[1], tuple(_literal(term, line) for term in conjuncts(parse(cells[2]))))
        )
    return QuerySet(tuple(queries), drawn)


def _literal(term: Node, line: str) -> tuple[str, int]:
    inner, sign = (term.child, -1) if isinstance(term, Not) else (term, 1)
    if not isinstance(inner, Literal) or inner.weight != 1.0:
        raise BenchmarkError(f"{shown(line)} is not a conjunction of unweighted labels and negations")
    return inner.name, sign


def _eligible(counts: Floats | I64, most: float) -> Bool:
    return (counts >= MIN_RELEVANT) & (counts <= most)


def _triples(parents: I64, present: F32, absent: F32) -> tuple[F32, F32]:
    """Images with both parents and each third label, and with both but without it: float32 [P, L] twice."""
    with_third = np.empty((len(parents), len(present)), np.float32)
    without_third = np.empty_like(with_third)
    for start in range(0, len(parents), 256):
        part = parents[start : start + 256]
        both = present[part[:, 0]] * present[part[:, 1]]
        with_third[start : start + 256] = both @ present.T
        without_third[start : start + 256] = both @ absent.T
    return with_third, without_third


def _draw(
    eligible: list[tuple[tuple[int, int], ...]], kind: str, rng: np.random.Generator
) -> list[tuple[tuple[int, int], ...]]:
    """As many as wanted, in the order of their labels; all when there are fewer."""
    if len(eligible) <= WANTED.get(kind, len(eligible)):
        return eligible
    return [eligible[row] for row in sorted(rng.choice(len(eligible), WANTED[kind], replace=False))]
