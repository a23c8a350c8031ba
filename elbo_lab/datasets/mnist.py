"""MNIST: images of 28 x 28 pixels with grey values 0 to 255; 60,000 to train on, 10,000 to test.

The package does not carry the files; `mnist_files` says where they are looked for. The views are those
of `grey_images`: `raw`, `dequantised` (many pixels are 0 in every image), `binary` (1 where
grey >= 128) and `dynamic` (P(1) = grey / 255).

Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner (1998), Gradient-based learning applied to document
recognition, Proceedings of the IEEE 86, 2278-2324.
"""

from functools import partial

import numpy as np

from elbo_lab.datasets.dataset import BuiltIn, Dataset
from elbo_lab.datasets.grey_images import VIEWS, image_set
from elbo_lab.datasets.idx import read_idx
from elbo_lab.datasets.mnist_files import find_files
from elbo_lab.errors import bad_value
from elbo_lab.files import StrPath

SOURCE = (
    "Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits; "
    "Y. LeCun, L. Bottou, Y. Bengio, P. Haffner (1998), Gradient-based learning applied to document "
    "recognition, Proceedings of the IEEE 86, 2278-2324"
)
LICENCE = "CC BY-SA 3.0"
IMAGE_SHAPE = (28, 28)
GREYEST = 255


def read_mnist(
    name: str, part: str, key: tuple[int, ...], view: str, seed: int, data_dir: StrPath | None = None
) -> Dataset:
    """Return one view of one part of MNIST.

    Parameters
    ----------
    name : str
        Name of the part in this package.
    part : {'train', 't10k'}
        Its name in the published files.
    key : tuple of int
        Identifies the noise of the part.
    view : str
        One of `grey_images.VIEWS`.
    seed : int
        Seed of the uniforms of `dequantised` and `dynamic`; the other two views ignore it.
    data_dir : str or os.PathLike, optional
        Folder of the files.

    Returns
    -------
    Dataset
        x (60000 or 10000, 784), row by row of each image, and labels in 0..9.
    """
    paths = find_files([f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"], data_dir)
    images, labels = read_idx(paths[0], n_axes=3), read_idx(paths[1], n_axes=1)
    if len(images) == 0 or images.shape[1:] != IMAGE_SHAPE:
        got = f"{' x '.join(map(str, images.shape))} in {str(paths[0])!r}"
        raise bad_value("data", "images of 28 x 28 pixels, at least one", got)
    if len(labels) != len(images):
        got = f"{len(labels)} labels in {str(paths[1])!r}"
        raise bad_value("data", f"a label for each of {len(images)} images", got, "fetch both files again")
    return image_set(name, images, labels.astype(np.int64), GREYEST, view, seed, key, SOURCE, LICENCE)


MNIST = BuiltIn(
    "mnist",
    "MNIST, training part: 60,000 images x 784 pixels, grey values 0 to 255, with labels",
    tuple(VIEWS),
    partial(read_mnist, "mnist", "train", (60_000, 784)),
    shipped=False,
    title="MNIST",
    synonyms=("mnist-train",),
)
MNIST_TEST = BuiltIn(
    "mnist-test",
    "MNIST, test part: 10,000 images x 784 pixels, grey values 0 to 255, with labels",
    tuple(VIEWS),
    partial(read_mnist, "mnist-test", "t10k", (10_000, 784)),
    shipped=False,
    title="MNIST, test part",
)
