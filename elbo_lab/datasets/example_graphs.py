"""Graphs that come with the package, by name: JSON files to read, to fit, and to write one's own by.

    sprinkler    cloudy, sprinkler, rain, wet: four tables, one with a probability of zero
    alarm        burglary, earthquake, alarm, john, mary: explaining away with rare causes
    greenhouse   season, window, warmth, thermometer, flowers: a category, bits and reals

Sources: S. Russell and P. Norvig, "Artificial Intelligence", third edition (2010), section 14.1 for the alarm
(after Pearl 1988) and section 14.5 for the sprinkler; the greenhouse is made up.
"""

from pathlib import Path

from elbo_lab.datasets.dataset import FILES

ENDING = ".graph.json"
EXAMPLE_GRAPHS: dict[str, Path] = {
    path.name.removesuffix(ENDING): path for path in sorted(FILES.glob(f"*{ENDING}"))
}
"""{name: its JSON file}."""
