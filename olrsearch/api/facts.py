"""What a store holds, and whether it is whole."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from olrsearch.maths.metric import metric_name
from olrsearch.search.spaces.about import calibration_is_stale

if TYPE_CHECKING:
    from collections.abc import Mapping

    from olrsearch.api.session import HasSession
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import SpaceInfo
    from olrsearch.store.verify import VerifyReport


def info(store: HasSession) -> dict[str, Any]:
    """Data sets, images, labels, spaces and indexes, JSON-ready."""
    session = store.session
    snapshot = session.snapshot()
    return {
        "path": str(session.path),
        "store_id": session.backend.about.store_id,
        "generation": snapshot.generation,
        "images": snapshot.image_count,
        "labels": len(snapshot.label_names),
        "label_revision": snapshot.label_revision,
        "datasets": [
            {name: value for name, value in asdict(item).items() if name != "id"} | {"root": str(item.root)}
            for item in snapshot.datasets()
        ],
        "spaces": [_about(item, snapshot) for item in snapshot.spaces()],
    }


def _about(space: SpaceInfo, snapshot: Snapshot) -> dict[str, Any]:
    return {
        "name": space.name,
        "kind": space.kind,
        "layout": space.layout,
        "fingerprint": space.fingerprint,
        "labels": len(space.labels),
        "k": space.k,
        "embeddings": space.count,
        "segments": len(space.segments),
        "calibrated": space.calibration is not None,
        "calibration_stale": calibration_is_stale(space, snapshot),
        "metric": None if space.metric is None else _metric_name(space.metric),
        "indexes": sorted(space.indexes),
    }


def _metric_name(stored: Mapping[str, Any]) -> str:
    try:
        return metric_name(stored["kind"], stored["form"])
    except (KeyError, TypeError):  # `store verify` says more
        return "damaged: run olrsearch calibrate"


def verify(store: HasSession, *, sources: bool = False) -> VerifyReport:
    """Check every file against its checksums, and the metadata against the files.

    Args:
        sources: Also read every image file and compare its hash.
    """
    session = store.session
    from olrsearch.datasets.images import read_bytes
    from olrsearch.pipeline.adding_encoders import check_model
    from olrsearch.pipeline.checking import check_artefacts
    from olrsearch.store.verify import verify as check

    return check(
        session.backend,
        read_source=read_bytes if sources else None,
        check_model=check_model,
        check_artefacts=check_artefacts,
    )


def clean(store: HasSession) -> list[str]:
    """Remove what interrupted writes have left in the store; gives the names of what is gone."""
    from olrsearch.store.leftovers import clean as remove

    return remove(store.session.backend)
