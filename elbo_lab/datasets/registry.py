"""One function for all data: a name, a file, or an array.

`load` decides by what it is given. A name of the registry wins over a file of the same name in the
current folder (write `./faithful` for the file), so that a study means the same in every folder.
"""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from elbo_lab.datasets.breast_cancer import BREAST_CANCER
from elbo_lab.datasets.dataset import BuiltIn, Dataset
from elbo_lab.datasets.digits import DIGITS
from elbo_lab.datasets.faithful import FAITHFUL
from elbo_lab.datasets.files_by_suffix import READERS, read_file, suffix_of
from elbo_lab.datasets.labels import Label, with_label
from elbo_lab.datasets.manifolds import MANIFOLDS
from elbo_lab.datasets.mnist import MNIST, MNIST_TEST
from elbo_lab.datasets.shapes import SHAPES
from elbo_lab.errors import BadValue, bad_value, check_count, check_data, short, unknown_name
from elbo_lab.files import StrPath
from elbo_lab.kinds import checks_kinds
from elbo_lab.names import called, spelt

Source = str | os.PathLike[str] | ArrayLike | Dataset
DATASETS = (
    FAITHFUL,
    DIGITS,
    BREAST_CANCER,
    MNIST,
    MNIST_TEST,
    SHAPES,
    *(manifold.entry for manifold in MANIFOLDS.values()),
)

# Begins the name of data that are the latents of a fitted model, for `fit`: latents:CHECKPOINT.
LATENTS = "latents:"


def file_behind(source: StrPath) -> str:
    """Return the file that a source names, without the word in front of it."""
    return os.fspath(source).removeprefix(LATENTS)


@checks_kinds
def load(
    source: Source,
    *,
    view: str | None = None,
    seed: int = 0,
    data_dir: StrPath | None = None,
    label: Label | None = None,
    classes: Sequence[str] | None = None,
) -> Dataset:
    """Return the data set that `source` names or holds.

    Parameters
    ----------
    source : str, os.PathLike, array_like of shape (N, D), or Dataset
        A name (``"faithful"``, ``"digits"``, ``"breast-cancer"``, ``"mnist"``, ``"mnist-test"``,
        ``"shapes"``, or one of `manifolds.MANIFOLDS`, such as ``"swiss-roll"``), a name with a view
        (``"digits:binary"``), the path of a .csv, .csv.gz, .npy or .npz file, or the numbers themselves. A
        `Dataset` comes back as it is.
    view : str, optional
        View of a data set with a name, another way of writing ``name:view``; by default the first
        of its views.
    seed : int, default 0
        Seed of the views with noise (``dequantised``, ``dynamic``).
    data_dir : str or os.PathLike, optional
        Folder with the files of a set that is not inside the package (``mnist``, ``mnist-test``), or
        the folder above it; by default that in the environment variable ``ELBO_LAB_DATA``, and else
        a download. The other sources ignore it.
    label : str or int, optional
        The column that holds labels, by its name or its number from 0: it leaves x and becomes `labels`,
        coded 0 to C - 1, with the names in `classes`. In a .csv file they may be words.
    classes : sequence of str, optional
        Names whose codes are taken, of another data set with the same classes.

    Returns
    -------
    Dataset
        x (N, D) in float64, finite, a copy of an array that was given.

    Raises
    ------
    BadValue, BadKind
        One line on an unknown name or view, a missing or unreadable file, or a table that is not
        made of finite numbers.

    Examples
    --------
    >>> load("faithful").x.shape
    (272, 2)
    >>> load("digits:binary").rows(32, seed=0).name
    'digits:binary'
    """
    seed = check_count("seed", seed, minimum=0)
    if classes is not None and label is None:
        raise bad_value("classes", "a label beside them", short(classes), "name its column")
    if isinstance(source, str):
        entry, view_in_name = find_entry(source)
        if entry is not None:
            dataset = entry.read(_choose_view(entry, view_in_name, view), seed, data_dir)
            return dataset if label is None else with_label(dataset, label, classes)
    if view is not None:
        raise bad_value("view", "no view for data of your own", repr(view), "leave it out")
    if isinstance(source, Dataset):
        return source if label is None else with_label(source, label, classes)
    if isinstance(source, (str, os.PathLike)):
        # os.path and not pathlib: "no" too for names that the system refuses to look up.
        if not os.path.exists(source):
            raise _nothing_there(source)
        return read_file(Path(source), label, classes)
    if isinstance(source, np.ma.MaskedArray):
        # Plain conversion would bring the masked values back as if they had been measured.
        source = np.ma.filled(source.astype(np.float64), np.nan)
    dataset = Dataset("array", check_data(source), source="array given by the caller")
    return dataset if label is None else with_label(dataset, label, classes)


def load_for(
    natural_views: Sequence[str],
    source: Source,
    *,
    view: str | None = None,
    seed: int = 0,
    data_dir: StrPath | None = None,
    label: Label | None = None,
    classes: Sequence[str] | None = None,
) -> Dataset:
    """Return the data set that `source` names or holds, in the view that suits a kind of model.

    Where neither `source` nor `view` names a view, the first of `natural_views` that the set has is taken,
    and its default view if it has none of them: a Bernoulli likelihood can give grey values no probability,
    and a free variance per column has no maximum on constant pixels.

    Parameters
    ----------
    natural_views : sequence of str
        Names of views, as `Model.natural_views`.
    source, view, seed, data_dir, label, classes
        As for `load`.

    Returns
    -------
    Dataset
        As from `load`.

    Examples
    --------
    >>> load_for(("binary",), "digits").name
    'digits:binary'
    """
    entry, view_in_name = find_entry(source) if isinstance(source, str) else (None, None)
    if entry is not None and view_in_name is None and view is None:
        view = next((name for name in natural_views if name in entry.views), None)
    return load(source, view=view, seed=seed, data_dir=data_dir, label=label, classes=classes)


def find_entry(source: str) -> tuple[BuiltIn | None, str | None]:
    """Return (entry or None, the view after a colon or None) of a text.

    A name as it is spelt wins over a file, and a file over another spelling or synonym.
    """
    name, colon, view = source.partition(":")
    entry = next((entry for entry in DATASETS if entry.name == name), None)
    if entry is None and not os.path.exists(source):
        entry = next(iter(called(name, DATASETS)), None)
        view = spelt(view)
    return entry, view if colon else None


def _choose_view(entry: BuiltIn, view_in_name: str | None, view: str | None) -> str | None:
    if None not in (view_in_name, view) and view_in_name != view:
        raise bad_value("view", f"the same view as in '{entry.name}:{view_in_name}'", repr(view), "name one")
    chosen = view if view_in_name is None else view_in_name
    if chosen is None:
        return entry.views[0] if entry.views else None
    if not entry.views:
        raise bad_value("view", f"no view: {entry.name} has only one", repr(chosen), "leave it out")
    if chosen not in entry.views:
        raise unknown_name("view", chosen, entry.views)
    return chosen


def _nothing_there(source: StrPath) -> BadValue:
    text = os.fspath(source)
    names = [word for entry in DATASETS for word in (entry.name, *entry.synonyms)]
    names += [f"{entry.name}:{view}" for entry in DATASETS for view in entry.views]
    near = difflib.get_close_matches(text, names, n=1, cutoff=0.6)
    # A path says what it is by a folder or an ending; only a bare word can be a misspelt name.
    if suffix_of(text) or Path(text).name != text or not near:
        remedy = "check the path"
    else:
        remedy = f"did you mean {near[0]!r}?"
    return bad_value(
        "data",
        f"one of {', '.join(entry.name for entry in DATASETS)}, or an existing file ({', '.join(READERS)})",
        f"{text!r}, where no file is",
        remedy,
    )
