"""Finds the files that ship beside the code: migrations, index recipes and encoders.

In a checkout the first two lie at the root of the repository, where people edit them; a
wheel carries copies in a folder of their own (`olrsearch/_resources/migrations`,
`olrsearch/_resources/recipes`), so that an installed program needs no checkout. Encoders
lie in the package itself (`olrsearch/encoders/models`).
"""

from __future__ import annotations

from pathlib import Path

from olrsearch.core.errors import OlrsearchError

_PACKAGE = Path(__file__).resolve().parents[1]
_SHIPPED = _PACKAGE / "_resources"
_CHECKOUT = _PACKAGE.parent


def migrations_dir() -> Path:
    """The folder of the Alembic scripts (`env.py`, `versions/`).

    Raises:
        OlrsearchError: the installation lacks it.
    """
    return _find("migrations", Path("migrations"), "env.py")


def recipes_dir() -> Path:
    """The folder of the index recipes (`*.toml`).

    Raises:
        OlrsearchError: the installation lacks it.
    """
    return _find("recipes", Path("indexes", "recipes"), "")


def models_dir() -> Path:
    """The folder of the encoders that come with the package, one folder each, by name."""
    return _PACKAGE / "encoders" / "models"


def _find(shipped: str, checkout: Path, witness: str) -> Path:
    for folder in (_SHIPPED / shipped, _CHECKOUT / checkout):
        if (folder / witness).exists():
            return folder
    raise OlrsearchError(
        f"this installation of olrsearch has no {shipped!r} folder (neither {_SHIPPED / shipped} nor"
        f" {_CHECKOUT / checkout}); install it again"
    )
