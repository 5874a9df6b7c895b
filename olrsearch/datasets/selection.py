"""The selection split: training images set aside to choose settings and fit calibrations on."""

from __future__ import annotations

from collections import defaultdict
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import Bool


def selection_split(
    identities: Sequence[int | None],
    keys: Sequence[str],
    *,
    size: int = 1000,
    seed: int = 0,
) -> Bool:
    """Choose whole identities until at least `size` images are selected.

    Identities are taken in the order of a hash of (seed, identity), an image without
    identity being one of its own under its key. So the choice depends neither on the
    order of the images nor on the machine, and adding images changes it little.

    Args:
        identities: N identities or None.
        keys: N keys, unique.
        size: Images wanted; with N or fewer images than that, all are selected.
        seed: Another seed, another choice.

    Returns:
        bool [N], True for selected images.

    Raises:
        DatasetError: `identities` and `keys` differ in length, or `size` is negative.
    """
    if len(identities) != len(keys):
        raise DatasetError(f"{len(identities)} identities for {len(keys)} keys; give one for each")
    if size < 0:
        raise DatasetError(f"a selection of {size} images; expected 0 or more")
    members: defaultdict[str, list[int]] = defaultdict(list)
    for index, (identity, key) in enumerate(zip(identities, keys, strict=True)):
        members[f"key {key}" if identity is None else f"identity {int(identity)}"].append(index)

    def rank(name: str) -> tuple[bytes, str]:
        return blake2b(f"{seed} {name}".encode(), digest_size=16).digest(), name

    chosen = np.zeros(len(keys), dtype=np.bool_)
    taken = 0
    for name in sorted(members, key=rank):
        if taken >= size:
            break
        chosen[members[name]] = True
        taken += len(members[name])
    return chosen
