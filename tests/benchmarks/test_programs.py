"""Programs beside the distribution of benchmarks: each still finds what it imports, and says what it does."""

import importlib
from pathlib import Path

import pytest
from click.testing import CliRunner

FOLDER = Path(__file__).parents[2] / "benchmarks"
PROGRAMS = sorted(path.stem for path in FOLDER.glob("*.py") if "__main__" in path.read_text("utf-8"))


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_says_what_it_does(name, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    main = importlib.import_module(name).main
    answer = CliRunner().invoke(main, ["--help"])
    assert answer.exit_code == 0, answer.output
    assert answer.output.startswith("Usage: ")
