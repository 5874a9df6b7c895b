"""Names of modules and of what is in them, as docs and docstrings spell them in backticks, exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = sorted((ROOT / "olrsearch").rglob("*.py"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "indexes" / "README.md"]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
SPELT = re.compile(r"`([a-z_]+(?:\.[A-Za-z_]+)+)(?:\(\))?`")
FILES = re.compile(r"\.(py|md|json|npy|csv|toml|txt|bin|html|png|jpg|faiss|safetensors|zip|db|ckpt|jsonl)$")
NOT_CODE = {
    "olrsearch.bench",  # groups of entry points
    "olrsearch.encoders",
    "olrsearch.errors",  # an attribute of the package
    "words.mean",  # tensors of a model
    "words.matrix",
    "words.present",
}


@cache
def modules():
    """Every module by its dotted name, with the names that it defines or sets anywhere."""
    found = {}
    for path in CODE:
        parts = path.relative_to(ROOT).with_suffix("").parts
        dotted = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        names = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names.add(node.attr)
        found[dotted] = names
    return found


def exists(spelling):
    """Whether a dotted name leads somewhere; None for one that begins with no module of ours."""
    parts = spelling.split(".")
    for end in range(len(parts), 0, -1):
        start = ".".join(parts[:end])
        homes = [name for name in modules() if name == start or name.endswith(f".{start}")]
        if homes:
            return any(set(parts[end:]) <= modules()[home] for home in homes)
    return None


def test_a_name_that_is_gone_is_seen():
    assert exists("triangles.pack")
    assert exists("olrsearch.maths.triangles")
    assert exists("triangles.unheard_of") is False
    assert exists("numpy.linalg") is None


@pytest.mark.parametrize("path", [*CODE, *PAGES], ids=lambda path: str(path.relative_to(ROOT)))
def test_names_in_backticks_exist(path):
    spelt = set(SPELT.findall(path.read_text(encoding="utf-8"))) - NOT_CODE
    assert [name for name in sorted(spelt) if not FILES.search(name) and exists(name) is False] == []
