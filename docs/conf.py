"""Sphinx configuration of the manual."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

from credssp.__about__ import __version__  # noqa: E402

project = "credssp"
author = "the credssp developers"
copyright = author  # noqa: A001
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sequence_diagram",
    "state_diagram",
    "status_table",
    "public_names",
    "rule_pages",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "README.md"]
graphviz_output_format = "svg"
html_theme = "furo"
html_title = f"credssp {release}"
html_static_path = ["_static", "../credssp/dissect/sequence.css"]
html_css_files = ["manual.css", "sequence.css"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nitpicky = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
default_role = "code"
