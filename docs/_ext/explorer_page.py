"""The explorer as a page of the site: its files and frames computed beforehand, in `_static/explorer`.

Frames are computed once for the code that makes them, and kept in the folder `_build` beside the pages.
"""

import hashlib
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What decides the numbers of the frames.
ROOMS = (
    "explorer",
    "theory",
    "em",
    "optimise",
    "datasets",
    "estimators",
    "bounds",
    "exact",
    "models",
    "posteriors",
    "distributions",
    "special.py",
)


def digest():
    """Return a digest of the page and of the code that makes its frames."""
    found = hashlib.sha256()
    for room in ROOMS:
        top = ROOT / "elbo_lab" / room
        for path in sorted([top, *top.rglob("*")]):
            if path.is_file() and "__pycache__" not in path.parts:
                found.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return found.hexdigest()[:16]


def write(app, fault):
    """Write the page into a site that was built."""
    if fault or app.builder.format != "html":
        return
    from elbo_lab.explorer.recorded import write_page

    kept = Path(app.srcdir) / "_build" / f"explorer-{digest()}"
    if not kept.exists():
        for old in kept.parent.glob("explorer-*"):
            shutil.rmtree(old)
        unfinished = kept.parent / "unfinished-explorer"
        write_page(unfinished)
        unfinished.rename(kept)
    shutil.copytree(kept, Path(app.outdir) / "_static" / "explorer", dirs_exist_ok=True)
