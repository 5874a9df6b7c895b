"""`olrsearch bench fuzz`: every parser refuses by name, and the harness sees those that do not."""

import contextlib
import json

import pytest
from click.testing import CliRunner
from olrsearch_benchmarks.fuzzing import harness
from olrsearch_benchmarks.fuzzing.command import fuzz_command
from olrsearch_benchmarks.fuzzing.harness import Parser, all_parsers, fuzz, made

from olrsearch.core.errors import QueryError

PARSERS = all_parsers()


def _read(text):
    if "b" in text:
        raise QueryError("no b")
    if "x" in text:
        int(text)


MADE = Parser("made", lambda random: "".join(random.choices("abxy", k=3)), _read)


@pytest.mark.parametrize("name", PARSERS)
def test_whatever_a_parser_refuses_is_refused_by_name(name):
    outcome = fuzz(PARSERS[name], 300)
    assert {fault.what: fault.given for fault in outcome.faults.values()} == {}
    assert outcome.accepted + sum(outcome.refused.values()) == 300
    assert outcome.accepted > 0
    assert outcome.refused


def test_what_has_no_name_is_counted_and_shrunk():
    outcome = fuzz(MADE, 200)
    (fault,) = outcome.faults.values()
    assert fault.what.startswith("ValueError at test_fuzzing.py:")
    assert fault.given == "x"
    assert "int(text)" in fault.trace
    assert set(outcome.refused) == {"QueryError"}
    assert outcome.unnamed == fault.count > 1
    assert outcome.accepted + sum(outcome.refused.values()) + outcome.unnamed == 200


def test_an_input_can_be_made_again_by_its_number():
    inputs = []
    fuzz(Parser("made", MADE.make, inputs.append), 5, seed=3)
    assert [made(MADE, 3, number) for number in range(5)] == inputs
    assert [made(MADE, 4, number) for number in range(5)] != inputs


def test_memory_is_that_of_the_input_that_took_most():
    held = Parser(
        "held", lambda random: random.choice((1, 1, 1, 64)) << 20, lambda size: len(b"x" * size) and None
    )
    outcome = fuzz(held, 10, memory=True)
    peak, number = outcome.peak
    assert made(held, 0, number) == 64 << 20
    assert peak == pytest.approx(64 << 20, rel=0.1)


def test_the_command_says_what_was_found_and_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "all_parsers", lambda: {"made": MADE, "queries": PARSERS["queries"]})
    runner = CliRunner()
    done = runner.invoke(
        fuzz_command, ["--count", "50", "--keep", str(tmp_path / "kept")], obj={"quiet": True}
    )
    assert done.exit_code == 1, done.output
    assert "inputs raised what is no OlrsearchError" in done.stderr
    assert "queries: " in done.stdout
    assert any(path.read_text() == "x" for path in (tmp_path / "kept").iterdir())
    done = runner.invoke(
        fuzz_command, ["--parser", "queries", "--count", "20", "--json"], obj={"quiet": True}
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["unnamed"] == 0
    done = runner.invoke(fuzz_command, ["--parser", "quries"], obj={"quiet": True})
    assert done.exit_code == 2
    assert "expected some of made, queries" in done.stderr


def test_progress_counts_inputs(monkeypatch):
    units = []

    @contextlib.contextmanager
    def counted(_, *, total, what, unit):
        units.append((total, what, unit))
        yield lambda _: None

    monkeypatch.setattr("olrsearch_benchmarks.fuzzing.command.counter", counted)
    assert CliRunner().invoke(fuzz_command, ["--count", "2", "--parser", "rule-files"]).exit_code == 0
    assert units == [(2, "rule-files", "inputs")]
