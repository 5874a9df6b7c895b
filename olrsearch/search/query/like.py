r"""Patterns of `--where … like`, matched here rather than by a database.

SQLite ignores the case of ASCII alone, PostgreSQL that of whatever its locale says: the same store would
answer differently. Here case is ignored as Unicode has it, and letters with marks are the same however they
are composed (macOS writes `é` as two characters).
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from olrsearch.core.arrays import Bool

_PIECE = re.compile(r"\\(?P<itself>.)|(?P<any>%+)|(?P<one>_)|(?P<plain>[^\\%_]+)", re.DOTALL)


def alike(pattern: str, texts: NDArray[np.str_]) -> Bool:
    """Which texts a pattern fits.

    Args:
        pattern: See `olrsearch.search.query.where.Like`.
        texts: str [n]; '' where nothing is recorded, which no pattern fits.

    Returns:
        bool [n].
    """
    fits = _compiled(pattern).fullmatch
    found = (bool(text) and fits(unicodedata.normalize("NFC", text)) is not None for text in texts.tolist())
    return np.fromiter(found, np.bool_, len(texts))


def _compiled(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression that takes a time linear in the text for every `%`.

    What stands between two `%` is looked for from the left, and the first place is kept for good (an
    atomic group): a later one could only leave less of the text to the rest.
    """
    runs = [""]
    for piece in _PIECE.finditer(unicodedata.normalize("NFC", pattern)):
        if piece["any"]:
            runs.append("")
        else:
            runs[-1] += "." if piece["one"] else re.escape(piece["itself"] or piece["plain"])
    if len(runs) == 1:
        text = runs[0]
    else:
        first, *between, last = runs
        text = first + "".join(f"(?>.*?{run})" for run in between) + ".*" + last
    return re.compile(text, re.IGNORECASE | re.DOTALL)
