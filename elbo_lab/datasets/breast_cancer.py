"""Breast cancer, Wisconsin (diagnostic): 569 tumours, 30 measurements of their cell nuclei, and a diagnosis.

Ten measurements of every nucleus in an image (radius, texture and so on), each summarised by its mean,
its standard error and its worst value. Radius, perimeter and area say nearly the same, so that the weights
of a regression are strongly correlated a posteriori. The columns differ in scale by a factor of 10^5. Two
views:

- `raw`: the measurements.
- `standardised`: every column minus its mean, over its population standard deviation (that of the table
  itself, divided by N).

Label 0 is malignant (212), label 1 is benign (357).

Source: W. Wolberg, O. Mangasarian, N. Street, W. Street (1993), UCI Machine Learning Repository,
DOI 10.24432/C5DW2B.
"""

import numpy as np

from elbo_lab.datasets.comma_separated import read_comma_separated
from elbo_lab.datasets.dataset import FILES, BuiltIn, Dataset

SOURCE = (
    "W. Wolberg, O. Mangasarian, N. Street, W. Street (1993), Breast Cancer Wisconsin (Diagnostic), "
    "UCI Machine Learning Repository, DOI 10.24432/C5DW2B"
)
LICENCE = "CC BY 4.0"
MEASURED = (
    *("radius", "texture", "perimeter", "area", "smoothness"),
    *("compactness", "concavity", "concave_points", "symmetry", "fractal_dimension"),
)
COLUMNS = tuple(f"{summary}_{name}" for summary in ("mean", "se", "worst") for name in MEASURED)


def read_breast_cancer(view: str, _seed: int, _data_dir: object = None) -> Dataset:
    """Return one view of the data set.

    Parameters
    ----------
    view : {'raw', 'standardised'}

    Returns
    -------
    Dataset
        x (569, 30), and labels (569,) in {0, 1}; nothing is random.
    """
    table, _ = read_comma_separated(FILES / "breast_cancer.csv.gz")
    x, labels = table[:, :-1], table[:, -1].astype(np.int64)
    if view == "standardised":
        x = (x - x.mean(axis=0)) / x.std(axis=0)
    return Dataset(f"breast-cancer:{view}", x, COLUMNS, labels, SOURCE, LICENCE)


BREAST_CANCER = BuiltIn(
    "breast-cancer",
    "Wisconsin breast cancer: 569 tumours x 30 measurements, labels 0 malignant and 1 benign",
    ("raw", "standardised"),
    read_breast_cancer,
    title="Wisconsin breast cancer",
    synonyms=("wdbc",),
)
