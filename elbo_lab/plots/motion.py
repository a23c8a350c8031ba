"""Figures that move: artists shown in turn, in one SVG that needs no script.

A figure is drawn with the artists of all frames at once, and each of them says in which frames it is seen.
What stands still is therefore in the file once, and what stays for some frames once too. CSS hides and shows
the groups. A reader who asked for reduced motion, a printer and a program that knows no animation see the
last frame. An element around the figure stops it with the attribute data-play="off", and lets it run with
"on", also where the reader asked for reduced motion.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate

from matplotlib.artist import Artist
from matplotlib.figure import Figure

from elbo_lab.errors import bad_value
from elbo_lab.plots.style import Picture

Seen = tuple[Artist, int, int]
"""An artist, the first frame in which it is seen, and the last."""

_GROUP = re.compile(r' id="frames-(\d+)-(\d+)"')


def show_in_turn(figure: Picture, seen: Iterable[Seen], seconds: Sequence[float]) -> Picture:
    """Let artists of a figure be seen in some of its frames only; all others are seen in every frame.

    Where nothing moves, as in a PNG, the figure is its last frame. Artists that move have no influence on the
    layout, so that nothing else moves with them.

    Parameters
    ----------
    figure : Picture
    seen : iterable of (artist, first, last)
        Frames are counted from 0, and `last` is included.
    seconds : sequence of float
        How long each frame is shown.

    Returns
    -------
    Picture
        The same figure.

    Raises
    ------
    ValueError
        If a time is not positive or an artist is seen in frames that there are not.
    """
    if not seconds or min(seconds) <= 0:
        raise bad_value("seconds", "a positive time for each frame", list(seconds))
    end = len(seconds) - 1
    for artist, first, last in seen:
        if not 0 <= first <= last <= end:
            raise bad_value("seen", f"frames from 0 to {end}, the first one first", (first, last))
        if (first, last) != (0, end):
            artist.set_gid(f"frames-{first}-{last}")
        artist.set_in_layout(False)
        artist.set_visible(last == end)
    figure.seconds = tuple(seconds)
    return figure


@contextmanager
def all_frames(figure: Figure) -> Iterator[tuple[float, ...]]:
    """Make the artists of all frames visible for a while; the seconds of the frames, () of a still figure."""
    seconds = figure.seconds if isinstance(figure, Picture) else ()
    moving = figure.findobj(lambda artist: (artist.get_gid() or "").startswith("frames-")) if seconds else []
    before = [artist.get_visible() for artist in moving]
    for artist in moving:
        artist.set_visible(True)
    try:
        yield seconds
    finally:
        for artist, visible in zip(moving, before, strict=True):
            artist.set_visible(visible)


def animate(svg: str, seconds: Sequence[float], title: str) -> str:
    """Return an SVG of all frames that shows them one after the other, again and again.

    Parameters
    ----------
    svg : str
        Drawn inside `all_frames`.
    seconds : sequence of float
        As of `show_in_turn`.
    title : str
        Names inside the SVG are made from it.
    """
    if not seconds:
        return svg
    key = f"m{hashlib.sha256(title.encode()).hexdigest()[:8]}"
    end = len(seconds) - 1
    times = [0.0, *accumulate(seconds)]
    shares = [f"{100 * time / times[-1]:.3f}%" for time in times]
    style = (
        f"[data-motion={key}] .turn{{visibility:hidden;animation:{times[-1]:g}s step-end infinite}}"
        f"[data-motion={key}] .still{{visibility:visible}}"
        f"[data-play=off] [data-motion={key}] .turn{{animation-play-state:paused}}"
    )
    for first, last in sorted({(int(first), int(last)) for first, last in _GROUP.findall(svg)}):
        name = f"{key}-{first}-{last}"
        steps = "0%{visibility:hidden}" if first else ""
        steps += f"{shares[first]}{{visibility:visible}}"
        # The last step holds up to the end, and beyond it the first one comes again.
        steps += f"{shares[last + 1]}{{visibility:hidden}}" if last < end else ""
        style += f"[data-motion={key}] .{name}{{animation-name:{name}}}@keyframes {name}{{{steps}}}"
    still = f"[data-motion={key}]:not([data-play] *) .turn{{animation:none}}"
    style += f"@media (prefers-reduced-motion:reduce){{{still}}}@media print{{{still}}}"

    def group(found: re.Match[str]) -> str:
        first, last = found.groups()
        return f' class="turn {key}-{first}-{last}{" still" if int(last) == end else ""}"'

    times_shown = " ".join(f"{time:g}" for time in seconds)
    svg = svg.replace("<style", f'<style data-seconds="{times_shown}"', 1)
    svg = _GROUP.sub(group, svg).replace("</style>", f"{style}</style>", 1)
    return svg.replace("<g", f'<g data-motion="{key}"', 1)
