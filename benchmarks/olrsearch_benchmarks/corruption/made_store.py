"""A small store of generated avatars that holds everything a store can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from olrsearch import Store
from olrsearch.datasets.generated.avatars import generate_avatars
from olrsearch.store.decision_rules import DecisionRequest

if TYPE_CHECKING:
    from pathlib import Path

    from olrsearch.core.progress import Track
    from olrsearch.store.decision_rules import Verdict


def make_store(folder: Path, *, images: int, seed: int, track: Track) -> Path:
    """Makes a store below a folder: labels, both kinds of spaces, indexes, an audit, decisions, runs.

    Args:
        folder: Made if it is not there.
        images: How many avatars.
        seed: Of avatars and trainings.
        track: Shows progress.

    Returns:
        The store's path.
    """
    avatars = folder / "avatars"
    generate_avatars(avatars, count=images, seed=seed, size=(56, 46), label_noise=0.04, workers=1)
    with Store.create(folder / "store", track=track) as store:
        store.import_celeba(avatars, name="avatars")
        settings = {"seed": str(seed), "teacher_epochs": "6", "siamese_epochs": "6"}
        store.encoders.train("olr", "tiny", settings=settings)
        store.encode()
        words = {"seed": str(seed), "words": "glove", "size": "10", "epochs": "8"}
        store.encoders.train("informed-prior", "tiny", settings=words)
        store.encode()
        olr, prior = (space["name"] for space in store.info()["spaces"])
        store.encoders.calibrate(olr, where="id > 0")  # so few were held back
        for recipe in ("exact", "hnsw"):
            store.indexes.build(recipe, space=olr)
        for recipe in ("exact", "kl-projected"):
            store.indexes.build(recipe, space=prior)
        store.delete([3, 17])
        _audit(store, seed)
    return folder / "store"


def _audit(store: Store, seed: int) -> None:
    store.audit.run(seed=seed)
    (run,) = [item.run for item in store.audit.runs()]
    suspects = store.audit.list(k=12).issues
    verdicts: tuple[Verdict, ...] = ("flip", "accept", "unsure")
    for number, issue in enumerate(suspects):
        verdict = verdicts[number % 3]
        store.labels.decide([DecisionRequest(issue.image_id, issue.label, verdict)], who="ann", run=run)
    store.labels.undo(suspects[0].image_id, suspects[0].label, who="bob")
    store.audit.refit()
    store.labels.set([11, 12], "Smiling", "unknown", who="eve", why="asleep")
