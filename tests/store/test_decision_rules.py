"""Decisions: what verdicts do, undo, the history and what it comes to."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_stores import LABELS, fill, new
from sqlalchemy import text

from olrsearch.core.errors import AuditError, UnknownImageError, UnknownLabelError
from olrsearch.store import Backend, DecisionRequest
from olrsearch.store.decision_rules import VERDICT_CODES, Standing, replay, settle
from olrsearch.store.read.decisions import read_history, read_verdicts

SMILING, EYEGLASSES, MALE = range(3)  # annotated present, unknown, absent
THEN = dt.datetime.fromisoformat("2024-05-01T12:30")


def decide(store, *decisions, who="ann", **more):
    """Writes (image, label, verdict) or (image, label, verdict, value) decisions."""
    requests = [DecisionRequest(*decision, **more) for decision in decisions]
    with store.writer() as writer:
        return writer.decisions.decide(requests, who=who)


def values(store, image):
    return store.snapshot().labels([image])[0].tolist()


def in_force(store, image):
    codes = {code: verdict for verdict, code in VERDICT_CODES.items()} | {0: None}
    return [codes[code] for code in read_verdicts(store.snapshot(), [image])[0].tolist()]


def test_what_each_verdict_does(stores):
    store = stores.create()
    first, *_ = fill(store, 2)
    assert values(store, first) == [1, 0, -1]
    decide(
        store,
        (first, "smiling", "flip"),
        (first, "male", "accept"),
        (first, "eyeglasses", "unsure"),
    )
    assert values(store, first) == [-1, 0, -1]
    assert in_force(store, first) == ["flip", "unsure", "accept"]
    found = read_history(store.snapshot())
    assert [(item.label, item.verdict, item.given, item.value) for item in found] == [
        ("Smiling", "flip", 1, -1),
        ("Male", "accept", -1, -1),
        ("Eyeglasses", "unsure", 0, None),
    ]
    decide(store, (first, "Eyeglasses", "set", 1), (first, "Smiling", "accept"), (first, "Male", "set", 0))
    assert values(store, first) == [-1, 1, 0]
    assert in_force(store, first) == ["accept", "set", "set"]
    assert store.snapshot().stored_labels([first]).annotated[0].tolist() == [1, 0, -1]


def test_unsure_leaves_in_force_what_was_decided_before(stores):
    store = stores.create()
    first, *_ = fill(store, 1)
    decide(store, (first, "Smiling", "flip"), (first, "Smiling", "unsure"), when=THEN)
    assert values(store, first)[SMILING] == -1
    assert in_force(store, first)[SMILING] == "unsure"
    decide(store, (first, "Smiling", "undo"))
    assert (values(store, first)[SMILING], in_force(store, first)[SMILING]) == (-1, "flip")
    decide(store, (first, "Smiling", "undo"))
    assert (values(store, first)[SMILING], in_force(store, first)[SMILING]) == (1, None)


def test_unsure_follows_the_annotation_and_accept_does_not(stores):
    store = stores.create()
    with store.writer() as writer:
        number = writer.gallery.add_dataset("faces", "folder", Path("/faces"))
        writer.gallery.add_images(number, [new("a")], LABELS)
        writer.decisions.decide(
            [DecisionRequest(1, "Smiling", "unsure"), DecisionRequest(1, "Male", "accept")], who="ann"
        )
        writer.gallery.add_images(number, [new("a", labels=(-1, -1, 1))], LABELS)
    assert values(store, 1) == [-1, -1, -1]


def test_undo_goes_back_decision_by_decision_and_keeps_the_history(stores):
    store = stores.create()
    first, *_ = fill(store, 1)
    with store.writer() as writer:
        writer.decisions.set([first], "Smiling", 0, who="ann", why="")
        writer.decisions.set([first], "Smiling", None, who="ann", why="")
    assert (values(store, first)[SMILING], in_force(store, first)[SMILING]) == (1, None)
    decide(store, (first, "Smiling", "flip"))
    seen = []
    for _ in range(3):
        decide(store, (first, "Smiling", "undo"), who="bob")
        seen.append((values(store, first)[SMILING], in_force(store, first)[SMILING]))
    assert seen == [(1, None), (0, "set"), (1, None)]
    found = read_history(store.snapshot())
    assert [item.verdict for item in found] == ["set", "set", "flip", "undo", "undo", "undo"]
    assert [item.given for item in found] == [1, 0, 1, -1, 1, 0]
    assert [item.value for item in found] == [0, None, -1, None, 0, None]
    assert [item.who for item in found] == ["ann"] * 3 + ["bob"] * 3
    with pytest.raises(AuditError, match="no decision is there to take back"):
        decide(store, (first, "Smiling", "undo"))


def test_a_decision_keeps_who_when_why_and_the_run(stores):
    store = stores.create()
    first, *_ = fill(store, 1)
    decide(store, (first, "Male", "accept"), who="ann", why="a beard", run="audit-1", when=THEN)
    decide(store, (first, "Smiling", "accept"))
    one, two = read_history(store.snapshot(), [first])
    assert (one.image_id, one.dataset, one.key, one.label) == (first, "faces", "000.jpg", "Male")
    assert (one.who, one.when, one.why, one.run) == ("ann", THEN, "a beard", "audit-1")
    assert (two.why, two.run) == ("", None)
    assert abs(two.when - dt.datetime.now(dt.UTC).replace(tzinfo=None)) < dt.timedelta(minutes=5)


@pytest.mark.parametrize(
    ("decision", "match"),
    [
        ({"label": "Eyeglasses", "verdict": "accept"}, "is unknown, so there is nothing to accept; set it"),
        ({"label": "Eyeglasses", "verdict": "flip"}, "is unknown, so there is nothing to flip; set it"),
        ({"verdict": "undo"}, "no decision is there to take back"),
        ({"verdict": "maybe"}, "found the verdict 'maybe', expected set, accept, flip, unsure, undo"),
        ({"verdict": "set", "value": 2}, "found the value 2, expected −1, 0 or 1"),
        ({"verdict": "accept", "given": 5}, "found the value 5, expected −1, 0 or 1"),
        ({"verdict": "flip", "value": 1}, "only set takes one"),
        ({"verdict": "accept", "given": -1}, "was absent when it was decided on and is present now"),
        ({"label": "Male", "verdict": "unsure", "given": 0}, "was unknown when .* and is absent now"),
    ],
)
def test_decisions_that_cannot_be(sqlite_stores, decision, match):
    store = sqlite_stores.create()
    first, second = fill(store, 2)
    good = DecisionRequest(second, "Smiling", "flip")
    bad = DecisionRequest(first, **({"label": "Smiling"} | decision))
    with store.writer() as writer:
        with pytest.raises(AuditError, match=match) as caught:
            writer.decisions.decide([good, bad], who="ann")
        assert str(caught.value).startswith(f"nothing was decided: {first}, {bad.label}: ")
        assert "\n" not in str(caught.value)
        with pytest.raises(AuditError, match=match) as caught:
            writer.decisions.decide([good, bad], who="ann", faults=[(7, "not a decision")], file="some.csv")
        assert str(caught.value).startswith(
            "some.csv: 2 of 3 decisions do not fit, and none was written: line 2"
        )
        assert str(caught.value).endswith("; line 7: not a decision")
        with pytest.raises(AuditError, match=r"^some\.csv: 1 of 2 .* line 7: not a decision$"):
            writer.decisions.decide([good], who="ann", faults=[(7, "not a decision")], file="some.csv")
    snapshot = store.snapshot()
    assert read_history(snapshot) == []
    assert snapshot.label_revision == 0


def test_a_flip_of_what_is_flipped_wants_to_know_what_is_given(stores):
    store = stores.create()
    first, *_ = fill(store, 1)
    decide(store, (first, "Smiling", "flip"))
    with pytest.raises(AuditError, match="is flipped already"):
        decide(store, (first, "Smiling", "flip"))
    decide(store, (first, "Smiling", "flip"), given=-1)
    assert values(store, first)[SMILING] == 1


def test_names_and_images_that_are_not_there(stores):
    store = stores.create()
    first, second = fill(store, 2)
    with store.writer() as writer:
        writer.gallery.delete([second])
        for image in (second, 99):
            asked = [DecisionRequest(number, "Male", "flip") for number in (first, image)]
            with pytest.raises(UnknownImageError, match=f"^no living image 'id:{image}'"):
                writer.decisions.decide(asked[1:], who="a")
            with pytest.raises(AuditError, match=f"^nothing was decided: no living image 'id:{image}'"):
                writer.decisions.decide(asked, who="a")
        with pytest.raises(UnknownLabelError, match="did you mean Smiling"):
            writer.decisions.decide([DecisionRequest(first, "Smilling", "flip")], who="a")
    assert read_history(store.snapshot(), [first, second]) == []


def test_many_decisions_are_one_revision(stores):
    store = stores.create()
    with store.writer() as writer:
        number = writer.gallery.add_dataset("faces", "folder", Path("/faces"))
        writer.gallery.add_images(number, [new(f"{row}") for row in range(1200)], LABELS)
    before = store.snapshot()
    ids = before.image_ids()
    revision = decide(store, *[(image, "Smiling", "flip") for image in ids.tolist()])
    after = store.snapshot()
    assert revision == after.label_revision == before.label_revision + 1
    assert after.generation == before.generation + 1
    assert (after.labels(ids, ["Smiling"]) == -1).all()
    assert (read_verdicts(after, ids) != 0).sum(axis=0).tolist() == [1200, 0, 0]
    assert decide(store) == revision, "nothing to decide is no change"


def test_an_older_snapshot_sees_the_decisions_of_its_time(stores):
    store = stores.create()
    first, second = fill(store, 2)
    decide(store, (first, "Smiling", "flip"))
    then = store.snapshot()
    decide(store, (first, "Smiling", "undo"), (second, "Male", "flip"))
    assert [item.verdict for item in read_history(then)] == ["flip"]
    assert read_verdicts(then, [second, first]).tolist() == [[0, 0, 0], [2, 0, 0]]
    assert then.labels([first])[0, SMILING] == -1
    assert not (read_verdicts(then, [second]) != 0).any()
    assert (read_verdicts(store.snapshot(), [first, second]) != 0).tolist() == [
        [False] * 3,
        [False, False, True],
    ]


def test_which_decisions_and_verdicts_are_read(stores):
    store = stores.create()
    ids = fill(store, 3)
    decide(store, (ids[0], "Smiling", "flip"), (ids[1], "Male", "unsure"), (ids[2], "Male", "accept"))
    with store.writer() as writer:
        writer.gallery.delete(ids[2:])
    snapshot = store.snapshot()
    assert [item.image_id for item in read_history(snapshot)] == ids[:2], "of living images"
    assert [item.image_id for item in read_history(snapshot, ids[1:])] == ids[1:], "of any that are asked for"
    assert [item.label for item in read_history(snapshot, labels=["male"])] == ["Male"]
    assert read_history(snapshot, []) == read_history(snapshot, [99]) == []
    codes = read_verdicts(snapshot, [ids[1], ids[0], ids[1]], ["male", "smiling"])
    assert codes.dtype == np.int8
    assert codes.tolist() == [[3, 0], [0, 2], [3, 0]]
    assert (read_verdicts(snapshot, [], ["Male"]) != 0).shape == (0, 1)
    for ask in (read_history, read_verdicts):
        with pytest.raises(UnknownLabelError, match="did you mean Male"):
            ask(snapshot, ids, labels=["Mael"])


def test_an_image_that_only_has_a_decision(stores):
    store = stores.create()
    with store.writer() as writer:
        number = writer.gallery.add_dataset("faces", "folder", Path("/faces"))
        writer.gallery.add_images(number, [new("a", labels=None), new("b")], LABELS)
        writer.decisions.decide([DecisionRequest(1, "Male", "unsure")], who="ann")
        assert not store.snapshot().stored_labels([1]).known[0], "unsure says nothing of the label"
        writer.decisions.decide([DecisionRequest(1, "Male", "set", 1)], who="ann")
    assert store.snapshot().stored_labels([1]).known[0]
    assert values(store, 1) == [0, 0, 1]


# ---- replay


def test_replay_takes_the_whole_history():
    rows = [("a", "flip", -1), ("b", "set", 0), ("a", "unsure", -1), ("b", "undo", None)]
    assert replay(rows) == {"a": Standing("unsure", -1)}
    assert replay([]) == {}
    with pytest.raises(AuditError, match=r"takes a decision on 'a' back .* expected the whole history"):
        replay([("a", "undo", None)])
    with pytest.raises(AuditError, match="has the verdict 'maybe'"):
        replay([("a", "maybe", None)])


def test_settling_goes_on_from_a_history_and_changes_no_decision():
    stacks = {"a": [Standing("flip", -1)]}
    asked = [DecisionRequest(1, "L", verdict) for verdict in ("undo", "accept", "undo", "undo")]
    settled, faults = settle(asked, ["a"] * 4, {"a": 1}, stacks)
    assert [tuple(item) for item in settled] == [(-1, None), (1, 1), (1, None)]
    assert faults == [(3, "no decision is there to take back")]


@pytest.fixture(scope="module")
def one_store(tmp_path_factory):
    with Backend.create(tmp_path_factory.mktemp("replay") / "store") as store:
        fill(store, 3)
        yield store


STEP = st.tuples(
    st.integers(0, 2),
    st.integers(0, 2),
    st.sampled_from(["accept", "flip", "unsure", "undo", "set"]),
    st.sampled_from([-1, 0, 1, None]),
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(calls=st.lists(st.lists(STEP, max_size=4), max_size=8))
def test_the_history_replayed_is_what_the_store_says(one_store, calls):
    """Random decisions against a model with a list for each entry; the store begins empty each time."""
    store = one_store
    with store.engine.begin() as connection:
        connection.execute(text("DELETE FROM label_override"))
    ids = store.snapshot().image_ids().tolist()
    annotated = store.snapshot().stored_labels(ids).annotated
    model: dict[tuple[int, int], list[tuple[str, int | None]]] = {}
    for call in calls:
        asked, expected = [], {entry: list(stack) for entry, stack in model.items()}
        possible = True
        for row, position, verdict, said in call:
            stack = expected.setdefault((row, position), [])
            held = stack[-1][1] if stack else None
            now = int(annotated[row, position]) if held is None else held
            asked.append(
                DecisionRequest(
                    ids[row], LABELS[position], verdict, said if verdict == "set" else None, when=THEN
                )
            )
            again = verdict == "flip" and bool(stack) and stack[-1][0] == "flip"
            if (verdict in {"accept", "flip"} and now == 0) or (verdict == "undo" and not stack) or again:
                possible = False
                break
            if verdict == "undo":
                stack.pop()
            else:
                stack.append((verdict, {"accept": now, "flip": -now, "unsure": held, "set": said}[verdict]))
        before = store.snapshot()
        with store.writer() as writer:
            if possible:
                writer.decisions.decide(asked, who="ann")
                model = expected
            else:
                with pytest.raises(AuditError):
                    writer.decisions.decide(asked, who="ann")
                assert store.snapshot().generation == before.generation
    snapshot = store.snapshot()
    rows = read_history(snapshot)
    again = replay(((item.image_id, item.label), item.verdict, item.value) for item in rows)
    assert again == {
        (ids[row], LABELS[position]): Standing(*stack[-1])
        for (row, position), stack in model.items()
        if stack
    }
    effective, reviewed = annotated.copy(), np.zeros(annotated.shape, bool)
    for (image, label), standing in again.items():
        place = ids.index(image), LABELS.index(label)
        effective[place] = effective[place] if standing.value is None else standing.value
        reviewed[place] = standing.reviewed
    assert snapshot.labels(ids).tolist() == effective.tolist()
    assert (read_verdicts(snapshot, ids) != 0).tolist() == reviewed.tolist()


@pytest.mark.parametrize("odd", ["caf\udce9", "\ud83d", "a\0b"])
def test_texts_that_no_database_holds_are_named(stores, odd):
    store = stores.create()
    first, *_ = fill(store, 1)
    for what in ("who", "why", "run"):
        asked = DecisionRequest(first, "Smiling", "flip", **{what: odd})
        with (
            store.writer() as writer,
            pytest.raises(AuditError, match=f"nothing was decided: the {what} holds half a character"),
        ):
            writer.decisions.decide([asked], who="ann")
    for image, label, what in ((odd, "Smiling", "image"), (first, odd, "label")):
        with pytest.raises(AuditError, match=f"the {what} holds half a character"):
            decide(store, (image, label, "flip"))
    with pytest.raises(AuditError, match=r"who decides is .*half a character"):
        decide(store, (first, "Smiling", "flip"), who=odd)
    assert not read_history(store.snapshot())
