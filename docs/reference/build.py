"""The reference as web pages: `python docs/reference/build.py FOLDER`. Warnings and faulty docstrings are errors.

daad.__all__, daad.sklearn -> pdoc, which imports and inspects: options are declared once, and found in signatures
the command line -> its own help; models, features and their settings -> their declarations
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pdoc.doc
import pdoc.render

import daad
from daad.cli import app
from declarations import declarations, short
from docstrings import faults, of_daad, public_names, sklearn_names

ABOUT = """Learn what good looks like from your own good images; tell of a new one whether something is wrong, where,
and how sure that is.

The names below are all that `daad` offers. Beside them: the [command line](command_line.html), every
[model and all features with their settings](settings.html), and the detector for
[scikit-learn](daad/sklearn.html)."""


def python_page(name: str, about: str, public: Mapping[str, Any]) -> pdoc.doc.Module:
    """A page of public names, with what their classes inherit within daad."""
    facade = ModuleType(name, about)
    vars(facade).update(public, __all__=list(public))
    page = pdoc.doc.Module(facade)
    for cls in page.classes:
        inherited = [doc for (home, _), docs in cls.inherited_members.items() for doc in docs if of_daad(home)]
        cls.own_members = [doc for doc in (*cls.own_members, *inherited) if doc.qualname != "Detector.__init__"]
        cls.inherited_members = {}
    for doc in [*page.own_members, *(doc for cls in page.classes for doc in cls.own_members)]:
        if isinstance(doc, pdoc.doc.Function):
            tidy(doc)
        elif isinstance(doc, pdoc.doc.Variable):
            doc.annotation_str = f": {short(doc.annotation)}" if doc.annotation_str else ""
            doc.default_value_str = doc.default_value_str.replace("PydanticUndefined", "")
    return page


def tidy(doc: pdoc.doc.Function) -> None:
    """A signature with short types, and no decorators but Python's."""
    doc.decorators = ["@classmethod"] if doc.is_classmethod else []
    parameters = [one.replace(annotation=short(one.annotation)) for one in doc.signature.parameters.values()]
    doc.signature = doc.signature.replace(
        parameters=parameters, return_annotation=short(doc.signature.return_annotation)
    )


def text_page(name: str, *parts: str) -> pdoc.doc.Module:
    """A page of Markdown."""
    facade = ModuleType(name, "\n\n".join(parts))
    vars(facade)["__all__"] = []
    return pdoc.doc.Module(facade)


def command_line() -> str:
    """The help of every command, as Markdown."""
    text = app.generate_docs(output_format="markdown", recursive=True, flatten_commands=True, heading_level=2)
    return re.sub(r"^## daad\n|^## Table of Contents\n.*?(?=^\*\*Commands)", "", text, flags=re.MULTILINE | re.DOTALL)


def build(folder: Path) -> None:
    """Write all pages. Raises the first warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write(folder)


def write(folder: Path) -> None:
    pages = [
        python_page("daad", ABOUT, public_names()),
        python_page("daad.sklearn", sys.modules["daad.sklearn"].__doc__ or "", sklearn_names()),
        text_page("command_line", command_line()),
        text_page("settings", *declarations()),
    ]
    everything = {page.modulename: page for page in pages}
    pdoc.render.configure(docformat="google", show_source=False, footer_text=f"daad {daad.__version__}")
    for name, page in everything.items():
        path = folder / f"{name.replace('.', '/')}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(pdoc.render.html_module(page, everything), encoding="utf-8")
    (folder / "search.js").write_text(pdoc.render.search_index(everything), encoding="utf-8")
    (folder / "index.html").write_text('<meta http-equiv="refresh" content="0; url=daad.html">', encoding="utf-8")


if __name__ == "__main__":
    found = [*faults(public_names()), *faults(sklearn_names())]
    if found:
        sys.exit("\n".join(found))
    build(Path(sys.argv[1]))
