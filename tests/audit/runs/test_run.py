"""Audit runs: what they find, and that an interruption costs only what was not finished."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import environment
from made_audits import RED, WRONG
from made_audits import truth as true_labels
from pictures import LABELS, name

from olrsearch import Store
from olrsearch.audit.evidence.estimates import estimate_errors
from olrsearch.core.errors import (
    AuditError,
    EmptyStoreError,
    StoreReadOnlyError,
    UnknownLabelError,
)
from olrsearch.store.audit_runs import RunFolder, audit_folders

TESTS = Path(__file__).parents[2]
ALL = [f"{scorer} 120" for scorer in ("probability", "other-labels", "neighbours")]


def spoil_file(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def folder_of(store):
    (path,) = audit_folders(store.path / "runs")
    return RunFolder.open(path)


def test_planted_errors_are_found_and_kept(fresh, scorers):
    report = fresh.audit.run(weights="injected")
    assert scorers.calls == [*ALL, *ALL]  # the labels as they are, then with injected errors
    assert (report.images, report.labels, report.entries) == (120, 4, 4 * 120 - 3)
    assert report.scorers == ("probability", "other-labels", "neighbours")
    assert json.loads(json.dumps(report.to_dict()))["run"] == report.run
    assert report.run in report.lines()[0]
    found = fresh.audit.list("red", len(WRONG))
    assert {issue.key for issue in found} == {name(row) for row in WRONG}
    assert [issue.rank for issue in found] == list(range(1, len(WRONG) + 1))
    for issue in found:
        right = true_labels(int(issue.key[:4]))[RED]
        assert (issue.given, issue.suggested) == (-right, right)
        assert issue.score == pytest.approx(issue.present if issue.given > 0 else 1 - issue.present, abs=1e-6)
        assert issue.score < 0.5
    scores = [issue.score for issue in fresh.audit.list(k=400)]
    assert scores == sorted(scores)
    folder = folder_of(fresh)
    assert folder.record["status"] == "finished"
    assert folder.record["config"]["labels"] == list(LABELS)
    assert not list(folder.damaged())
    injected = folder.load("injected/given")
    flips = injected != folder.load("given")[folder.load("injected/rows")]
    assert 0 < flips.sum() < 60
    assert not flips[injected == 0].any()
    present = folder.load("present-1")
    assert present.shape == (4, 120)
    assert present.dtype == np.float32
    assert fresh.verify().ok


@pytest.mark.slow
def test_the_same_audit_twice_says_the_same(fresh):
    first = fresh.audit.run(seed=3, weights="injected")
    again = fresh.audit.run(seed=3, weights="injected")
    assert first.run != again.run
    pages = [fresh.audit.list(k=100, run=run).to_dicts() for run in (first.run, again.run)]
    assert pages[0] == pages[1]
    assert [item.run for item in fresh.audit.runs()] == [first.run, again.run]


def test_some_labels_and_images(fresh, scorers):
    report = fresh.audit.run(
        labels=["RED", "bright"], where="partition = 'train'", scorers=["probability"], weights="injected"
    )
    assert scorers.calls == ["probability 72"] * 2
    assert (report.images, report.labels) == (72, 2)
    assert {issue.label for issue in fresh.audit.list(k=500)} <= {"Red", "Bright"}
    with pytest.raises(AuditError, match="did not look at Striped: audit again"):
        fresh.audit.list("striped")
    with pytest.raises(AuditError, match="did not look at image"):
        fresh.audit.show(name(3), "red")


@pytest.mark.slow
def test_an_interrupted_audit_goes_on_where_it_was(fresh, scorers):
    scorers.fail[3] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt, match=r"audit-.* is kept: `olrsearch audit run --resume`"):
        fresh.audit.run(weights="injected")
    (unfinished,) = fresh.audit.runs()
    assert (unfinished.state, unfinished.suspicious) == ("unfinished", None)
    with pytest.raises(AuditError, match=r"is not finished: run `olrsearch audit run --resume`"):
        fresh.audit.list()
    assert fresh.verify().ok
    scorers.calls.clear()
    report = fresh.audit.run(resume=True)
    assert scorers.calls == [ALL[2], *ALL]
    assert report.run == unfinished.run
    assert [item.state for item in fresh.audit.runs()] == ["finished"]
    with pytest.raises(AuditError, match="no unfinished audit"):
        fresh.audit.run(resume=True)
    whole = fresh.audit.run(weights="injected")
    assert (
        fresh.audit.list(k=50, run=report.run).to_dicts() == fresh.audit.list(k=50, run=whole.run).to_dicts()
    )


@pytest.mark.slow
@pytest.mark.parametrize("call", [2, 5])
def test_a_killed_audit_goes_on_where_it_was(fresh, scorers, call):
    program = f"""
import os, signal, sys
sys.path.insert(0, {str(TESTS)!r})
from made_audits import Scorers
from olrsearch import Store
from olrsearch.audit.runs import begin, from_store

class Killer(dict):
    def pop(self, count, default):
        if count == {call}:
            os.kill(os.getpid(), signal.SIGKILL)

scorers = Scorers()
scorers.fail = Killer()
begin.make_scorers = from_store.make_scorers = scorers.make
with Store.open({str(fresh.path)!r}) as store:
    store.audit.run(weights="injected")
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=200, env=environment())
    assert done.returncode == -signal.SIGKILL
    folder = folder_of(fresh)
    (folder.path / ".tmp-half").write_bytes(b"what the kill cut off")
    kept = {file: file.stat().st_mtime_ns for file in folder.path.rglob("*evidence-*.npy")}
    assert len(kept) == call - 1
    fresh.audit.run(resume=True)
    assert scorers.calls == [*ALL, *ALL][call - 1 :]
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
    assert not list(folder.path.glob(".tmp-*"))
    assert {issue.key for issue in fresh.audit.list("red", len(WRONG))} == {name(row) for row in WRONG}
    assert fresh.verify().ok


@pytest.mark.slow
def test_a_kill_before_the_commit_repeats_only_the_ranking(fresh, scorers, monkeypatch):
    with monkeypatch.context() as patch:

        def stop(*_, **__):
            raise KeyboardInterrupt

        patch.setattr("olrsearch.store.write.audits._write_suspects", stop)
        with pytest.raises(KeyboardInterrupt):
            fresh.audit.run(weights="injected")
    assert [item.state for item in fresh.audit.runs()] == ["unfinished"]
    scorers.calls.clear()
    fresh.audit.run(resume=True)
    assert scorers.calls == []
    assert [name for name in folder_of(fresh).record["arrays"] if name.startswith("present")] == ["present-2"]


def test_a_damaged_array_is_computed_again_or_named(fresh, scorers):
    scorers.fail[6] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        fresh.audit.run(weights="injected")
    folder = folder_of(fresh)
    spoil_file(folder.path / "evidence-other-labels.npy")
    report = fresh.verify()
    assert report.ok
    assert "evidence-other-labels.npy is damaged: `olrsearch audit run --resume`" in report.to_rebuild[0]
    scorers.calls.clear()
    report = fresh.audit.run(resume=True)
    assert scorers.calls == [ALL[1], ALL[2]]
    assert "evidence-other-labels.npy" in report.notes[-1]
    assert "was damaged and is computed again" in report.notes[-1]
    spoil_file(folder.path / "evidence-neighbours.npy")
    problems = fresh.verify().problems
    assert [problem.code for problem in problems] == ["audit"]
    assert "evidence-neighbours.npy is damaged" in problems[0].message


def test_without_its_first_arrays_a_run_cannot_go_on(fresh, scorers):
    scorers.fail[1] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        fresh.audit.run(weights="injected")
    folder = folder_of(fresh)
    spoil_file(folder.path / "given.npy")
    with pytest.raises(AuditError, match=r"given.npy is damaged, .* `olrsearch audit delete audit-"):
        fresh.audit.run(resume=True)
    fresh.audit.delete(folder.name)
    assert fresh.audit.runs() == ()
    assert not folder.path.exists()


def test_a_full_disk_says_what_is_kept(fresh, scorers, monkeypatch):
    from olrsearch.core import files

    def full(path):
        if len(scorers.calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        before(path)

    before = files.sync
    with monkeypatch.context() as patch:
        patch.setattr(files, "sync", full)
        with pytest.raises(
            OSError, match=r"No space left on device; what is done of audit-.*--resume"
        ) as caught:
            fresh.audit.run(weights="injected")
    assert caught.value.errno == errno.ENOSPC
    scorers.calls.clear()
    fresh.audit.run(resume=True)
    assert scorers.calls == [*ALL[1:], *ALL]


def test_two_processes_cannot_work_on_one_run(fresh, scorers):
    scorers.fail[2] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        fresh.audit.run(weights="injected")
    folder = folder_of(fresh)
    with folder.locked():
        for act in (lambda: fresh.audit.run(resume=True), lambda: fresh.audit.delete(folder.name)):
            with pytest.raises(AuditError, match=f"another process works on {folder.name}"):
                act()


def test_the_store_may_change_while_an_audit_runs(fresh, scorers):
    """Labels are those of the beginning; what changed since is left out of its lists, and said."""
    scorers.fail[2] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        fresh.audit.run(weights="injected")
    fresh.labels.set([name(WRONG[0])], "Red", "unknown", who="ann")
    fresh.labels.set([name(WRONG[0])], "Red", "present", who="ann")
    fresh.delete([name(WRONG[1])])
    fresh.audit.run(resume=True)
    found = fresh.audit.list("red", 10)
    keys = {issue.key for issue in found}
    assert not keys & {name(WRONG[0]), name(WRONG[1])}
    assert {name(row) for row in WRONG[2:]} <= keys
    assert any("1 entry reviewed already left out" in note for note in found.notes)
    assert fresh.verify().ok


@pytest.mark.slow
def test_weights_of_another_run_save_half_the_time(fresh, scorers, tmp_path):
    learnt = fresh.audit.run(weights="injected")
    record = fresh.path / "runs" / learnt.run / "run.json"
    scorers.calls.clear()
    again = fresh.audit.run(weights=record)
    assert scorers.calls == ALL
    pages = [fresh.audit.list(k=100, run=run).to_dicts() for run in (learnt.run, again.run)]
    assert pages[0] == pages[1]
    alone = tmp_path / "weights.json"
    alone.write_text(json.dumps(json.loads(record.read_text())["weights"]))
    fresh.audit.run(weights=alone)
    fewer = fresh.audit.run(scorers=["probability"], weights="injected")
    elsewhere = json.loads(record.read_text())
    elsewhere["config"]["fingerprint"] = "0" * 64
    alone.write_text(json.dumps(elsewhere))
    assert "were learnt on another space" in fresh.audit.run(weights=alone).notes[-1]
    for path, said in (
        (
            fresh.path / "runs" / fewer.run / "run.json",
            "has weights of probability, and probability, other-labels, .* asked",
        ),
        (tmp_path / "nothing.json", "holds no weights"),
        (fresh.path / "store.json", "holds no weights"),
        (fresh.path / "metadata.db", "holds no weights"),
    ):
        with pytest.raises(AuditError, match=said):
            fresh.audit.run(weights=path)


def test_decisions_teach(asked, scorers):
    before = {issue.key: issue for issue in asked.audit.list("red", 120)}
    judged = [*(name(row) for row in WRONG[:3]), name(0)]
    from olrsearch.store import DecisionRequest

    asked.labels.decide(
        [DecisionRequest(key, "Red", "accept" if key == name(0) else "flip") for key in judged], who="ann"
    )
    note = asked.audit.list("red").notes[-1]
    assert note.startswith("4 decisions since it was ranked: `olrsearch audit refit`")
    report = asked.audit.refit()
    assert scorers.calls == []
    assert report.reviewed == 4
    after = asked.audit.list("red", 120, reviewed=True)
    assert not after.notes[:-1]  # nothing but reviews has changed a label, and that there are no more is said
    assert {issue.key for issue in after} == set(before)
    assert any(issue.score != before[issue.key].score for issue in after)
    folder = folder_of(asked)
    assert [one for one in folder.record["arrays"] if one.startswith("present")] == ["present-2"]
    (red,) = [row for row in asked.audit.summary() if row.label == "Red"]
    assert (red.reviewed, red.wrong) == (4, 3)
    assert asked.verify().ok


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["annotators", "file"])
def test_reviews_move_the_weights_of_their_label_alone(fresh, weights):
    if weights == "file":
        learnt = fresh.audit.run(weights="injected")
        weights = fresh.path / "runs" / learnt.run / "run.json"
    fresh.audit.run(weights=weights)
    before = {(one.key, one.label): one.score for one in fresh.audit.list(k=1000)}
    from olrsearch.store import DecisionRequest

    against = [DecisionRequest(name(row), "Framed", "flip") for row in (0, 1, 2)]
    fresh.labels.decide(against, who="ann")
    assert fresh.audit.refit().reviewed == 3
    after = {(one.key, one.label): one.score for one in fresh.audit.list(k=1000, reviewed=True)}
    moved = {label for (key, label), score in after.items() if before.get((key, label), score) != score}
    assert moved == {"Framed"}


def test_labels_that_changed_otherwise_are_said_after_a_refit_too(asked):
    asked.labels.set([name(0)], "Framed", "unknown", who="ann")
    asked.audit.refit()
    assert any("looked at labels of revision" in note for note in asked.audit.list().notes)


@pytest.mark.slow
def test_what_estimates_prove_ranks_higher(fresh, monkeypatch):
    plain = fresh.audit.run()
    assert not any("than the weights expect" in note for note in plain.notes)
    half = {}

    def proven(names, given, *args, **options):
        found = []
        for one in estimate_errors(names, given, *args, **options):
            absent = one.false_absent
            if one.label == "Red":
                half[one.label] = absent.entries / 2
                absent = replace(absent, count_low=absent.entries / 2, count_high=float(absent.entries))
            found.append(replace(one, false_absent=absent))
        return tuple(found)

    monkeypatch.setattr("olrsearch.audit.runs.run.estimate_errors", proven)
    report = fresh.audit.run()
    (note,) = [note for note in report.notes if "than the weights expect" in note]
    assert note.startswith("Red is wrongly absent more often")
    folder = RunFolder.open(fresh.path / "runs" / report.run)
    red = list(folder.record["config"]["labels"]).index("Red")
    absent = folder.load("given")[:, red] < 0
    assert folder.load("present-1")[red, absent].sum() == pytest.approx(half["Red"], rel=1e-3)
    assert report.suspicious > plain.suspicious
    # What was learnt is kept as it was: a later run raises by its own estimates.
    assert folder.record["weights"]["pooled"] == folder.record["config"]["weights"]["pooled"]
    assert folder.record["weights"]["weight"] == folder.record["config"]["weights"]["weight"]


def test_deleted_audits_leave_nothing(asked):
    (info,) = asked.audit.runs()
    with pytest.raises(AuditError, match=f"no audit is called 'audit-x'; there are {info.run}"):
        asked.audit.delete("audit-x")
    asked.audit.delete(info.run)
    assert asked.audit.runs() == ()
    assert list((asked.path / "runs").iterdir()) == []
    with pytest.raises(AuditError, match="no audit has been run in this store"):
        asked.audit.list()
    assert asked.verify().ok


def test_lost_folders_are_named_and_can_be_deleted(asked):
    (info,) = asked.audit.runs()
    shutil.rmtree(asked.path / "runs" / info.run)
    (problem,) = asked.verify().problems
    assert problem.code == "audit"
    assert f"{info.run} is missing" in problem.message
    assert [item.state for item in asked.audit.runs()] == ["damaged"]
    asked.audit.delete(info.run)
    assert asked.verify().ok


def test_what_cannot_be_audited(fresh, gallery, tmp_path):
    with pytest.raises(UnknownLabelError, match="did you mean Striped"):
        fresh.audit.run(labels=["stripd"])
    with pytest.raises(AuditError, match="no scorer 'looks'"):
        fresh.audit.run(scorers=["looks"])
    with pytest.raises(AuditError, match="no label is stored for any of 0 images"):
        fresh.audit.run(where="key = 'x'")
    with pytest.raises(AuditError, match="5 folds of 3 identities"):
        fresh.audit.run(where="id < 4")
    with pytest.raises(AuditError, match="keeps its own settings: give --resume alone"):
        fresh.audit.run(resume=True, where="id < 4")
    with pytest.raises(AuditError, match="no unfinished audit"):
        fresh.audit.run(resume=True)
    with pytest.raises(AuditError, match="no file of rules"):
        fresh.audit.run(rules=tmp_path / "rules.txt")
    assert audit_folders(fresh.path / "runs") == []
    with Store.open(fresh.path, read_only=True) as store:
        for act in (store.audit.run, store.audit.refit, lambda: store.audit.delete("audit-x")):
            with pytest.raises(StoreReadOnlyError, match="opened read-only"):
                act()
    with Store.create(tmp_path / "empty") as store, pytest.raises(EmptyStoreError, match="no images"):
        store.audit.run(weights="injected")
    with Store.create(tmp_path / "blank") as store:
        store.import_folder(gallery.data, limit=20)
        with pytest.raises(EmptyStoreError, match="no embeddings yet"):
            store.audit.run(weights="injected")
        (table,) = gallery.data.glob("labels.csv")
        assert table.exists()
        store.encode(gallery.model)
        with pytest.raises(AuditError, match="no label is stored for any of 20 images"):
            store.audit.run(weights="injected")


@pytest.mark.slow
def test_one_class_and_five_positives_are_no_error(fresh):
    rare = [name(row) for row in range(5)]
    everybody = [name(row) for row in range(120)]
    fresh.labels.set(everybody, "Framed", "absent", who="ann")
    fresh.labels.set(everybody, "Bright", "absent", who="ann")
    fresh.labels.set(rare, "Bright", "present", who="ann")
    report = fresh.audit.run(scorers=["probability", "other-labels"], weights="injected")
    assert report.entries == 4 * 120 - 3
    summary = {row.label: row for row in fresh.audit.summary()}
    assert summary["Framed"].entries == 120
    assert {issue.label for issue in fresh.audit.list(k=1000, reviewed=True)} <= {"Red", "Striped", "Bright"}


def test_a_users_rules_are_kept_with_the_run(fresh, tmp_path, monkeypatch):
    from olrsearch.audit.runs import from_store

    rules = tmp_path / "rules.txt"
    rules.write_text("never: Red & Framed\n")
    report = fresh.audit.run(rules=rules, weights="injected")
    (rule,) = RunFolder.open(fresh.path / "runs" / report.run).record["config"]["rules"]
    assert (rule["names"], rule["values"]) == (["Red", "Framed"], [1, 1])
    rules.unlink()
    monkeypatch.setattr(from_store, "make_scorers", lambda _: (from_store.Contradictions(),))
    config = RunFolder.open(fresh.path / "runs" / report.run).record["config"]
    (scorer,) = from_store.run_scorers(config)
    found = fresh.audit.rules()  # mined alone
    assert all(item.source == "mined" for item in found)
    assert [item.statement for item in scorer._own] == ["Red and Framed exclude each other"]


def test_by_default_evidence_is_worth_what_annotators_make_of_it(fresh, scorers):
    report = fresh.audit.run()
    assert scorers.calls == ALL  # nothing is injected
    weights = folder_of(fresh).record["weights"]
    assert weights["labels"] == []
    assert weights["scorers"] == list(report.scorers)
    assert {issue.key for issue in fresh.audit.list("red", len(WRONG))} == {name(row) for row in WRONG}
