"""Sphinx builds the site of docs/ from the repository's root, so that links to README.md and configs/ work as they are.

    sphinx-build -W --keep-going -c docs . build/site        # then open build/site/docs/index.html

A page is in the site's menu where docs/index.md links to it, in that order; a page that it does not link to is an
error.
"""

import re
from pathlib import Path
from typing import Any

from air_lightning import __version__

project, version, release = "AIR-Lightning", __version__, __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
root_doc = "docs/index"
include_patterns = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**", "tests/template_plugin/README.md"]
exclude_patterns = ["**/.*", "build", "runs", "**/__pycache__"]  # .venv and the like are not even looked into

html_theme, html_title = "furo", "AIR-Lightning"
html_show_copyright, html_show_sphinx = False, False
myst_heading_anchors = 3

default_role = "code"  # single backticks in docstrings
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_inherit_docstrings = False  # Lightning's and torch's are not ours
# Attributes as a list, not as entries of their own; Errors is prose, where Raises lists classes.
napoleon_custom_sections = [("Attributes", "params_style"), "Errors"]


def one_a_line(app: Any, kind: str, path: str, what: Any, options: Any, lines: list[str]) -> None:
    """Arguments that share a line, `images: (B, C, H, W). step: of training.`, get a line each."""
    for i in reversed(range(len(lines))):
        indent = re.match(r" +(?=\w[\w, ]*: )", lines[i])
        if indent:
            lines[i : i + 1] = re.sub(r"\. (?=(?!null:)[a-z_, ]+: )", f".\n{indent[0]}", lines[i]).split("\n")


def leave_out(app: Any, kind: str, name: str, what: Any, skip: bool, options: Any) -> bool | None:
    """Named tuples' fields are described by their class."""
    return True if type(what).__name__ == "_tuplegetter" else None


def follow_folders(app: Any, page: str, source: list[str]) -> None:
    """Links to a folder lead to its README.md."""
    here = Path(app.env.doc2path(page)).parent

    def target(link: re.Match[str]) -> str:
        return f"{link[0][:-1].rstrip('/')}/README.md)" if (here / link[1] / "README.md").is_file() else link[0]

    source[0] = re.sub(r"\]\(([^)#:]+)\)", target, source[0])


def add_menu(app: Any, page: str, source: list[str]) -> None:
    """Append to the first page the menu that its links make, headings its captions."""
    if page != root_doc:
        return
    for section in re.split(r"^## ", source[0], flags=re.MULTILINE)[1:]:
        pages = re.findall(r"\]\(([^)#:]+)\.(?:md|rst)\)", section)
        lines = ["", "", "```{toctree}", ":hidden:", f":caption: {section.splitlines()[0]}", "", *pages, "```", ""]
        source[0] += "\n".join(lines)


def setup(app: Any) -> None:
    """Sphinx's entry to what is said here."""
    app.connect("autodoc-process-docstring", one_a_line, priority=400)  # before napoleon
    app.connect("autodoc-skip-member", leave_out)
    app.connect("source-read", follow_folders)
    app.connect("source-read", add_menu)
