"""Self-contained HTML pages: a folder's template, with its style and script inlined."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from tellapart.files import atomic_write
from tellapart.version import __version__


def write_page(target: Path, folder: str, **values: Any) -> None:
    """Fill the template `page.html` in a folder of this package, and write it in one step.

    A template begins with `head` of `head.html`, which says what the page may load: nothing but what is in it.
    `{{ "page.js" | source | safe }}` is the text of another file in its folder, or of this one, which has the style
    that all pages share. All other values are escaped. A missing value is an error.

    Raises:
        InputError: the page cannot be written.
    """
    html = _template(folder).render(version=__version__, **values)
    with atomic_write(target) as file:
        file.write(html.encode("utf-8", "replace"))


@cache
def _template(folder: str) -> jinja2.Template:
    """Compiled once: that takes longer than to fill it."""
    loader = jinja2.ChoiceLoader([jinja2.PackageLoader("tellapart", name) for name in (folder, "pages")])
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "sort_keys": True}
    environment.filters["source"] = lambda name: loader.get_source(environment, name)[0]
    return environment.get_template("page.html")
