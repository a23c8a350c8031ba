"""Training a VAE on MNIST-sized bits: 784-500-20-500-784, tanh, batch 100, float32, Adam.

One step: 100 rows of bits are picked, noise is drawn, the mean of log p(x | z) - KL(q || N(0, I)) is formed
with its gradient, and Adam moves 815,824 parameters. All contestants start from weights of the same law. A
call does a hundred steps.

The limit is the matrix products of forward and backward alone, through the BLAS behind NumPy, which cannot be
left out: one multi-threaded product after the other, or half of them on each core without ever waiting for
one another, whichever is faster here.

One epoch: 600 such steps, rows shuffled and binarised afresh, a line of progress five times a second. Its
limit is 600 steps on bits drawn beforehand, unshuffled and in silence.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from statistics import median

import numpy as np
from work import Work, in_numpy

from elbo_lab.models import DeepBernoulli
from elbo_lab.posteriors import AmortisedPosterior
from elbo_lab.threads import single_threaded_blas
from elbo_lab.training import ElboObjective, Minibatches, Plan, Training

D, H, K, BATCH = 784, 500, 20, 100
STEPS, ROWS, EPOCH_ROWS = 100, 10_000, 60_000
RATE, SHOWN_EVERY = 1e-3, 0.2
# Adam of the peers: the settings of the lab.
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


@cache
def chances(n_rows):
    """Return chances of a one (N, D), a fifth of them lit, as in images of digits."""
    rng = np.random.default_rng(0)
    lit = rng.random((n_rows, D), dtype=np.float32) < 0.2
    return lit * rng.random((n_rows, D), dtype=np.float32)


def bits(n_rows):
    rng = np.random.default_rng(1)
    return (rng.random((n_rows, D), dtype=np.float32) < chances(n_rows)).astype(np.float32)


def training(n_rows, dynamic):
    """Return a Training without end."""
    x = bits(n_rows)
    model = DeepBernoulli(D, K, (H,))
    posterior = AmortisedPosterior.for_pixels(model.family, x, (H,))
    probabilities = chances(n_rows) if dynamic else None
    objective = ElboObjective(model, posterior, x, probabilities, dtype=np.float32)
    return Training(objective, Plan(epochs=10**9, batch=BATCH), threads=2)


def steps_of(endless, count):
    def once():
        last = endless.step + count
        endless.run(lambda now: now.step >= last)

    return once


# -- the step ------------------------------------------------------------------------------------


def ours():
    return steps_of(training(ROWS, dynamic=False), STEPS)


def definition():
    return in_numpy(ours())


def matrices(*shapes):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]


def products(n, share):
    """Return a function that does the products of n rows, and of a share of the weights those of all rows."""
    layers = ((D, H), (H, 2 * K), (K, H), (H, D))
    tasks = []
    for wide, narrow in layers:
        rows, cotangents, weights = matrices((n, wide), (n, narrow), (wide, narrow))
        tasks.append((rows, weights, np.empty_like(cotangents)))
        if wide != D:  # nobody asks for the gradient in the data
            tasks.append((cotangents, weights.T, np.empty_like(rows)))
        all_rows, all_cotangents = matrices((BATCH, wide), (BATCH, narrow))
        part = wide // share
        tasks.append((all_rows[:, :part].T, all_cotangents, np.empty((part, narrow), np.float32)))

    def once():
        for a, b, out in tasks:
            np.matmul(a, b, out=out)

    return once


def least_of(products, count):
    """Return `count` times the products alone: one after the other, or half on each core without waiting.

    Parameters
    ----------
    products : callable
        (n, share) -> a function that does those of n rows, and a share of the weights' of a batch.
    count : int
    """
    whole, halves = products(BATCH, 1), [products(BATCH // 2, 2) for _ in range(2)]

    def repeated(once):
        for _ in range(count):
            once()

    def side_by_side():
        with single_threaded_blas(), ThreadPoolExecutor(2) as pool:
            list(pool.map(repeated, halves))

    def seconds(way):
        way()
        spent = []
        for _ in range(3):
            start = time.perf_counter()
            way()
            spent.append(time.perf_counter() - start)
        return median(spent)

    return min((lambda: repeated(whole), side_by_side), key=seconds)


def limit():
    return least_of(products, STEPS)


# -- peers ---------------------------------------------------------------------------------------


def pytorch(compiled):
    import torch
    from torch import nn

    torch.manual_seed(0)
    torch.set_num_threads(2)
    encoder = nn.Sequential(nn.Linear(D, H), nn.Tanh(), nn.Linear(H, 2 * K))
    decoder = nn.Sequential(nn.Linear(K, H), nn.Tanh(), nn.Linear(H, D))
    adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], RATE, fused=True)
    table = torch.from_numpy(bits(ROWS))
    mean, scale = table.mean(0), float(1 / table.var(0).mean().sqrt())

    def loss_of(x, eps):
        m, log_std = encoder((x - mean) * scale).chunk(2, 1)
        std = log_std.exp()
        logits = decoder(m + std * eps)
        bce = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        return (bce + (0.5 * (std * std + m * m - 1.0) - log_std).sum()) / len(x)

    loss_of = torch.compile(loss_of) if compiled else loss_of
    order = Minibatches(ROWS, BATCH, np.random.default_rng(2))

    def once():
        for _ in range(STEPS):
            x = table[torch.from_numpy(order.next())]
            adam.zero_grad()
            loss_of(x, torch.randn(BATCH, K)).backward()
            adam.step()

    return once


def jax_jit():
    import jax
    from jax import numpy as jnp

    sizes = ((D, H), (H, 2 * K), (K, H), (H, D))
    keys = jax.random.split(jax.random.PRNGKey(0), len(sizes))
    params = []
    for key, (a, b) in zip(keys, sizes, strict=True):
        params += [jax.random.normal(key, (a, b)) * (2.0 / (a + b)) ** 0.5, jnp.zeros(b)]
    zeros = [[jnp.zeros_like(p) for p in params] for _ in range(2)]
    table = bits(ROWS)
    mean, scale = table.mean(0), 1 / table.var(0).mean() ** 0.5

    def loss_of(params, x, eps):
        w1, b1, w2, b2, w3, b3, w4, b4 = params
        m, log_std = jnp.split(jnp.tanh((x - mean) * scale @ w1 + b1) @ w2 + b2, 2, axis=1)
        std = jnp.exp(log_std)
        logits = jnp.tanh((m + std * eps) @ w3 + b3) @ w4 + b4
        log_likelihood = (x * logits - jax.nn.softplus(logits)).sum()
        return ((0.5 * (std * std + m * m - 1.0) - log_std).sum() - log_likelihood) / len(x)

    def step(params, first, second, key, count, x):
        key, own = jax.random.split(key)
        gradients = jax.grad(loss_of)(params, x, jax.random.normal(own, (len(x), K)))
        first = [BETA1 * m + (1 - BETA1) * g for m, g in zip(first, gradients, strict=True)]
        second = [BETA2 * v + (1 - BETA2) * g * g for v, g in zip(second, gradients, strict=True)]
        rate, part = RATE / (1 - BETA1**count), 1 - BETA2**count
        moments = zip(params, first, second, strict=True)
        params = [p - rate * m / (jnp.sqrt(v / part) + EPS) for p, m, v in moments]
        return params, first, second, key, count + 1

    step = jax.jit(step, donate_argnums=(0, 1, 2, 3, 4))
    state = [params, *zeros, jax.random.PRNGKey(1), jnp.float32(1.0)]
    order = Minibatches(ROWS, BATCH, np.random.default_rng(2))

    def once():
        for _ in range(STEPS):
            state[:] = step(*state, table[order.next()])
        jax.block_until_ready(state)

    return once


# -- the epoch -----------------------------------------------------------------------------------


def epoch():
    endless, shown = training(EPOCH_ROWS, dynamic=True), [0.0]
    screen = open(os.devnull, "w", encoding="utf-8")

    def once():
        last = endless.step + EPOCH_ROWS // BATCH

        def show(now):
            if time.perf_counter() - shown[0] > SHOWN_EVERY:
                shown[0] = time.perf_counter()
                place = f"epoch {now.epoch + 1} step {now.step}"
                print(f"{place}: {now.running_value:.2f} nats per datum", file=screen, flush=True)
            return now.step >= last

        endless.run(show)

    return once


def epoch_of_steps():
    endless = training(EPOCH_ROWS, dynamic=False)
    endless.minibatches = Minibatches(EPOCH_ROWS, BATCH, None, shuffled=False)
    return steps_of(endless, EPOCH_ROWS // BATCH)


WORKS = (
    Work(
        name="vae-step, 100 of them",
        ours=ours,
        definition=definition,
        limit=limit,
        peers={
            "pytorch-eager-fused-adam": partial(pytorch, compiled=False),
            "pytorch-compile": partial(pytorch, compiled=True),
            "jax-jit": jax_jit,
        },
        most_of_limit=1.45,
        least_over_peer={"pytorch-eager-fused-adam": 1.0, "pytorch-compile": 1.0, "jax-jit": 1.0},
    ),
    Work(name="vae-epoch", ours=epoch, limit=epoch_of_steps, most_of_limit=1.05),
)
