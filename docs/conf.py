"""The docs site: `make site` builds it into `site/`, without any network. A warning stops it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from olrsearch import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "olrsearch"
author = "the olrsearch authors"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = f"olrsearch {release}"
html_static_path: list[str] = []
exclude_patterns = ["_build"]
myst_heading_anchors = 3
default_role = "code"  # docstrings write `names` as Markdown does
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_numpy_docstring = False


def fences_as_blocks(
    _app: object, _what: str, _name: str, _obj: object, _options: object, lines: list[str]
) -> None:
    """Turn what docstrings put between fences into literal blocks."""
    shown: list[str] = []
    inside = False
    for line in lines:
        if line.strip().startswith("```"):
            inside = not inside
            shown += ["", "::", ""] if inside else [""]
        else:
            shown.append(f"    {line}" if inside else line)
    lines[:] = shown


def setup(app: Sphinx) -> None:
    """Register what stands above with Sphinx."""
    app.connect("autodoc-process-docstring", fences_as_blocks)
