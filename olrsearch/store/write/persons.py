"""Who is shown, where data sets name people rather than number them.

An image keeps a number. A name's number follows from the name alone, so it is the same in every store and
in any order of imports; the table `person` has the name of each. A name that is written as a number is that
number: names beside it in a table do not make two people of one. Numbers that data sets give are below 10¹⁸,
those of names are from 2⁶² on.
"""

from __future__ import annotations

import re
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from sqlalchemy import insert, select

from olrsearch.core.errors import DatasetError
from olrsearch.core.names import unfit_character
from olrsearch.store.sql import schema
from olrsearch.store.sql.ids import chunks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.store.sql.commit import Change
    from olrsearch.store.values import NewImage

_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,17}")
_FIRST: Final = 1 << 62
MOST_GIVEN: Final = 10**18
"""Numbers that data sets give are below it."""


def number_of(name: str) -> int:
    """The number of a person's name, from 2⁶² on and below 2⁶² + 2⁶¹."""
    return _FIRST + (int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") >> 3)


def with_numbers(change: Change, batch: Sequence[NewImage]) -> list[NewImage]:
    """Images with the numbers of the people whom they name; names that are new are kept.

    Raises:
        DatasetError: a name that will not do, or a number that is not below 10¹⁸.
    """
    batch = [_numbered(image) for image in batch]
    for image in batch:
        who = image.identity
        if isinstance(who, int) and not 0 <= who < MOST_GIVEN:
            raise DatasetError(f"{image.key} shows number {who}: expected a number from 0 to 10¹⁸, or a name")
        if isinstance(who, str) and (unfit := unfit_character(who) or ("nothing" if not who else None)):
            raise DatasetError(f"{image.key} shows {who[:60]!r}, which holds {unfit}: expected a name")
    wanted = {who: number_of(who) for image in batch if isinstance(who := image.identity, str)}
    if not wanted:
        return batch
    person = schema.person
    there: set[int] = set()
    for some in chunks(sorted(wanted.values())):
        there.update(change.connection.scalars(select(person.c.id).where(person.c.id.in_(some))))
    rows = [{"id": number, "name": name} for name, number in wanted.items() if number not in there]
    if rows:
        change.write(insert(person), rows)
    return [
        replace(image, identity=wanted[image.identity]) if isinstance(image.identity, str) else image
        for image in batch
    ]


def _numbered(image: NewImage) -> NewImage:
    """An image whose person's name, where it is written as a number, is that number: `8`, and not `007`."""
    who = image.identity
    return replace(image, identity=int(who)) if isinstance(who, str) and _NUMBER.fullmatch(who) else image
