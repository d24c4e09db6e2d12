"""Give a copy of the repository its address: urls of the project, and links that work wherever the README is shown.

    python docs/at_home.py COPY https://example.org/me/tellapart

`make dist HOME_URL=…` does this to what it builds. The repository itself has relative links, which work in any clone.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

# A link or picture that begins with neither a scheme nor `#`.
_RELATIVE = re.compile(r"(?P<before>\]\()(?![a-z]+:|#)(?P<path>[^)\s]+)")
_PICTURES = (".png", ".svg", ".jpg")


def absolute(text: str, home: str) -> str:
    """The text with links to files of the repository at its address.

    >>> absolute("[a page](docs/gpu.md) ![a](docs/a.png) [b](https://b.org)", "https://h.org/t")
    '[a page](https://h.org/t/blob/main/docs/gpu.md) ![a](https://h.org/t/raw/main/docs/a.png) [b](https://b.org)'
    """

    def at_home(found: re.Match[str]) -> str:
        kind = "raw" if found["path"].endswith(_PICTURES) else "blob"
        return f"{found['before']}{home}/{kind}/main/{found['path']}"

    return _RELATIVE.sub(at_home, text)


def urls(home: str) -> str:
    """The table of a `pyproject.toml` that says where the project is."""
    places = {
        "Homepage": home,
        "Documentation": f"{home}/blob/main/docs/index.md",
        "Issues": f"{home}/issues",
        "Changelog": f"{home}/blob/main/CHANGELOG.md",
    }
    return "\n".join(["", "[project.urls]", *(f'{name} = "{url}"' for name, url in places.items()), ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("copy", type=Path)
    parser.add_argument("home", help="where the repository is, beginning with https://")
    given = parser.parse_args()
    home = given.home.rstrip("/")
    if not home.startswith("https://"):
        parser.exit(2, f"at_home: `HOME_URL` must begin with https://. Got {given.home}.\n")
    readme, project, citation = (given.copy / name for name in ("README.md", "pyproject.toml", "CITATION.cff"))
    readme.write_text(absolute(readme.read_text(encoding="utf-8"), home), encoding="utf-8")
    project.write_text(project.read_text(encoding="utf-8") + urls(home), encoding="utf-8")
    citation.write_text(f"{citation.read_text(encoding='utf-8')}repository-code: {home}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
