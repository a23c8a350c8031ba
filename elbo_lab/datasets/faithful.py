"""Old Faithful: 272 eruptions, two columns, two clouds.

The duration of an eruption and the waiting time until the next one, both in minutes. Short
eruptions are followed by short waits, long ones by long waits, which makes the set the classic
first example of a mixture with two components. The columns differ in scale by a factor of twelve.

Source: W. Haerdle (1991); A. Azzalini and A. W. Bowman (1990); the numbers are those of R's
`faithful`.
"""

from elbo_lab.datasets.comma_separated import read_comma_separated
from elbo_lab.datasets.dataset import FILES, BuiltIn, Dataset

SOURCE = (
    "W. Haerdle (1991), Smoothing Techniques: With Implementation in S, Springer; "
    "A. Azzalini and A. W. Bowman (1990), A look at some data on the Old Faithful geyser, "
    "Applied Statistics 39, 357-365; as in R's `faithful`"
)
LICENCE = "published measurements; cite the source"


def read_faithful(_view: str | None, _seed: int, _data_dir: object = None) -> Dataset:
    """Return the data set, x (272, 2) in minutes: there is one view and nothing random."""
    x, columns = read_comma_separated(FILES / "faithful.csv")
    return Dataset("faithful", x, columns, source=SOURCE, licence=LICENCE, unit="minutes")


FAITHFUL = BuiltIn(
    "faithful",
    "Old Faithful geyser: 272 eruptions x 2 (duration and waiting time in minutes)",
    (),
    read_faithful,
    title="Old Faithful",
    synonyms=("geyser",),
)
