"""What a store is asked before and after its files are damaged, and when two answers are the same."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from olrsearch import Store

_ROUNDING: Final = 1e-4
"""What is computed anew where something kept is passed over may differ by so much, of itself."""


def questions(store: Store) -> dict[str, Callable[[Store], Any]]:
    """Questions by name: every way into a store, with the labels, words and indexes it has.

    Args:
        store: What is to be asked; whole.
    """
    spaces = {item["layout"]: item for item in store.info()["spaces"]}
    asked: dict[str, Callable[[Store], Any]] = {
        "info": lambda s: s.info() | {"path": ""},
        "images": lambda s: s.select("id > 0"),
        "where": lambda s: s.select("partition = 'train' and width > 10 or identity < 9"),
        "rows": _rows,
        "pictures": lambda s: [s.picture(image) for image in (1, 2, 40)],
        "label counts": lambda s: s.labels.counts(),
        "history": lambda s: s.labels.history(),
        "labels": _labels,
        "encoders": lambda s: [entry.name for entry in s.encoders.list() if entry.source == "store"],
        "audits": lambda s: s.audit.runs(),
    }
    if store.audit.runs():
        asked |= {
            "audit list": lambda s: s.audit.list(k=30),
            "audit summary": lambda s: s.audit.summary(),
            "audit show": _shown(store),
        }
    if "labels" in spaces:
        asked |= _of_labels(store, spaces["labels"])
    if "posterior" in spaces:
        asked |= _of_posteriors(store, spaces["posterior"])
    return asked


def _of_labels(store: Store, space: Mapping[str, Any]) -> dict[str, Callable[[Store], Any]]:
    first, second, *_ = store.labels.known(space=space["name"])
    query = f"{first} & !{second}"
    asked: dict[str, Callable[[Store], Any]] = {
        "search": lambda s: s.search(query, k=20),
        "search labels": lambda s: s.search(query, evidence="labels", k=20),
        "search both": lambda s: s.search(query, evidence="both", k=20),
        "search every label": lambda s: [
            s.search(label, k=5) for label in s.labels.known(space=space["name"])
        ],
        "search where": lambda s: s.search(first, where=f"{second} = present and partition = 'val'", k=20),
        "similar": lambda s: s.similar(5, k=20),
        "similar in a label": lambda s: s.similar(5, by=first, k=20),
        "describe": lambda s: s.describe([5, 6]),
        "embedding": lambda s: s.looks.embedding(9),
        "norms": lambda s: s.looks.norms(),
        "indexes of labels": partial(_indexes, space=space["name"]),
    }
    for recipe in sorted({"hnsw"} & set(space["indexes"])):
        asked[f"similar by {recipe}"] = partial(_similar_by, recipe=recipe, by=None)
        asked[f"similar in a label by {recipe}"] = partial(_similar_by, recipe=recipe, by=first)
    return asked


def _similar_by(store: Store, *, recipe: str, by: str | None) -> Any:  # noqa: ANN401 - answers of any kind
    return store.similar(5, recipe=recipe, by=by, k=10)


def _words_by(store: Store, *, recipe: str, word: str) -> Any:  # noqa: ANN401 - answers of any kind
    return store.words([word], mode="match", recipe=recipe, k=10)


def _indexes(store: Store, *, space: str) -> Any:  # noqa: ANN401 - answers of any kind
    """What is built. `scan` is no answer: it counts the files kept for later, and fewer is then true."""
    return {name: said for name, said in store.indexes.info(space=space).items() if name != "scan"}


def _of_posteriors(store: Store, space: Mapping[str, Any]) -> dict[str, Callable[[Store], Any]]:
    (described,) = store.describe_words([5])
    word, other, *_ = sorted(item.word for item in described.estimates if item.own)
    asked: dict[str, Callable[[Store], Any]] = {
        "words": lambda s: s.words([word, f"!{other}"], k=20),
        "words that match": lambda s: s.words([word, other], mode="match", k=20),
        "words of images": lambda s: s.describe_words([5, 6]),
        "posterior": lambda s: vars_of(s.looks.posterior(9)),
        "similar by divergence": lambda s: s.similar(5, by="posterior", k=20),
        "indexes of posteriors": partial(_indexes, space=space["name"]),
    }
    for recipe in sorted({"kl-projected"} & set(space["indexes"])):
        asked[f"words by {recipe}"] = partial(_words_by, recipe=recipe, word=word)
    return asked


def vars_of(gaussian: Any) -> Any:  # noqa: ANN401 - mean and factor
    """What a Gaussian is made of."""
    return gaussian.mean, gaussian.factor


def _rows(store: Store) -> Any:  # noqa: ANN401 - answers of any kind
    snapshot = store.session.snapshot()
    return [dataclasses.replace(row, root=Path()) for row in snapshot.images(snapshot.image_ids())]


def _labels(store: Store) -> Any:  # noqa: ANN401 - answers of any kind
    snapshot = store.session.snapshot()
    return snapshot.label_names, snapshot.stored_labels(snapshot.image_ids())


def _shown(store: Store) -> Callable[[Store], Any]:
    issue = store.audit.list(k=1).issues[0]
    return lambda s: s.audit.show(issue.image_id, issue.label)


def same(one: Any, other: Any) -> bool:  # noqa: ANN401 - answers of any kind
    """Whether two answers say the same, but for rounding."""
    one, other = _plain(one), _plain(other)
    if isinstance(one, float) and isinstance(other, float | int):
        return math.isclose(one, other, rel_tol=_ROUNDING, abs_tol=_ROUNDING) or (
            math.isnan(one) and math.isnan(other)
        )
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        if one.shape != other.shape or one.dtype != other.dtype:
            return False
        if one.dtype.kind == "f":
            return np.allclose(one, other, _ROUNDING, _ROUNDING, equal_nan=True)
        return np.array_equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if type(one) is type(other) and type(one).__module__.startswith("olrsearch."):
        return True  # what answers carry to fetch pictures with
    return type(one) is type(other) and bool(one == other)


def _plain(answer: Any) -> Any:  # noqa: ANN401 - answers of any kind
    if dataclasses.is_dataclass(answer) and not isinstance(answer, type):
        return {field.name: getattr(answer, field.name) for field in dataclasses.fields(answer)}
    if isinstance(answer, tuple):
        return list(answer)
    if isinstance(answer, np.generic):
        return answer.item()
    if isinstance(answer, dt.datetime):
        return answer.isoformat()
    return answer
