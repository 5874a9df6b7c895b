"""What an audit run kept, opened again: by name, with its material and its scorers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from olrsearch.audit.runs.material import reopened_views
from olrsearch.audit.scorers.contradictions import Contradictions
from olrsearch.audit.scorers.material import Material
from olrsearch.audit.scorers.registry import RETIRED, make_scorers
from olrsearch.audit.scorers.rules import Rule
from olrsearch.search.spaces.labels import OpenSpace
from olrsearch.store.vectors.layout import LABELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from olrsearch.audit.scorers.protocol import Scorer
    from olrsearch.store.audit_runs import RunFolder
    from olrsearch.store.read.snapshot import Snapshot


def run_material(opened: OpenSpace, folder: RunFolder) -> Material:
    """The material of a run as it was begun.

    Raises:
        StoreCorruptError: an array is damaged.
        AuditError: embeddings of its images are gone.
    """
    config = folder.record["config"]
    names = tuple(config["labels"])
    return Material(
        names=names,
        given=np.asarray(folder.load("given")),
        fold=np.asarray(folder.load("fold")),
        identity=np.asarray(folder.load("identity")),
        views=reopened_views(opened, np.asarray(folder.load("ids")), names),
        twins=np.asarray(folder.load("twins")) if folder.has("twins") else None,
        seed=config["seed"],
    )


def run_space(snapshot: Snapshot, folder: RunFolder) -> OpenSpace:
    """The space that a run looks at.

    Raises:
        UnknownSpaceError: it is gone.
    """
    return OpenSpace(snapshot, snapshot.space(folder.record["config"]["fingerprint"], LABELS))


def run_scorers(config: Mapping[str, Any]) -> tuple[Scorer, ...]:
    """The scorers of a run, in its order, with the rules it was given; without those no longer asked.

    Raises:
        AuditError: a scorer that this program does not know.
    """
    own = tuple(
        Rule(
            labels=tuple(rule["labels"]),
            names=tuple(rule["names"]),
            values=tuple(rule["values"]),
            source="file",
        )
        for rule in config["rules"]
    )
    made = make_scorers([name for name in config["scorers"] if name not in RETIRED])
    return tuple(Contradictions(own) if own and item.name == Contradictions.name else item for item in made)
