"""What can be asked of an audit: lists, entries, summaries, rules."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from command import good
from made_audits import UNLABELLED, WRONG, truth
from pictures import LABELS, jpeg, name

from olrsearch import Store
from olrsearch.core.errors import (
    AuditError,
    EmptyStoreError,
    OptionalDependencyError,
    QueryError,
    StoreCorruptError,
    UnknownImageError,
    UnknownLabelError,
)
from olrsearch.core.files import checked_json
from olrsearch.store import DecisionRequest
from olrsearch.store.audit_runs import RunFolder, audit_folders

PLANTED = {name(row) for row in WRONG}


@pytest.fixture(scope="module")
def read(audited):
    with Store.open(audited, read_only=True) as store:
        yield store


# -- lists ---------------------------------------------------------------------------------


def test_pages_of_one_list(read):
    whole = read.audit.list(k=1000)
    assert len(whole) == whole.total == 4 * 120 - 3
    assert "keeps 477 suspects of this kind: there are no more" in whole.notes[-1]
    assert [issue.rank for issue in whole] == list(range(1, 478))
    page = read.audit.list(k=10, offset=5)
    assert page.issues == whole.issues[5:15]
    assert len(page.notes) == 1
    assert "on the evidence agrees with what is stored" in page.notes[0]
    for issue in whole:
        assert issue.suggested == (1 if issue.present >= 0.5 else -1)
        assert json.loads(json.dumps(issue.to_dict()))["key"] == issue.key


def test_lists_of_a_label_and_a_direction(read):
    red = read.audit.list(" RED", 200)
    assert {issue.label for issue in red} == {"Red"}
    assert len(red) == red.total == 120
    assert {issue.key for issue in red.issues[: len(WRONG)]} == PLANTED
    present = read.audit.list("red", 200, given="present")
    absent = read.audit.list("red", 200, given="absent")
    assert {issue.given for issue in present} == {1}
    assert present.total + absent.total == 120
    assert {issue.suggested for issue in read.audit.list("red", 200, suggested="absent")} == {-1}
    both = read.audit.list("red", 200, given="present", suggested="absent")
    assert {(issue.given, issue.suggested) for issue in both} == {(1, -1)}
    assert {issue.key for issue in both} <= PLANTED


def test_suggestions_for_what_nobody_labelled(read):
    found = read.audit.list(unknown=True)
    assert {(issue.key, issue.label) for issue in found} == {(name(row), "Striped") for row in UNLABELLED}
    assert (found.total, found.notes) == (3, ())
    confidence = [max(issue.present, 1 - issue.present) for issue in found]
    assert confidence == sorted(confidence, reverse=True)
    for issue in found:
        assert issue.suggested == truth(int(issue.key[:4]))[LABELS.index("Striped")]
        assert (issue.given, issue.score) == (0, None)
    present = read.audit.list("striped", unknown=True, suggested="present")
    assert {issue.suggested for issue in present} <= {1}
    assert len(read.audit.list("red", unknown=True)) == 0
    assert read.audit.list(unknown=True, k=1, offset=1).issues == found.issues[1:2]


def test_what_a_list_refuses(read):
    with pytest.raises(UnknownLabelError, match="did you mean Striped"):
        read.audit.list("stripd")
    with pytest.raises(AuditError, match="no audit is called 'audit-1'; there are audit-2"):
        read.audit.list(run="audit-1")
    for options, said in (
        ({"k": 0}, "found k = 0"),
        ({"offset": -1}, "offset = -1"),
        ({"given": "maybe"}, "given is present or absent, found 'maybe'"),
        ({"suggested": "no"}, "suggested is present or absent, found 'no'"),
        ({"unknown": True, "given": "present"}, "leave one of the two out"),
    ):
        with pytest.raises(QueryError, match=said):
            read.audit.list(**options)


def test_reviewed_entries_are_hidden_unless_asked_for(asked):
    first, second, third = asked.audit.list("red", 3)
    asked.labels.decide(
        [
            DecisionRequest(first.key, "Red", "flip"),
            DecisionRequest(second.key, "Red", "accept"),
            DecisionRequest(third.key, "Red", "unsure"),
        ],
        who="ann",
    )
    found = asked.audit.list("red", 5)
    assert not {issue.key for issue in found} & {first.key, second.key, third.key}
    assert found.issues[0].rank == 1
    assert "3 entries reviewed already left out: --reviewed shows them" in found.notes
    again = asked.audit.list("red", 3, reviewed=True)
    assert [issue.verdict for issue in again] == ["flip", "accept", "unsure"]
    assert tuple(replace(issue, verdict=None) for issue in again) == (first, second, third)
    assert not any("left out" in note for note in again.notes)


def test_deleted_images_and_changed_labels_are_left_out(asked, gallery, tmp_path):
    first, second, third = asked.audit.list("red", 3)
    asked.delete([first.key])
    table = tmp_path / "other.csv"
    table.write_text(f"image,Red\n{second.key},{-second.given}\n")
    good(asked.path, "import", "folder", gallery.data, "--labels", table)
    found = asked.audit.list("red", 4)
    assert found.issues[0].key == third.key
    assert {first.key, second.key}.isdisjoint({issue.key for issue in found})
    assert "1 entry left out whose label changed since the audit" in found.notes
    run = found.run
    assert any(note.startswith(f"{run} looked at labels of revision") for note in found.notes)
    assert found.total == 119
    assert len(asked.audit.list(unknown=True)) == 3
    asked.delete([name(UNLABELLED[0])])
    asked.labels.set([name(UNLABELLED[1])], "Striped", "present", who="ann")
    left = asked.audit.list(unknown=True)
    assert [issue.key for issue in left] == [name(UNLABELLED[2])]


# -- entries -------------------------------------------------------------------------------


def test_an_entry_with_all_that_is_known_of_it(asked):
    (issue,) = asked.audit.list("red", 1)
    found = asked.audit.show(issue.key, "RED")
    assert (found.label, found.key, found.given, found.now) == ("Red", issue.key, issue.given, issue.given)
    assert (found.score, found.suggested) == (pytest.approx(issue.score, abs=1e-6), issue.suggested)
    assert [item.scorer for item in found.evidence] == ["probability", "other-labels", "neighbours"]
    near = found.evidence[2]
    assert near.text == "by its neighbours"
    assert near.images
    for image in near.images:
        assert image.given == -found.given
        assert image.key == name(image.image_id - 1)
    assert "likely by how the image looks" in found.evidence[0].text
    assert found.decisions == ()
    asked.labels.decide(
        [DecisionRequest(issue.key, "Red", "flip", why="looks red")], who="ann", run=found.run
    )
    later = asked.audit.show(issue.image_id, "red")
    (made,) = later.decisions
    assert (made.verdict, made.given, made.value, made.who, made.why, made.run) == (
        "flip",
        issue.given,
        -issue.given,
        "ann",
        "looks red",
        found.run,
    )
    assert (later.given, later.now) == (issue.given, -issue.given)
    assert "has changed since the audit" in later.notes[0]
    assert json.loads(json.dumps(later.to_dict()))["decisions"][0]["verdict"] == "flip"


def test_an_entry_nobody_labelled(read):
    found = read.audit.show(name(UNLABELLED[0]), "striped")
    assert (found.given, found.now, found.score) == (0, 0, None)
    assert found.suggested == truth(UNLABELLED[0])[LABELS.index("Striped")]


def test_what_cannot_be_shown(read, asked, gallery):
    with pytest.raises(UnknownImageError):
        read.audit.show("0999.png", "red")
    with pytest.raises(UnknownLabelError):
        read.audit.show(name(1), "rad hat")
    good(asked.path, "import", "folder", gallery.data, "--name", "again", "--limit", 1)
    with pytest.raises(AuditError, match="did not look at image 121, which came later"):
        asked.audit.show("again/0000.png", "red")


def test_a_number_stands_where_it_cannot_be_explained_any_more(asked, monkeypatch):
    from made_audits import Nearest

    def missing(*_):
        raise OptionalDependencyError("install olrsearch[audit]")

    monkeypatch.setattr(Nearest, "explain", missing)
    found = asked.audit.show(name(WRONG[0]), "red")
    assert found.evidence[2].text == "cannot be explained any more: install olrsearch[audit]"
    assert found.evidence[2].present is not None


def test_damaged_arrays_are_named(asked):
    (path,) = audit_folders(asked.path / "runs")
    file = path / "evidence-probability.npy"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(StoreCorruptError, match=r"evidence-probability.npy has \d+ bytes, expected"):
        asked.audit.show(name(1), "red")
    assert len(asked.audit.list()) == 20  # which reads SQL alone
    file.unlink()
    with pytest.raises(StoreCorruptError, match="cannot be read"):
        asked.audit.show(name(1), "red")
    np.save(file, np.zeros((4, 119), np.float32))
    with pytest.raises(StoreCorruptError, match="bytes, expected"):
        asked.audit.show(name(1), "red")
    (path / "run.json").write_text("{")
    with pytest.raises(StoreCorruptError, match=r"run.json is damaged"):
        asked.audit.show(name(1), "red")
    assert [item.state for item in asked.audit.runs()] == ["damaged"]
    assert [problem.code for problem in asked.verify().problems] == ["audit"]


# -- all labels ----------------------------------------------------------------------------


def test_a_summary_has_a_row_for_every_label(read):
    found = read.audit.summary()
    assert {row.label for row in found} == set(LABELS)
    for row in found:
        assert row.entries == row.total.entries == row.false_present.entries + row.false_absent.entries
        assert row.entries == (117 if row.label == "Striped" else 120)
        assert (row.reviewed, row.wrong) == (0, 0)
        for count in (row.false_present, row.false_absent, row.total):
            if count.count is not None:
                assert count.low <= count.count <= count.high
        assert json.loads(json.dumps(row.to_dict()))["label"] == row.label
    counts = [row.total.count or 0 for row in found]
    assert counts == sorted(counts, reverse=True)


def test_rules_and_how_often_they_are_broken(gallery, tmp_path):
    home = gallery.copy(tmp_path / "store")
    table = tmp_path / "more.csv"
    lines = [
        f"{name(row)},{1 if row < 60 else -1},{1 if row >= 60 or row == 3 else -1}" for row in range(120)
    ]
    table.write_text("image,Early,Late\n" + "\n".join(lines) + "\n")
    good(home, "import", "folder", gallery.data, "--labels", table)
    own = tmp_path / "rules.txt"
    own.write_text("never: red & framed\n")
    with Store.open(home, read_only=True) as store:
        mined = store.audit.rules()
        found = store.audit.rules(own)
        pair = [rule for rule in mined if set(rule.labels) == {"Early", "Late"} and rule.kind == "exclusion"]
        if pair:  # the bound of so few images may be too wide for a rule
            assert pair[0].violations == 1
            assert pair[0].examples == (name(3),)
        assert (found[0].source, found[0].labels, found[0].values) == ("file", ("Red", "Framed"), (1, 1))
        both = [row for row in range(120) if truth(row)[1] == truth(row)[3] == 1]
        assert found[0].violations == len(both)
        assert found[0].examples == tuple(name(row) for row in both[:5])
        assert found[1:] == mined
        assert json.loads(json.dumps(found[0].to_dict()))["violations"] == len(both)
        first = mined[0]
        signs = ["" if value > 0 else "!" for value in first.values]
        own.write_text(f"never: {signs[0]}{first.labels[0]} & {signs[1]}{first.labels[1]}\n")
        again = store.audit.rules(own)  # a rule that is mined too stands there once, as the user's
        assert (again[0].source, again[0].labels, again[0].values) == ("file", first.labels, first.values)
        assert again[1:] == mined[1:]
        own.write_text("never: red & framd\n")
        with pytest.raises(UnknownLabelError, match="line 1: unknown label 'framd'; did you mean Framed"):
            store.audit.rules(own)
    with Store.create(tmp_path / "empty") as store:
        with pytest.raises(EmptyStoreError, match="no images"):
            store.audit.rules()
        store.import_folder(gallery.data, limit=3)
        with pytest.raises(AuditError, match="no label is stored"):
            store.audit.rules()


# -- a table to fill in --------------------------------------------------------------------


def test_a_list_as_a_table_that_is_filled_in_and_decided(asked, tmp_path):
    found = asked.audit.list("red", 8)
    path = asked.audit.table(found, tmp_path / "review" / "red.csv")
    assert b"\r" not in path.read_bytes()
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "label", "given", "suggested", "score", "run", "decision"]
    assert [row["image"] for row in rows] == [issue.key for issue in found]
    assert {row["given"] for row in rows} <= {"present", "absent"}
    assert {row["decision"] for row in rows} == {""}
    for row in rows[: len(WRONG)]:
        row["decision"] = "flip"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    written = asked.labels.decide_file(path, who="ann", run=found.run)
    assert (written.decisions, written.undecided) == (len(WRONG), 2)
    with Store.open(asked.path, read_only=True) as store:
        for row in WRONG:
            assert store.describe(name(row))[0].estimates is not None
            (red,) = [item for item in store.describe(name(row))[0] if item.label == "Red"]
            assert red.stored == truth(row)[LABELS.index("Red")]


def test_a_table_of_several_data_sets_names_them(asked, gallery, tmp_path):
    good(asked.path, "import", "folder", gallery.data, "--name", "again", "--limit", 1)
    path = asked.audit.table(asked.audit.list("red", 2), tmp_path / "red.csv")
    with path.open(newline="") as file:
        assert all(row["image"].startswith("pictures/") for row in csv.DictReader(file))


def test_suggestions_as_a_table(read, tmp_path):
    path = read.audit.table(read.audit.list(unknown=True), tmp_path / "unknown.csv")
    with path.open(newline="") as file:
        assert {(row["given"], row["score"]) for row in csv.DictReader(file)} == {("unknown", "")}


def test_runs_that_other_programs_left_are_refused(asked):
    (path,) = audit_folders(asked.path / "runs")
    record = json.loads((path / "run.json").read_text())
    del record["checksum"]
    (path / "run.json").write_bytes(checked_json({**record, "format_version": 99}))
    with pytest.raises(Exception, match="has format 99, written by olrsearch"):
        RunFolder.open(path)
    shutil.rmtree(path)


def test_a_list_of_two_labels_holds_the_entries_of_both(read):
    of = {label: read.audit.list(label, 200) for label in ("red", "bright")}
    both = read.audit.list(["red", "bright"], 400)
    assert both.total == sum(found.total for found in of.values())
    assert {(issue.image_id, issue.label) for issue in both} == {
        (issue.image_id, issue.label) for found in of.values() for issue in found
    }
    scores = [issue.score for issue in both]
    assert scores == sorted(scores)
    assert read.audit.list([], 500).total == read.audit.list(k=500).total
    unknown = read.audit.list(["striped", "red"], unknown=True)
    assert {issue.label for issue in unknown} == {"Striped"}


def test_where_evidence_agrees_it_is_said(read):
    found = read.audit.list("red", 200)
    agreeing = [issue.rank for issue in found if issue.suggested == issue.given]
    assert agreeing  # every audit keeps some entries of every label
    assert f"from rank {agreeing[0]:,} on the evidence agrees with what is stored" in found.notes[0]
    only = read.audit.list("red", 3)
    assert all(issue.suggested != issue.given for issue in only)
    assert only.notes == ()


def test_a_table_carries_its_run_into_decisions(asked, tmp_path):
    found = asked.audit.list("red", 2)
    path = asked.audit.table(found, tmp_path / "red.csv")
    text = path.read_text("utf-8")
    header, first, second = text.splitlines()
    path.write_text(f"{header}\n{first}flip\n{second}\n", "utf-8")
    asked.labels.decide_file(path, who="ann")
    assert asked.labels.history()[-1].run == found.run


def test_what_became_of_replaced_images_is_said(asked, gallery, tmp_path):
    first = asked.audit.list("red", 1)[0]
    folder = tmp_path / "pictures"
    shutil.copytree(gallery.data, folder)
    (folder / first.key).write_bytes(jpeg())
    before = asked.audit.list(k=1000)
    asked.relocate("pictures", folder)
    report = asked.import_folder(folder, name="pictures")
    assert report.replaced == 1
    found = asked.audit.list(k=1000)
    gone = before.total - found.total
    assert gone > 0
    assert f"{gone} entries left out whose image was deleted or replaced since the audit" in found.notes
    one = asked.audit.list("red", 1, suggested="absent" if first.suggested < 0 else "present")
    assert "1 entry left out whose image was deleted or replaced since the audit" in one.notes
    said = (
        f"1 image that {found.run} looked at was deleted or replaced since: what replaced them is in no list"
    )
    for notes in (found.notes, asked.audit.summary().notes, asked.audit.show(5, "red").notes):
        assert any(note.startswith(said) for note in notes)
