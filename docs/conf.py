"""The docs site: `make site` builds it into `site/`, without any network."""

from __future__ import annotations

from olrsearch import __version__

project = "olrsearch"
author = "the olrsearch authors"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = f"olrsearch {release}"
html_static_path: list[str] = []
exclude_patterns = ["_build"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
# Links to files of the repository that are no pages, and docstrings that name several errors in one line.
suppress_warnings = ["myst.xref_missing", "myst.header", "docutils"]
