"""A perceptron forward and backward in compiled code: the loops behind `kernels.bernoulli_vae`.

The formulas are those of `elbo_lab.networks.mlp`; the products are NumPy's own (`products`), the activations
the loops of `elementwise`. All layers live in flat vectors, layer after layer, so that one compiled function
serves any depth and width:

    params        W1, b1, W2, b2, ...                          as in the layout of the network
    pre, post     u_1, u_2, ..., u_L and a_1, a_2, ..., a_L    matrices of all rows of a batch

A block of a batch fills its own rows. The last layer is linear: its output stands at the end of `pre`, and
the end of `post` is free. On the way back the cotangent of the output is laid over it, and delta_l over u_l.

The gradient is not formed with the deltas but from them, once they are known for all rows of the batch:
`weight_gradient` writes any rows of it, so that threads share it without adding anything up, and one product
over all rows takes the place of one per block.
"""

from elbo_lab.kernels import elementwise
from elbo_lab.kernels.compiling import inner_loop, loop
from elbo_lab.kernels.products import product
from elbo_lab.kernels.views import columns, matrix, vector

# What an activation is called in compiled code.
TANH, RELU, SOFTPLUS = 0, 1, 2
ACTIVATIONS = {"tanh": TANH, "relu": RELU, "softplus": SOFTPLUS}


@inner_loop
def add_bias(u, bias):
    """Add bias (H,) to every row of u (n, H)."""
    for i in range(u.shape[0]):
        for j in range(u.shape[1]):
            u[i, j] += bias[j]


@inner_loop
def column_sums(delta, out):
    """Write the sums over the rows of delta (n, H) into out (H,)."""
    out[:] = 0.0
    for i in range(delta.shape[0]):
        for j in range(delta.shape[1]):
            out[j] += delta[i, j]


@inner_loop
def activate(kind, u, a):
    """Write f(u) into a; vectors (n,)."""
    if kind == TANH:
        elementwise.tanh(u, a)
    elif kind == SOFTPLUS:
        elementwise.softplus(u, a)
    else:
        for i in range(u.size):
            # Written so that nan fails the comparison and stays.
            a[i] = 0.0 if u[i] < 0.0 else u[i]


@inner_loop
def times_slope(kind, a, delta):
    """Multiply delta by f', from the output a = f(u); vectors (n,)."""
    one = a.dtype.type(1.0)
    if kind == TANH:
        for i in range(a.size):
            delta[i] *= one - a[i] * a[i]
    elif kind == SOFTPLUS:
        elementwise.times_softplus_slope(a, delta)
    else:
        for i in range(a.size):
            delta[i] *= one if a[i] > 0.0 else a.dtype.type(0.0)


@inner_loop
def forward(matmul, kind, sizes, params, inputs, pre, post, first, total):
    """Fill the rows of a block, from `first` on of `total`, in pre and post; inputs are its (n, sizes[0])."""
    n, last = inputs.shape[0], sizes.size - 1
    below, weights, place = inputs, 0, 0
    for layer in range(1, last + 1):
        wide, narrow = sizes[layer], sizes[layer - 1]
        start = place + first * wide
        u = matrix(pre, start, n, wide)
        product(matmul, below, matrix(params, weights, narrow, wide), u)
        weights += narrow * wide
        add_bias(u, vector(params, weights, wide))
        weights += wide
        if layer < last:
            activate(kind, vector(pre, start, n * wide), vector(post, start, n * wide))
            below = matrix(post, start, n, wide)
        place += total * wide


@inner_loop
def backward(matmul, kind, sizes, params, deltas, post, first, n, total):
    """Lay delta_l over the rows of a block, down to layer 1, from the cotangent at the end of `deltas`."""
    weights, place = params.size, deltas.size - total * sizes[-1]
    for layer in range(sizes.size - 1, 1, -1):
        wide, narrow = sizes[layer], sizes[layer - 1]
        weights -= wide + narrow * wide
        delta = matrix(deltas, place + first * wide, n, wide)
        place -= total * narrow
        start = place + first * narrow
        product(matmul, delta, matrix(params, weights, narrow, wide).T, matrix(deltas, start, n, narrow))
        times_slope(kind, vector(post, start, n * narrow), vector(deltas, start, n * narrow))


@loop
def weight_gradient(matmul, sizes, inputs, deltas, post, first, total, start, out):
    """Write the coordinates from `start` on of the gradient of some rows into out.

    Parameters
    ----------
    matmul : int
    sizes : ndarray of intp
    inputs : ndarray (n, sizes[0])
        The rows from `first` on of a batch of `total`.
    deltas, post : ndarray
        As `backward` and `forward` leave them, for all rows.
    first, total : int
    start : int
        Where a row of a weight matrix or a bias begins, as does the coordinate behind the last of `out`.
    out : ndarray
    """
    n, stop = inputs.shape[0], start + out.size
    below, weights, place = inputs, 0, 0
    for layer in range(1, sizes.size):
        wide, narrow = sizes[layer], sizes[layer - 1]
        delta = matrix(deltas, place + first * wide, n, wide)
        low, high = max(start, weights), min(stop, weights + narrow * wide)
        if low < high:
            part = matrix(out, low - start, (high - low) // wide, wide)
            row = (low - weights) // wide
            product(matmul, columns(below, row, part.shape[0]).T, delta, part)
        weights += narrow * wide
        if start <= weights < stop:
            column_sums(delta, vector(out, weights - start, wide))
        weights += wide
        below = matrix(post, place + first * wide, n, wide)
        place += total * wide
