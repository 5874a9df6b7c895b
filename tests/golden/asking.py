"""Every call of the program that golden stores are asked with: one place to follow where its face moves.

`questions.py` says what is asked, by the names of these functions; `answers.py` what is kept of an answer.
A function takes an open store first, and otherwise numbers, text, lists and dicts alone, so that a question
can be written down.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from olrsearch import Store


def open_store(path: Path | str) -> Store:
    """A store, to be asked and not to be changed."""
    return Store.open(path, read_only=True)


def migrate(path: Path | str) -> tuple[str, str]:
    """Revisions before and after."""
    return Store.migrate(path)


def verify(store: Store) -> Any:
    return store.verify().to_dict()


# -- what the store holds ------------------------------------------------------------------


def info(store: Store) -> Any:
    return store.info()


def index_info(store: Store, space: str) -> Any:
    return store.indexes.info(space=space)


def encoders(store: Store) -> Any:
    """Without shipped ones: these are the program's, not the store's."""
    return [entry.to_dict() for entry in store.encoders.list() if entry.source == "store"]


def labels(store: Store, space: str | None = None) -> Any:
    return store.labels.known(space=space)


def label_counts(store: Store) -> Any:
    return store.labels.counts()


def select(store: Store, where: str) -> Any:
    return store.select(where)


def metric(store: Store) -> Any:
    return store.indexes.metric().to_dict()


def embedding(store: Store, image: int) -> Any:
    return store.looks.embedding(image)


# -- rankings ------------------------------------------------------------------------------


def search(store: Store, query: str, **options: Any) -> Any:
    return store.search(query, **options)


def similar(store: Store, image: int | str | None = None, **options: Any) -> Any:
    """`with_` may hold vectors as lists."""
    return store.similar(image, **options)


def words(store: Store, asked: str | list[str], **options: Any) -> Any:
    return store.words(asked, **options)


def describe(store: Store, images: list[int]) -> Any:
    return store.describe(images)


def describe_words(store: Store, images: list[int], **options: Any) -> Any:
    return store.describe_words(images, **options)


def posterior(store: Store, image: int) -> Any:
    found = store.looks.posterior(image)
    return {"mean": found.mean, "factor": found.factor, "covariance": found.covariance}


# -- looks ---------------------------------------------------------------------------------


def norm_correlations(store: Store, **options: Any) -> Any:
    return store.looks.norms(**options)


def components(store: Store, label: str, **options: Any) -> Any:
    return store.looks.components(label, **options)


def disagreements(store: Store, **options: Any) -> Any:
    return store.looks.disagreements(**options)


def _look(found: Any) -> Any:
    names = ("name", "words", "correlations", "decoded", "picture", "notes", "deviations")
    return {name: getattr(found, name) for name in names} | {
        "mean": found.gaussian.mean,
        "factor": found.gaussian.factor,
    }


def look_posteriors(store: Store, images: list[int], **options: Any) -> Any:
    return [_look(found) for found in store.looks.posteriors(images, **options)]


def look_words(store: Store, asked: list[str], **options: Any) -> Any:
    return _look(store.looks.words(asked, **options))


def decode(store: Store, points: list[list[float]]) -> Any:
    return store.looks.decode(np.asarray(points, np.float32))


def bench_data(store: Store) -> Any:
    return store.bench.data()


# -- decisions and exports -----------------------------------------------------------------


def decisions(store: Store, **options: Any) -> Any:
    return store.labels.history(**options)


def export_decisions(store: Store) -> Any:
    """The file's text."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.jsonl"
        store.labels.export_history(path)
        return path.read_text(encoding="utf-8")


def export_labels(store: Store, name: str, **options: Any) -> Any:
    """The file's text, and what is said of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        said = store.labels.export(path, **options)
        counts = (said.form, said.images, said.labels, said.changed, said.unlabelled)
        return {"counts": counts, "text": path.read_text(encoding="utf-8")}


# -- audits --------------------------------------------------------------------------------


def audit_runs(store: Store) -> Any:
    return store.audit.runs()


def audit_list(store: Store, label: str | None = None, **options: Any) -> Any:
    return store.audit.list(label, **options)


def audit_show(store: Store, image: int, label: str) -> Any:
    return store.audit.show(image, label)


def audit_summary(store: Store) -> Any:
    return store.audit.summary()


def audit_rules(store: Store, text: str | None = None) -> Any:
    """Mined rules, and those of a file of this text."""
    if text is None:
        return store.audit.rules()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules.txt"
        path.write_text(text, encoding="utf-8")
        return store.audit.rules(path)


def audit_table(store: Store, **options: Any) -> Any:
    """The CSV's text."""
    with tempfile.TemporaryDirectory() as folder:
        found = store.audit.list(**options)
        return store.audit.table(found, Path(folder) / "table.csv").read_text(encoding="utf-8")


# -- sheets --------------------------------------------------------------------------------


def sheet(store: Store, query: str, **options: Any) -> Any:
    """The HTML's text."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sheet.html"
        return store.sheet(store.search(query, **options), path).read_text(encoding="utf-8")


def audit_sheet(store: Store, **options: Any) -> Any:
    """The HTML's text."""
    with tempfile.TemporaryDirectory() as folder:
        return store.audit.sheet(Path(folder) / "sheet.html", **options).read_text(encoding="utf-8")


def audit_card(store: Store, image: int, label: str) -> Any:
    """The HTML's text."""
    with tempfile.TemporaryDirectory() as folder:
        entry = store.audit.show(image, label)
        return store.audit.card(entry, Path(folder) / "card.html").read_text(encoding="utf-8")
