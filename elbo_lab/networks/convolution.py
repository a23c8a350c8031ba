"""One convolution of images as one matrix product, and its adjoint, the transposed convolution.

    y[i, j, o] = sum_{a, b, c} w[a, b, c, o] x[s i + a - p, s j + b - p, c]

(a cross-correlation, as in all libraries; zeros outside the image). With kernel k, stride s and padding p an
axis of H pixels gives (H + 2 p - k) // s + 1. Copied side by side, the k x k x C numbers that an output reads
are a row of a matrix ("im2col"; Chellapilla, Puri and Simard 2006, section 3.1):

    y = columns(x) w,      w as a matrix (k k C, O)

Backward, with g the cotangent of y:

    grad w = columns(x)^T g,      grad x = columns^T(g w^T)

where columns^T adds every number back to the pixel that it was copied from. The last formula is linear in g.
As a layer of its own it is the transposed convolution (Dumoulin and Visin 2016, section 4), which makes small
images large; its backward pass is then the forward pass above, <y, conv(x)> = <conv^T(y), x>.

Images have the channels last, (rows, H, W, C). An output is then a row of the product, and k C neighbouring
numbers are copied at a time.

The columns are k^2 / s^2 times as large as the image. So they are formed for a few images at a time, in
memory that the next few use again, and not kept for the backward pass: to copy them anew takes less time than
a product.

Helps: few weights, and features that are the same wherever they stand in an image. Fails: where columns are
no image, or position matters as such; and on images of a few pixels a full matrix is faster.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_value, check_count

# Numbers of the columns that are in memory at once.
MOST_COLUMNS = 1 << 21


@dataclass(frozen=True)
class Convolution:
    """The geometry of one layer; weights are passed in.

    Parameters
    ----------
    shape : tuple of int
        Of an image: height, width and channels (H, W, C).
    channels : int
        O, those of the output.
    kernel, stride, padding : int
        k, s and p, the same for both axes; s divides k.

    Raises
    ------
    ValueError
        If the image is smaller than the kernel, or the stride does not divide it.
    """

    shape: tuple[int, int, int]
    channels: int
    kernel: int = 4
    stride: int = 2
    padding: int = 1

    def __post_init__(self) -> None:
        for name, least in (("channels", 1), ("kernel", 1), ("stride", 1), ("padding", 0)):
            check_count(name, getattr(self, name), minimum=least)
        if self.kernel % self.stride:
            raise bad_value("stride", f"a divisor of the kernel's {self.kernel}", self.stride)
        if min(self.shape[:2]) + 2 * self.padding < self.kernel:
            height, width = self.shape[:2]
            expected = (
                f"images of {self.kernel - 2 * self.padding} x {self.kernel - 2 * self.padding} or more"
            )
            raise bad_value("channels", f"{expected} at every layer", f"one of {height} x {width}")

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """Of an output: height, width and channels (H', W', O)."""
        height, width = ((n + 2 * self.padding - self.kernel) // self.stride + 1 for n in self.shape[:2])
        return height, width, self.channels

    @property
    def n_inputs(self) -> int:
        """k k C, the numbers that an output reads."""
        return self.kernel * self.kernel * self.shape[2]

    def forward(self, weights: Floats, x: Floats) -> Floats:
        """Return conv(x) (n, H', W', O) of images x (n, H, W, C), weights (k, k, C, O)."""
        y = np.empty((len(x), *self.out_shape), x.dtype)
        matrix = weights.reshape(self.n_inputs, self.channels)
        for rows, columns in self._columns(x):
            np.matmul(columns, matrix, out=y[rows].reshape(-1, self.channels))
        return y

    def backward_inputs(self, weights: Floats, g: Floats) -> Floats:
        """Return conv^T(g) (n, H, W, C) of cotangents g (n, H', W', O): the adjoint of `forward`."""
        x = np.empty((len(g), *self.shape), g.dtype)
        matrix = weights.reshape(self.n_inputs, self.channels).T
        for rows in self._blocks(len(g)):
            self._add_back(g[rows].reshape(-1, self.channels) @ matrix, x[rows])
        return x

    def backward_weights(self, x: Floats, g: Floats) -> Floats:
        """Return the gradient (..., k, k, C, O) of the weights, summed over the images.

        Parameters
        ----------
        x : ndarray (..., n, H, W, C)
        g : ndarray (..., n, H', W', O)
            Axes before n are repeats; one of the two may be without, and is then shared by all.
        """
        repeats = np.broadcast_shapes(x.shape[:-4], g.shape[:-4])
        gradient = np.zeros((*repeats, self.n_inputs, self.channels), np.result_type(x, g))
        for repeat in np.ndindex(repeats):
            own = (x[repeat] if x.ndim > 4 else x), (g[repeat] if g.ndim > 4 else g)
            for rows, columns in self._columns(own[0]):
                gradient[repeat] += columns.T @ own[1][rows].reshape(-1, self.channels)
        return gradient.reshape(*repeats, self.kernel, self.kernel, self.shape[2], self.channels)

    def _blocks(self, n_rows: int) -> Iterator[slice]:
        """Yield the images whose columns are in memory at once."""
        height, width, _ = self.out_shape
        step = max(1, MOST_COLUMNS // (height * width * self.n_inputs))
        for start in range(0, n_rows, step):
            yield slice(start, min(start + step, n_rows))

    def _columns(self, x: Floats) -> Iterator[tuple[slice, Floats]]:
        """Yield (rows, columns (rows H' W', k k C)) of a few images at a time, in the same memory."""
        (height, width, channels), (high, wide, _) = self.shape, self.out_shape
        k, s, p = self.kernel, self.stride, self.padding
        padded, columns = np.zeros(0), np.zeros(0)
        for rows in self._blocks(len(x)):
            count = rows.stop - rows.start
            if len(padded) != count:
                padded = np.zeros((count, height + 2 * p, width + 2 * p, channels), x.dtype)
                columns = np.empty((count, high, wide, k, k * channels), x.dtype)
            padded[:, p : p + height, p : p + width] = x[rows]
            lines = padded.reshape(count, height + 2 * p, (width + 2 * p) * channels)
            windows = sliding_window_view(lines, (k, k * channels), axis=(1, 2))
            columns[...] = windows[:, ::s, :: s * channels]
            yield rows, columns.reshape(-1, self.n_inputs)

    def _add_back(self, columns: Floats, out: Floats) -> None:
        """Write the sum of the columns (n H' W', k k C), each number at its pixel, into `out` (n, H, W, C).

        A window is m x m tiles of s x s pixels, with k = m s, and the windows are one tile apart. So the sum
        has m^2 terms, each an array of whole tiles.
        """
        (height, width, channels), (high, wide, _) = self.shape, self.out_shape
        s, p, m = self.stride, self.padding, self.kernel // self.stride
        tiles = columns.reshape(len(out), high, wide, m, s, m, s * channels)
        total = np.zeros((len(out), high + m - 1, s, wide + m - 1, s * channels), columns.dtype)
        for a, b in np.ndindex(m, m):
            total[:, a : a + high, :, b : b + wide] += tiles[:, :, :, a, :, b].transpose(0, 1, 3, 2, 4)
        image = total.reshape(len(out), (high + m - 1) * s, (wide + m - 1) * s, channels)
        image = image[:, p : p + height, p : p + width]
        out[...] = 0.0  # pixels at the far border may be in no window
        out[:, : image.shape[1], : image.shape[2]] = image
