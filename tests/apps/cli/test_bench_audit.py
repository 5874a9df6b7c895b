"""`bench audit`: P4 by the command line, on pictures with exact labels."""

import json

import numpy as np
import pytest
from command import call, good, refused
from command_reference import json_keys
from made_audits import Nearest
from pictures import LABELS

from olrsearch.apps.cli import bench_audit
from olrsearch.audit.benchmark import on_a_store as benchmark
from olrsearch.audit.benchmark.cases import NOISES
from olrsearch.audit.benchmark.on_a_store import audit_case
from olrsearch.audit.scorers.probability import Probability
from olrsearch.core.errors import AuditError, BenchmarkError
from olrsearch.search.spaces.labels import OpenSpace
from olrsearch.store import Backend

RUN = ("-q", "bench", "audit", "--views", "space", "--noise", "n1-10", "--seeds", "0,2")


class Votes(Nearest):
    """A scorer that is counted."""

    asked = 0

    def evidence(self, material, *, track):
        type(self).asked += 1
        return super().evidence(material, track=track)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Two scorers and one filter in place of the program's."""
    monkeypatch.setattr("olrsearch.audit.benchmark.protocol.FILTERS", ("low_self_confidence",))
    known = {"probability": Probability(), "neighbours": Votes()}

    def make(names):
        if unknown := set(names or known) - set(known):
            raise AuditError(f"no scorer {unknown}")
        return tuple(known[name] for name in names or known)

    monkeypatch.setattr(benchmark, "make_scorers", make)
    monkeypatch.setattr(Votes, "asked", 0)


@pytest.fixture
def opened(gallery):
    with Backend.open(gallery.store, read_only=True) as backend:
        snapshot = backend.snapshot()
        yield backend, OpenSpace(snapshot, snapshot.space())


@pytest.mark.slow
def test_figures_are_lines_and_the_report_is_written(gallery, tmp_path):
    called = good(
        gallery.store, *RUN, "--json", "--out", tmp_path / "reports" / "p4", "--cache", tmp_path / "k"
    )
    for row in called.rows:
        assert list(row) == list(json_keys()["bench audit"][1])
    values = {(row["metric"], row["seed"]): row["value"] for row in called.rows}
    assert values["N1 10 %: AUPRC", 2] > values["N1 10 %: base rate", 0]
    report = json.loads((tmp_path / "reports" / "p4.json").read_text())
    assert (report["protocol"], report["command"]) == ("P4", "olrsearch bench audit")
    assert report["data"]["images"] == 120
    assert report["results"]["scorers"] == ["probability", "neighbours"]
    assert [(run["noise"], run["seed"]) for run in report["results"]["runs"]] == [
        ("N1 10 %", 0),
        ("N1 10 %", 2),
    ]
    assert "N1 10 %: rankings of all entries" in (tmp_path / "reports" / "p4.md").read_text()
    # What was kept is not asked again.
    assert Votes.asked == 4  # weights, the labels as they are, and two seeds
    again = good(gallery.store, *RUN, "--json", "--cache", tmp_path / "k")
    assert Votes.asked == 4
    assert again.rows == called.rows


@pytest.mark.slow
def test_text_and_the_scorers_that_were_named(gallery):
    text = good(gallery.store, *RUN, "--scorers", " neighbours").out
    assert text.startswith("### P4: label audit\n")
    assert "| neighbours " in text
    assert "| probability " not in text
    assert "no scorer {'nobody'}" in refused(gallery.store, *RUN, "--scorers", "nobody")


def test_the_case_is_the_stores_labels_and_embeddings(opened):
    backend, space = opened
    case = audit_case(backend, space)
    assert case.found.names == LABELS
    noisy = NOISES["n1-10"].apply(case.found.given, None, 4)
    made = case.material(noisy, 4)
    assert made.given is noisy
    assert made.seed == 4
    rows = np.array([3, 90])
    each = np.stack([space.view.embedding(int(number)) for number in np.sort(space.view.ids)[rows]])
    assert np.array_equal(made.views.features(0, rows), each.reshape(2, -1))
    assert space.info.name in case.source
    assert case.hardness is None


@pytest.mark.slow
def test_another_encoder_says_what_is_hard(gallery, opened):
    backend, space = opened
    with pytest.raises(BenchmarkError, match="is what is audited: name the space of another encoder"):
        audit_case(backend, space, hard=space)
    assert "is what is audited" in refused(gallery.store, *RUN, "--hard", space.info.name)
    text = good(
        gallery.store,
        "-q",
        "bench",
        "audit",
        "--views",
        "space",
        "--noise",
        "n3",
        "--noise",
        "n1-5",
        "--seeds",
        "0",
    ).out
    assert "N3 was left out" in text


def test_options_are_those_of_the_library(gallery):
    assert tuple(NOISES) == bench_audit._NOISES
    for wrong in (("--seeds", "0;1"), ("--noise", "n4")):
        assert call(gallery.store, "bench", "audit", *wrong).code == 2
    assert "which weights are fitted on" in refused(gallery.store, *RUN[:-1], "100")
