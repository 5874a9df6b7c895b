"""How an audit run begins: what it looks at and how, checked and whole before its folder has a name."""

from __future__ import annotations

import datetime as dt
import json
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olrsearch._version import __version__
from olrsearch.audit.evidence.combine import Combination
from olrsearch.audit.evidence.weights import ANNOTATORS, BY_ANNOTATORS, INJECTED
from olrsearch.audit.runs.from_store import material_of_space
from olrsearch.audit.scorers.material import FOLDS
from olrsearch.audit.scorers.registry import make_scorers
from olrsearch.audit.scorers.retired import RETIRED
from olrsearch.audit.scorers.rule_file import read_rules
from olrsearch.core.arrays import digest
from olrsearch.core.errors import AuditError, EmptyStoreError
from olrsearch.search.spaces.labels import OpenSpace
from olrsearch.store.audit_runs import AUDIT, RunFolder
from olrsearch.store.files import RUNS
from olrsearch.store.vectors.layout import LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from olrsearch.store.backend import Backend


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """What an audit looks at, and how; None leaves a setting to the audit.

    Attributes:
        space: Name or fingerprint; the newest of label embeddings when None.
        labels: Only these, in any spelling: nothing else is looked at, as evidence of each other too.
        where: Only images this selects.
        scorers: Names of what to ask; all when None.
        rules: A file of the user's rules between labels, for the scorer `contradictions`.
        weights: What evidence is worth: `annotators`, the default, by second annotations of the same
            pictures; `injected`, learnt from errors put into a copy of these labels, which takes as long
            again; or the `run.json` of an earlier audit. See `olrsearch.audit.evidence.weights`.
        folds: No identity is in two; 5 when None.
        seed: Of everything random; 0 when None.
    """

    space: str | None = None
    labels: Sequence[str] | None = None
    where: str | None = None
    scorers: Sequence[str] | None = None
    rules: Path | None = None
    weights: str | Path | None = None
    folds: int | None = None
    seed: int | None = None


def begin_run(backend: Backend, settings: AuditSettings) -> RunFolder:
    """The folder of a new run, with what it looks at; see `run.run_audit` for errors."""
    names = [scorer.name for scorer in make_scorers(settings.scorers)]
    weights = settings.weights or ANNOTATORS
    known, learnt_on = _weights(weights, names)
    snapshot = backend.snapshot()
    if not snapshot.image_count:
        raise EmptyStoreError("the store holds no images: run olrsearch import first")
    opened = OpenSpace(snapshot, snapshot.space(settings.space, LABELS))
    folds, seed = FOLDS if settings.folds is None else settings.folds, settings.seed or 0
    whole = material_of_space(
        backend, opened, labels=settings.labels, where=settings.where, folds=folds, seed=seed
    )
    notes = list(whole.notes)
    if learnt_on not in {None, opened.info.fingerprint}:
        notes.append(
            f"the weights in {weights} were learnt on another space: evidence may be worth more or less here"
        )
    own = () if settings.rules is None else read_rules(settings.rules, whole.found.names)
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    arrays: dict[str, NDArray[Any]] = {
        "ids": whole.ids,
        "given": whole.found.given,
        "fold": whole.found.fold,
        "identity": whole.found.identity,
        "seen": whole.seen,
    }
    record = {
        "status": "running",
        "created_at": now.isoformat(),
        "generation": snapshot.generation,
        "label_revision": snapshot.label_revision,
        "digest": digest(whole.ids, whole.found.given),
        "config": {
            "space": opened.info.name,
            "fingerprint": opened.info.fingerprint,
            "labels": list(whole.found.names),
            "where": settings.where,
            "folds": folds,
            "seed": seed,
            "scorers": names,
            "rules": [{"labels": item.labels, "names": item.names, "values": item.values} for item in own],
            "weights": known,
        },
        "versions": _versions(),
        "notes": notes,
        "seconds": {},
    }
    return RunFolder.create(backend.path / RUNS / now.strftime(f"{AUDIT}-%Y%m%d-%H%M%S-%f"), arrays, record)


def _weights(weights: str | Path, scorers: Sequence[str]) -> tuple[dict[str, Any] | None, str | None]:
    """What evidence is worth, None where that is still to be learnt; and the space it was learnt on."""
    if weights == INJECTED:
        return None, None
    if weights == ANNOTATORS:
        return BY_ANNOTATORS.restricted(scorers).to_dict(), None
    return read_weights(Path(weights), scorers)


def read_weights(path: Path, scorers: Sequence[str]) -> tuple[dict[str, Any], str | None]:
    """The weights that an earlier run learnt, checked, and the fingerprint of the space it looked at.

    What scorers that are no longer asked weighed is the others', in proportion.

    Args:
        path: Of its `run.json`, or of what that says under `weights`, whose space is not known.
        scorers: What the new run asks.

    Raises:
        AuditError: it holds no weights, or those of other scorers.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        weights: dict[str, Any] = content.get("weights", content)
        learnt_on: str | None = content.get("config", {}).get("fingerprint")
        known = Combination.from_dict(weights)
        if any(name in RETIRED for name in known.scorers):
            known = known.restricted([name for name in known.scorers if name not in RETIRED])
    except (OSError, ValueError, AttributeError, AuditError) as error:
        raise AuditError(
            f"{path} holds no weights ({error}): expected the run.json of a finished audit"
        ) from error
    if set(known.scorers) != set(scorers):
        raise AuditError(
            f"{path} has weights of {', '.join(known.scorers)}, and {', '.join(scorers)} are asked: name the "
            "same scorers"
        )
    plain: dict[str, Any] = known.to_dict()
    return plain, learnt_on


def _versions() -> dict[str, str]:
    """What the run was computed with."""
    found = {"olrsearch": __version__, "python": platform.python_version()}
    return found | {name: metadata.version(name) for name in ("numpy", "scipy")}
