"""One HTML file from a template and the style sheet; it loads nothing, so it opens anywhere."""

from __future__ import annotations

from datetime import date
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup


def render(template: str, **content: Any) -> str:
    """The page of a template of this package; everything in `content` is escaped, except Markup."""
    environment = Environment(
        loader=FunctionLoader(_asset),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css, today = Markup(_asset("report.css")), date.today().isoformat()
    return environment.get_template(template).render(css=css, today=today, **content)


def _asset(name: str) -> str:
    return files("daad.report").joinpath(name).read_text(encoding="utf-8")
