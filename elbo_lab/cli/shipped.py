"""The demos and the glossary: inside the installed package, or beside it in a clone."""

from pathlib import Path

import elbo_lab

BESIDE = {"demos": "demos", "pages": "docs"}


def shipped(folder: str) -> Path:
    """Return the folder 'demos' or 'pages' (with glossary.md)."""
    package = Path(elbo_lab.__file__).parent
    inside = package / folder
    return inside if inside.is_dir() else package.parent / BESIDE[folder]
