"""Audits of stores that asked scorers which are no longer asked: they open, answer and learn, and say so."""

import numpy as np
import pytest
from made_audits import RED, WRONG, Nearest
from pictures import name

from olrsearch import Store
from olrsearch.audit.scorers.retired import RETIRED
from olrsearch.core.errors import AuditError
from olrsearch.store import DecisionRequest
from olrsearch.store.audit_runs import RunFolder, audit_folders

NOTE = "the scorer disagreement is no longer asked: it found errors hardly better than chance"


class Bound(Nearest):
    """As the scorer was: its evidence is bound to the entry's own value."""

    name = "disagreement"

    def evidence(self, material, *, track):
        del track
        return np.where(material.given > 0, 0.99, 0.01).T.astype(np.float32)


@pytest.fixture
def before(scorers, monkeypatch):
    """The program as it was when the scorer was asked."""
    scorers.known["disagreement"] = Bound
    with monkeypatch.context() as patch:
        patch.delitem(RETIRED, "disagreement")
        yield patch


@pytest.mark.slow
def test_an_audit_that_asked_one_still_answers(fresh, before, tmp_path):
    names = ["probability", "neighbours", "disagreement"]
    report = fresh.audit.run(scorers=names, weights="injected")
    before.undo()
    with Store.open(fresh.path) as store:
        (listed,) = store.audit.runs()
        assert (listed.run, listed.state, listed.scorers) == (report.run, "finished", tuple(names))
        page = store.audit.list("red", len(WRONG))
        assert {issue.key for issue in page} == {name(row) for row in WRONG}
        assert page.notes[0].startswith(NOTE)
        shown = store.audit.show(name(WRONG[0]), "red")
        said = {part.scorer: part for part in shown.evidence}
        assert list(said) == names
        assert said["disagreement"].text.startswith(NOTE)
        given = said["disagreement"].present
        assert given == pytest.approx(0.99 if shown.given > 0 else 0.01)
        assert said["neighbours"].text == "by its neighbours"
        assert any(note.startswith(NOTE) for note in shown.notes)
        summary = store.audit.summary()
        assert len(summary.labels) == 4
        assert any(note.startswith(NOTE) for note in summary.notes)
        learnt = RunFolder.open(fresh.path / "runs" / report.run)
        again = store.audit.run(scorers=names[:2], weights=learnt.path / "run.json")
        kept = RunFolder.open(fresh.path / "runs" / again.run).record["config"]["weights"]
        before_it = learnt.record["weights"]["pooled"]
        assert kept["scorers"] == names[:2]
        assert sum(kept["pooled"][:2]) == pytest.approx(sum(before_it[:3]), rel=1e-6)
        store.audit.delete(again.run)
        assert NOTE in store.audit.sheet(tmp_path / "red.html", labels=["red"], k=3).read_text("utf-8")
        assert store.verify().ok
        # A refit weighs what was kept; who knows the entry's own value has no say in how many are wrong.
        store.labels.decide([DecisionRequest(name(WRONG[0]), "Red", "flip")], who="ann")
        refit = store.audit.refit()
        assert (refit.scorers, refit.reviewed) == (tuple(names), 1)
        assert store.audit.summary().labels[0].total.count == pytest.approx(len(WRONG), abs=8)


def test_one_that_was_not_finished_says_what_to_do(fresh, scorers, before):
    scorers.fail[2] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        fresh.audit.run(scorers=["probability", "disagreement"])
    before.undo()
    (path,) = audit_folders(fresh.path / "runs")
    assert RunFolder.open(path).record["arrays"]["given"]["shape"][1] > RED
    with pytest.raises(AuditError, match=rf"{NOTE}.*; so {path.name} cannot go on: `olrsearch audit delete"):
        fresh.audit.run(resume=True)
    fresh.audit.delete(path.name)
    assert fresh.audit.runs() == ()
