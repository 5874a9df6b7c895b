from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from olrsearch_benchmarks.speed.speed import (
    SpeedCase,
    attribute_case,
    cold_case,
    encode_case,
    imports_module,
    label_case,
    run_speed,
    time_in_turns,
    whole_case,
)

from olrsearch.core.errors import BenchmarkError
from olrsearch.evaluation.queries import conjunction_scores
from olrsearch.maths.metric import fit_metric


def nothing():
    return None


class Clock:
    """Time that passes only when work is done."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    def work(self, *seconds):
        left = list(seconds)

        def step():
            self.now += left.pop(0)

        return step


def test_the_ratio_is_the_median_over_turns(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("olrsearch_benchmarks.speed.speed.time", clock)
    ours, theirs = clock.work(100, 3, 2, 90), clock.work(1, 1, 1, 1)
    found = time_in_turns(SpeedCase("work", "less", ours, theirs, turns=3, limit=2.5))
    assert found.ratio == pytest.approx(3)
    assert (found.low, found.high) == (pytest.approx(2.5), pytest.approx(46.5))
    assert found.within is False


def test_ours_and_theirs_take_turns():
    calls = []
    time_in_turns(SpeedCase("a", "b", lambda: calls.append("A"), lambda: calls.append("B"), turns=3))
    assert "".join(calls) == "AB" * 4


def test_the_attribute_baseline_gives_the_answer(data):
    signs = np.array([1, 0, -1, 0, 0, 1], np.int8)
    case = attribute_case(nothing, signs, data.log_p, data.log_not_p, count=7, turns=1)
    exact = conjunction_scores(signs[None], data.log_p, data.log_not_p)[0]
    assert case.theirs().tolist() == np.argsort(-exact, kind="stable")[:7].tolist()


@pytest.mark.parametrize("kind", ["ip", "l2", "cosine"])
def test_scans_give_the_answer(data, kind):
    metric = fit_metric(data.embeddings, kind, form="standardised")
    query = data.embeddings[:, 11]
    expected = metric.distances(query[2], data.embeddings[2], 2)
    case = label_case(nothing, metric, query[2], data.embeddings[2], 2, count=5, turns=1)
    assert np.allclose(np.sort(expected)[:5], expected[case.theirs()], atol=1e-4)
    total = sum(
        metric.distances(query[label], block, label) / metric.scale[label]
        for label, block in enumerate(data.embeddings)
    )
    whole = whole_case(nothing, metric, query, data.embeddings, count=5, turns=1).theirs()
    assert np.allclose(np.sort(total)[:5], total[whole], atol=1e-3)
    everything = whole_case(nothing, metric, query, data.embeddings, count=10**6, turns=1).theirs()
    assert len(everything) == len(total)


def test_what_a_program_imports_is_seen():
    assert imports_module([sys.executable, "-c", "import json.decoder"], "json")
    assert not imports_module([sys.executable, "-c", "import json"], "torch")


def test_a_command_that_fails_is_named():
    with pytest.raises(BenchmarkError, match="exited with 3: boom"):
        imports_module([sys.executable, "-c", "import sys; sys.stderr.write('boom'); sys.exit(3)"], "torch")
    with pytest.raises(BenchmarkError, match="could not be timed"):
        imports_module(["/nowhere/at/all"], "torch")


@pytest.mark.slow
def test_the_report_of_a_cold_command():
    command = [sys.executable, "-c", "import json"]
    cases = [cold_case(command, turns=1), encode_case(nothing, nothing, turns=1)]
    report = run_speed(cases, data={"name": "made up", "images": 3}, cold_command=command)
    assert report.torch_imported is False
    assert [row.name for row in report.ratios] == ["cold command", "encoding"]
    assert report.ratios[0].within is True
    json.dumps(report.to_dict(), allow_nan=False)
    text = report.to_markdown()
    assert "The cold command does not import torch." in text
    assert "Data: made up (3 images)" in text


def test_there_must_be_something_to_time():
    with pytest.raises(BenchmarkError, match="no case"):
        run_speed([], data={"name": "nothing"})
    with pytest.raises(BenchmarkError, match="0 turns"):
        time_in_turns(encode_case(nothing, nothing, turns=0))
