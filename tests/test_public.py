import re
import subprocess
import sys
from pathlib import Path

import pytest
from command import PROGRAM, environment

import olrsearch


def test_public_names_are_sorted_and_importable():
    names = dir(olrsearch)
    assert names == sorted(names)
    for name in names:
        assert getattr(olrsearch, name) is not None
    assert {"Ranking", "Store", "__version__", "errors"} <= set(names)
    declared = re.findall(r"import (\w+) as \1", Path(olrsearch.__file__).read_text("utf-8"))
    assert sorted(declared) == names  # what type checkers see is what there is


def test_a_star_import_brings_every_name():
    found = {}
    exec("from olrsearch import *", found)
    assert set(dir(olrsearch)) <= set(found)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'Shop'"):
        olrsearch.Shop  # noqa: B018 - the access is what is tested


def loaded_after(program, *arguments):
    """Names of the top-level modules a fresh interpreter has after running a program."""
    tail = "\nfinally:\n print('|'.join({n.partition('.')[0] for n in sys.modules}), file=sys.stderr)"
    body = "import sys\ntry:\n " + program.replace("; ", "\n ")
    done = subprocess.run(
        [sys.executable, "-c", body + tail, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
        timeout=60,
    )
    return set(done.stderr.splitlines()[-1].split("|")), done.stdout


def test_importing_the_package_loads_nothing_heavy():
    modules, _ = loaded_after("import olrsearch; olrsearch.OlrsearchError")
    assert "olrsearch" in modules
    assert not modules & {"torch", "lightning", "faiss", "numpy", "sqlalchemy", "PIL", "click"}


def test_the_facade_loads_neither_torch_nor_faiss():
    modules, _ = loaded_after("import olrsearch; olrsearch.Store")
    assert "numpy" in modules
    assert not modules & {"torch", "lightning", "faiss"}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["search", "--help"], ["train", "olr", "--help"], ["--version"]]
)
def test_help_loads_nothing_heavy(arguments):
    modules, out = loaded_after(PROGRAM, *arguments)
    assert "olrsearch" in out
    assert not modules & {"torch", "lightning", "faiss", "numpy", "sqlalchemy", "PIL", "alembic"}
