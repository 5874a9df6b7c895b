"""What labels and evidence must be, wherever an audit takes them.

Notation: N images, L labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from olrsearch.core.arrays import F32, I8, I64


def check_labels(names: Sequence[str], given: I8, identity: I64) -> None:
    """Refuse labels that are not int8 [N, L] of −1, 0 and +1 of L names, for identities int64 [N].

    Raises:
        AuditError: another shape, or other values.
    """
    if given.ndim != 2 or given.shape[1] != len(names) or identity.shape != given.shape[:1]:
        raise AuditError(
            f"labels {given.shape} of {len(names)} names and identities {identity.shape}: expected [N, L], "
            "L names and [N]"
        )
    check_values("given labels", given, given)


def check_values(what: str, values: I8, given: I8) -> None:
    """Refuse what does not say −1, 0 or +1 of every entry of given labels [N, L].

    Raises:
        AuditError: another shape, or other values.
    """
    if values.shape != given.shape or not bool(np.isin(values, (-1, 0, 1)).all()):
        raise AuditError(f"{what} {values.shape}: expected {given.shape} of −1, 0 and +1")


def check_evidence(evidence: Mapping[str, F32], given: I8) -> None:
    """Refuse evidence, by scorer, that is not float32 [L, N] of probabilities or NaN for labels [N, L].

    Raises:
        AuditError: another shape, or other values.
    """
    for name, found in evidence.items():
        if found.shape != given.T.shape:
            raise AuditError(
                f"evidence of {name} is {found.shape} for labels {given.shape}: expected [L, N] and [N, L]"
            )
        if bool(((found < 0) | (found > 1)).any()):
            raise AuditError(f"evidence of {name} holds values outside 0 to 1: give probabilities, or NaN")
