"""A perceptron forward and backward in compiled code: the loops behind `kernels.bernoulli_vae`.

The formulas are those of `elbo_lab.networks.mlp`, for a matrix of rows; the products are NumPy's own
(`products`), the activations the loops of `elementwise`. All layers live in flat vectors, layer after layer,
so that one compiled function serves any depth and width:

    params, gradient    W1, b1, W2, b2, ...                          as in the layout of the network
    pre, post           u_1, u_2, ..., u_L and a_1, a_2, ..., a_L    matrices of `rows` rows

The last layer is linear: its output stands at the end of `pre`, and the end of `post` is free. On the way
back the cotangent of the output is laid over it, and delta_l over u_l.
"""

from elbo_lab.kernels import elementwise
from elbo_lab.kernels.compiling import inner_loop
from elbo_lab.kernels.products import product
from elbo_lab.kernels.views import matrix, vector

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
def forward(matmul, kind, sizes, params, inputs, pre, post):
    """Fill pre and post from inputs (n, sizes[0])."""
    n, last = inputs.shape[0], sizes.size - 1
    below, weights, place = inputs, 0, 0
    for layer in range(1, last + 1):
        wide, narrow = sizes[layer], sizes[layer - 1]
        u = matrix(pre, place, n, wide)
        product(matmul, below, matrix(params, weights, narrow, wide), u)
        weights += narrow * wide
        add_bias(u, vector(params, weights, wide))
        weights += wide
        if layer < last:
            activate(kind, vector(pre, place, n * wide), vector(post, place, n * wide))
            below = matrix(post, place, n, wide)
        place += n * wide


@inner_loop
def backward(matmul, kind, sizes, params, inputs, deltas, post, gradient):
    """Fill the gradient from the cotangent at the end of `deltas`, which holds all deltas afterwards."""
    n, weights, place = inputs.shape[0], params.size, deltas.size
    for layer in range(sizes.size - 1, 0, -1):
        wide, narrow = sizes[layer], sizes[layer - 1]
        place -= n * wide
        delta = matrix(deltas, place, n, wide)
        weights -= wide
        column_sums(delta, vector(gradient, weights, wide))
        weights -= narrow * wide
        below = inputs
        if layer > 1:
            below = matrix(post, place - n * narrow, n, narrow)
        product(matmul, below.T, delta, matrix(gradient, weights, narrow, wide))
        if layer > 1:
            under = place - n * narrow
            product(matmul, delta, matrix(params, weights, narrow, wide).T, matrix(deltas, under, n, narrow))
            times_slope(kind, vector(post, under, n * narrow), vector(deltas, under, n * narrow))
