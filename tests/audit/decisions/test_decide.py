"""Decisions from people and files: checked as a whole, written as a whole, and what comes of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from made_stores import LABELS, fill, new
from pictures import name

from olrsearch import Store
from olrsearch.audit.decisions.decide import decide, decide_file, undo
from olrsearch.audit.decisions.export import export_decisions
from olrsearch.core.errors import AuditError, UnknownImageError, UnknownLabelError
from olrsearch.encoders.olr.config import OlrConfig
from olrsearch.pipeline import new_run
from olrsearch.store import Backend, DecisionRequest
from olrsearch.store.decision_rules import replay
from olrsearch.store.read.decisions import read_history, read_verdicts

STRIPED = 2


@pytest.fixture
def store(tmp_path):
    with Backend.create(tmp_path / "store") as backend:
        fill(backend, 6)
        yield backend


@pytest.fixture
def written(tmp_path):
    def write(*lines, to="decisions.csv", header="image,label,decision,given,why,who"):
        path = tmp_path / to
        path.write_text("\n".join([header, *lines]) + "\n" if header else "\n".join(lines), "utf-8")
        return path

    return write


def history(store):
    """What was decided, without what differs from store to store."""
    return [
        (item.key, item.label, item.verdict, item.given, item.value, item.who, item.when, item.why, item.run)
        for item in read_history(store.snapshot())
    ]


def settled(store):
    """Labels and verdicts of all images by key."""
    snapshot = store.snapshot()
    ids = snapshot.image_ids()
    keys = snapshot.columns(ids, ("key",))["key"].tolist()
    rows = zip(snapshot.labels(ids).tolist(), read_verdicts(snapshot, ids).tolist(), strict=True)
    return dict(zip(keys, rows, strict=True))


def test_a_file_is_decided_at_once(store, written):
    path = written(
        "000.jpg,smiling,flip,present,laughs,bob",
        "faces/001.jpg,SMILING,accept,,,",
        "id:3,Male,unsure,absent,,",
        "003.jpg,Male,,,,",
    )
    before = store.snapshot()
    report = decide_file(store, path, who="ann", run="audit-1")
    after = store.snapshot()
    assert report.to_dict() == {
        "decisions": 3,
        "verdicts": {"flip": 1, "accept": 1, "unsure": 1},
        "undecided": 1,
        "label_revision": before.label_revision + 1,
    }
    assert after.label_revision == report.label_revision
    assert [row[:6] for row in history(store)] == [
        ("000.jpg", "Smiling", "flip", 1, -1, "bob"),
        ("001.jpg", "Smiling", "accept", 1, 1, "ann"),
        ("002.jpg", "Male", "unsure", -1, None, "ann"),
    ]
    assert [row[7:] for row in history(store)] == [("laughs", "audit-1"), ("", "audit-1"), ("", "audit-1")]


def test_every_line_that_does_not_fit_is_named_and_nothing_is_written(store, written):
    path = written(
        "000.jpg,Smiling,flip,,,",
        "00.jpg,Smiling,flip,,,",
        "001.jpg,Smilling,flip,,,",
        "000.jpg,smiling,accept,,,",
        "001.jpg,Eyeglasses,flip,,,",
        "001.jpg,Male,accept,present,,",
        "001.jpg,Smiling,maybe,,,",
        "002.jpg,Smiling,undo,,,",
        "003.jpg,Smiling,flip,,,",
    )
    with pytest.raises(AuditError) as caught:
        decide_file(store, path, who="ann")
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(
        "decisions.csv: 7 of 9 decisions do not fit, and none was written: line 3: no image"
    )
    for part in (
        "line 3: no image '00.jpg' in ",
        "did you mean 000.jpg",
        "line 4: unknown label 'Smilling'; did you mean Smiling?",
        "line 5: 000.jpg, Smiling: stands on line 2 already; keep one of them",
        "line 6: 001.jpg, Eyeglasses: is unknown, so there is nothing to flip",
        "line 7: 001.jpg, Male: was present when it was decided on and is absent now",
        "line 8: found the decision 'maybe', expected accept, flip",
        "line 9: 002.jpg, Smiling: no decision is there to take back",
    ):
        assert part in said
    assert history(store) == []
    assert store.snapshot().label_revision == 0


def test_more_bad_lines_than_one_wants_to_read(store, written):
    lines = [f"{number}.png,Male,flip,,," for number in range(100, 150)]
    lines[45] = "001.jpg,Male,flip,,,"
    lines[48] = "002.jpg,Male,flip,,,"
    path = written(*lines)
    with pytest.raises(AuditError) as caught:
        decide_file(store, path, who="ann")
    said = str(caught.value)
    assert said.count("no image") == 10
    assert said.endswith("; and lines 12–46, 48–49, 51")


def test_the_same_file_again_is_no_second_flip(store, written):
    path = written("000.jpg,Smiling,flip,,,")
    decide_file(store, path, who="ann")
    with pytest.raises(AuditError, match=r"line 2: 000\.jpg, Smiling: is flipped already"):
        decide_file(store, path, who="ann")
    path = written("000.jpg,Smiling,flip,present,,")
    with pytest.raises(AuditError, match=r"line 2: 000\.jpg, Smiling: was present .* and is absent now"):
        decide_file(store, path, who="ann")


def test_a_file_that_decides_nothing_and_a_nobody(store, written):
    with pytest.raises(AuditError, match="has no decision on any of its 1 lines; expected accept"):
        decide_file(store, written("000.jpg,Smiling,,,,"), who="ann")
    with pytest.raises(AuditError, match="nobody is named who decides"):
        decide_file(store, written("000.jpg,Smiling,flip,,,bob", "001.jpg,Male,flip,,,"), who=" ")
    assert decide_file(store, written("000.jpg,Smiling,flip,,,bob"), who="").decisions == 1


def test_keys_of_several_data_sets(store, written):
    fill(store, 2, "others")
    path = written("000.jpg,Smiling,flip,,,", "others/001.jpg,Male,flip,,,")
    with pytest.raises(
        AuditError, match=r"line 2: the key '000\.jpg' is in several data sets: write faces/000\.jpg or"
    ):
        decide_file(store, path, who="ann")
    decide_file(store, written("faces/000.jpg,Smiling,flip,,,", "others/000.jpg,Smiling,flip,,,"), who="ann")
    snapshot = store.snapshot()
    assert [item.dataset for item in read_history(snapshot)] == ["faces", "others"]


def test_one_decision_tells_its_own_error(store):
    with pytest.raises(UnknownImageError, match=r"did you mean 000\.jpg"):
        decide(store, [DecisionRequest("00.jpg", "Male", "flip")], who="ann")
    with pytest.raises(UnknownLabelError, match="did you mean Male"):
        decide(store, [DecisionRequest("000.jpg", "Mael", "flip")], who="ann")
    for number in (99, -1, 1 << 70):
        with pytest.raises(UnknownImageError, match=f"image 'id:{number}' in "):
            decide(store, [DecisionRequest(number, "Male", "flip")], who="ann")
    with pytest.raises(AuditError, match=f"^nothing was decided: no living image 'id:{1 << 70}'"):
        decide(store, [DecisionRequest(image, "Male", "flip") for image in (1, 1 << 70)], who="ann")
    with pytest.raises(AuditError, match=r"^nothing was decided: 000\.jpg, Male: no decision is there"):
        undo(store, "000.jpg", "male", who="ann")
    twice = [DecisionRequest("000.jpg", "Male", "flip"), DecisionRequest(1, "male", "unsure")]
    with pytest.raises(AuditError, match="1, Male: is decided twice; keep one"):
        decide(store, twice, who="ann")
    assert decide(store, [], who="ann").decisions == 0


def test_undo_of_one_entry(store):
    decide(store, [DecisionRequest(1, "Smiling", "flip"), DecisionRequest(1, "Male", "flip")], who="ann")
    report = undo(store, "000.jpg", "smiling", who="bob", why="he does")
    assert report.verdicts == {"undo": 1}
    assert settled(store)["000.jpg"] == ([1, 0, 1], [0, 0, 2])
    assert history(store)[-1][1:6] == ("Smiling", "undo", -1, None, "bob")


# ---- histories


def some_history(store, steps=60, seed=0):
    """Random decisions on a few entries, many of them taken back again."""
    rng, ids = np.random.default_rng(seed), store.snapshot().image_ids().tolist()
    for step in range(steps):
        image, label = int(rng.choice(ids)), str(rng.choice(LABELS))
        verdict = str(rng.choice(["accept", "flip", "unsure", "undo", "set"]))
        value = [None, -1, 0, 1][rng.integers(4)] if verdict == "set" else None
        try:
            with store.writer() as writer:
                writer.decisions.decide(
                    [DecisionRequest(image, label, verdict, value, why=f"because {step}")],
                    who=f"p{step % 3}",
                    run="audit-1",
                )
        except AuditError:
            continue


def fresh(path, name="other"):
    """The labels that `store` was imported with, under another name and other ids."""
    backend = Backend.create(path)
    with backend.writer() as writer:
        number = writer.gallery.add_dataset(name, "folder", Path("/other"))
        writer.gallery.add_images(
            number, [new("zzz.jpg"), *(new(f"{row:03}.jpg") for row in range(5, -1, -1))], LABELS
        )
    return backend


@pytest.mark.slow
def test_a_history_gives_the_same_state_over_the_original_labels(store, tmp_path):
    out = "history.jsonl"
    some_history(store)
    count = export_decisions(store.snapshot(), tmp_path / out)
    verdicts = [row[2] for row in history(store)]
    assert count == len(verdicts) > 25
    assert set(verdicts) == {"accept", "flip", "unsure", "undo", "set"}
    with fresh(tmp_path / "fresh") as other:
        report = decide_file(other, tmp_path / out, who="carol")
        assert report.decisions == count
        assert history(other) == history(store), "who, when, why and run too"
        wanted = settled(store)
        assert {key: row for key, row in settled(other).items() if key != "zzz.jpg"} == wanted
        with pytest.raises(AuditError, match="when it was decided on"):
            decide_file(other, tmp_path / out, who="carol")
    standing = replay(((row[0], row[1]), row[2], row[4]) for row in history(store))
    for (key, label), now in standing.items():
        if now.value is not None:
            assert wanted[key][0][LABELS.index(label)] == now.value


def test_a_history_of_other_labels_is_refused(store, tmp_path):
    decide(store, [DecisionRequest("000.jpg", "Smiling", "accept")], who="ann")
    export_decisions(store.snapshot(), tmp_path / "history.jsonl")
    with fresh(tmp_path / "fresh") as other:
        with other.writer() as writer:
            writer.gallery.add_images(1, [new("000.jpg", labels=(-1, 0, -1))], LABELS)
        with pytest.raises(
            AuditError, match=r"line 1: 000\.jpg, Smiling: was present .* absent now; look at it again"
        ):
            decide_file(other, tmp_path / "history.jsonl", who="ann")
        assert history(other) == []


def test_which_history_is_exported(store, tmp_path):
    snapshot = store.snapshot()
    with pytest.raises(AuditError, match="nothing of this was decided yet"):
        export_decisions(snapshot, tmp_path / "none.json")
    fill(store, 2, "others")
    ids = store.snapshot().image_ids().tolist()
    requests = [DecisionRequest(image, label, "accept") for image in ids for label in ("Smiling", "Male")]
    decide(store, requests, who="ann")
    with store.writer() as writer:
        writer.gallery.delete(ids[2:3])
    snapshot = store.snapshot()
    assert export_decisions(snapshot, tmp_path / "all.json") == 14, "of living images"
    images = [json.loads(line)["image"] for line in (tmp_path / "all.json").read_text().splitlines()]
    assert images[::2] == [
        "faces/000.jpg", "faces/001.jpg", "003.jpg", "004.jpg", "005.jpg", "others/000.jpg", "others/001.jpg",
    ]  # fmt: skip
    for bad, match in (
        ("all.csv", "JSON lines: name the file .json or .jsonl"),
        ("all.json", "there already"),
    ):
        with pytest.raises(AuditError, match=match):
            export_decisions(snapshot, tmp_path / bad)
    assert export_decisions(snapshot, tmp_path / "all.json", replace=True) == 14


def test_an_image_that_only_its_id_names_is_in_no_file(store, tmp_path):
    with store.writer() as writer:
        number = writer.gallery.add_dataset("two", "folder", Path("/two"))
        writer.gallery.add_images(number, [new("000.jpg"), new("id:5")], LABELS)
        writer.gallery.add_images(1, [new("two/000.jpg")], LABELS)
    ids = store.snapshot().image_ids().tolist()
    decide(store, [DecisionRequest(ids[-2], "Male", "accept")], who="ann")
    export_decisions(store.snapshot(), tmp_path / "odd.json")
    assert json.loads((tmp_path / "odd.json").read_text())["image"] == "two/id:5"
    decide(store, [DecisionRequest(ids[-3], "Male", "accept")], who="ann")
    with pytest.raises(
        AuditError, match=r"'two/000\.jpg' is the key of an image and the full name of another"
    ):
        export_decisions(store.snapshot(), tmp_path / "none.json")


# ---- what decisions count for


def test_training_sees_effective_labels(store, tmp_path):
    config = OlrConfig.of_profile("tiny", LABELS[:1]).with_overrides({"selection_size": "1"})
    before, after = tmp_path / "before", tmp_path / "after"
    new_run.new_run(before, store.snapshot(), config, None)
    decide(store, [DecisionRequest("000.jpg", "Smiling", "flip")], who="ann")
    decide(store, [DecisionRequest("003.jpg", "Smiling", "unsure")], who="ann")
    new_run.new_run(after, store.snapshot(), config, None)
    ids, labels = (
        [np.load(next(runs.iterdir()) / f"{file}.npy") for runs in (before, after)]
        for file in ("ids", "labels")
    )
    assert ids[0].tolist() == ids[1].tolist() == [1, 4]
    assert [item.tolist() for item in labels] == [[[1], [1]], [[-1], [1]]]


def test_a_search_by_labels_sees_effective_labels(gallery, tmp_path):
    with Store.open(gallery.copy(tmp_path / "store")) as own:

        def striped():
            found = own.search("striped", 200, evidence="labels", min_probability=0.5)
            return {hit.key for hit in found}

        before = striped()
        there, lacking = min(before), next(name(row) for row in range(120) if name(row) not in before)
        own.labels.decide(
            [DecisionRequest(image, "striped", "flip") for image in (there, lacking)], who="ann"
        )
        assert striped() == before - {there} | {lacking}
        (described,) = own.describe(there)
        assert {item.label: item.stored for item in described}["Striped"] == -1
        own.labels.undo(there, "striped", who="ann")
        assert striped() == before | {lacking}
        assert [item.verdict for item in own.labels.history(there)] == ["flip", "undo"]
        assert [item.key for item in own.labels.history(label="striped")] == [there, lacking, there]
        assert own.labels.set([there], "striped", "unknown", who="me") == 1
        assert own.labels.history(there)[-1].verdict == "set"
