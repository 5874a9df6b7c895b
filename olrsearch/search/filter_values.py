"""Values that a `--where` condition names and no image has: which values there are instead."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from olrsearch.core.errors import QueryError, UnknownImageError
from olrsearch.core.shown import escaped, shown
from olrsearch.datasets.base import PARTITIONS
from olrsearch.search.query.where import Comparison, Membership, parse_where, tests_of
from olrsearch.store.vectors.layout import FIT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from olrsearch.search.query.where import Value, Where
    from olrsearch.store.read.snapshot import Snapshot

_NAMED: Final[Mapping[str, tuple[str, ...]]] = {"partition": PARTITIONS, "dataset": ()}
"""Columns of few values that have names, each with those that may be asked for where no image has them."""

_LISTED: Final = 12
"""Values that an error lists."""


def parse_condition(where: str, snapshot: Snapshot) -> Where:
    """What a condition on images says: of their columns, their stored labels and their `fit`.

    Raises:
        QuerySyntaxError: it does not parse, or names another column.
    """
    from olrsearch.search.filters import column_types
    from olrsearch.store.read.columns import FILTER_COLUMNS

    return parse_where(where, {**column_types(FILTER_COLUMNS), FIT: float}, snapshot.label_names)


def check_named_parts(node: Where, snapshot: Snapshot) -> None:
    """Refuse a partition or a data set that the store does not have: it is misspelt.

    Raises:
        QueryError: it does not have it; says which there are.
    """
    for column, value in _named(node):
        if column not in _NAMED or value in _NAMED[column]:
            continue
        there = snapshot.values_of(column)
        if value not in there:
            known = _listed({*there, *_NAMED[column]}) if there or _NAMED[column] else "not known of any"
            raise QueryError(f"no image has the {column} {shown(value)}: {column} is {known}")


def why_nothing(where: str, snapshot: Snapshot) -> tuple[str, ...]:
    """Why a condition selects no image, where that is for a value that no image has.

    Args:
        where: The condition, which parses.
        snapshot: The generation that was asked.

    Returns:
        One note a value.
    """
    node = parse_condition(where, snapshot)
    notes = (_why(column, value, snapshot) for column, value in dict.fromkeys(_named(node)))
    return tuple(islice((note for note in notes if note), _LISTED))


def _named(node: Where) -> Iterator[tuple[str, Value]]:
    """The values that are named one by one, each with its column."""
    for test in tests_of(node):
        if isinstance(test, Comparison) and test.operator == "=":
            yield test.column, test.value
        elif isinstance(test, Membership):
            yield from ((test.column, value) for value in test.values)


def _why(column: str, value: Value, snapshot: Snapshot) -> str | None:
    """Says that no image has a value, and which values there are; None where one has it."""
    if column == "key":
        try:
            snapshot.resolve(str(value))
        except UnknownImageError as error:
            return str(error)
        return None
    if column not in {*_NAMED, "identity", "person"}:
        return None
    there = snapshot.values_of(column)
    if value in there:
        return None
    # A name that is asked for as an identity is a person's.
    missing = f"no image has the {'identity' if column == 'person' else column} {shown(value)}: "
    if not there:
        return f"{missing}none has any {'named identity' if column == 'person' else column}"
    if column == "person":
        return f"{missing}identities are {_listed(there)}"
    if column == "identity":
        return f"{missing}identities lie between {there[0]} and {there[-1]}"
    return f"{missing}{column} is {_listed(there)}"


def _listed(values: Iterable[Value]) -> str:
    """`train, val or test`."""
    places = {name: place for place, name in enumerate(PARTITIONS)}
    known = sorted(map(str, values), key=lambda value: (places.get(value, len(places)), value))
    names = [escaped(value) for value in known[:_LISTED]]
    if len(known) > _LISTED:
        return f"{', '.join(names)} or one of {len(known) - _LISTED:,} more"
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
