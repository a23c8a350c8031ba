"""Files of a training that goes on: where its data are, and which file it may write to."""

import os

from elbo_lab.errors import bad_value
from elbo_lab.training.checkpoint import damaged


def name_of(source, dataset):
    """Return how the data were named: a registered name with its view, a path as given, or 'array'."""
    if dataset.licence:
        return dataset.name
    return str(source) if isinstance(source, (str, os.PathLike)) else "array"


def path_of(source, dataset):
    """Return the absolute path of data in a file of the user's own, else None."""
    if dataset.licence or not isinstance(source, (str, os.PathLike)):
        return None
    return os.path.abspath(source)


def find_data(stored, resume):
    """Return what to load for a checkpoint: the name of a data set, or the path of a file.

    A path is looked for where it was, from any folder, and then as it was named, should both files have
    moved together. That the rows are the same is checked later, by their fingerprint.

    Parameters
    ----------
    stored : dict
        The header of the checkpoint.
    resume : path
        The checkpoint, for messages.
    """
    name, path = stored["settings"]["data"], stored["data"].get("path")
    if path is None:
        if name == "array":
            raise bad_value("data", "the rows of the checkpoint", "none", "give them again")
        return name
    if not isinstance(path, str):
        raise damaged(resume, "its 'path' is no path", "resume")
    for place in (path, name):
        if os.path.exists(place):
            return place
    raise bad_value(
        "data", "the file of the checkpoint", f"{path!r}, where no file is", "name it with --data"
    )


def refuse_overwriting(checkpoint, resume):
    """Refuse a checkpoint where a file is already, unless it is the one to go on from."""
    if not os.path.lexists(checkpoint):
        return
    if resume is not None and os.path.exists(checkpoint) and os.path.samefile(checkpoint, resume):
        return
    remedy = "go on from it with --resume, or remove it"
    raise bad_value("checkpoint", "a new file", f"{str(checkpoint)!r}, which exists", remedy)
