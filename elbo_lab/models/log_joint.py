r"""A model that is given by its joint density alone: log p_theta(x, z), as one function.

    log p(x, z) = f(theta, x, z),      log p(x) = log integral of exp f dz

Everything about a bound and its gradients follows from f and its slopes: log-weights f - log q, the ELBO,
bounds of several draws, posterior and log p(x) by a grid over one or two latents, or by a sum over a discrete
z. The slopes come from differences, or from the library in which f is written (`models.derivatives`).

What a joint density does not tell is where its prior ends and its likelihood begins. Draws from the prior,
KL(q || prior) in closed form and draws of x are therefore refused, unless the prior is named too; then
log p(x | z) = f - log p(z). Internally z is measured against a reference density r(z) of the same support,

    f = log r(z) + (f - log r(z)),

whose choice cancels in every estimate but in that of log p(x) by a long run, whose standard error tells it.

If f is not normalised over x and z, log Z(x) = log integral of exp f(x, z) dz takes the place of log p(x):
all bounds are bounds on it, and theta must not change the constant that f lacks.

Helps: for a first look at a model of one's own in ten lines, and for densities of other programs. Fails: by
differences beyond 100 parameters, and in speed. A class of one's own (`Model`) has a prior, draws and
derivatives by hand.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import DiagonalGaussian, Family
from elbo_lab.distributions.named import find_family
from elbo_lab.errors import (
    NotApplicable,
    Reason,
    bad_kind,
    bad_value,
    check_count,
    one_line,
    unknown_name,
)
from elbo_lab.layout import Entries, Layout
from elbo_lab.models.base import Model, Pullback
from elbo_lab.models.derivatives import FRAMEWORKS, Derivatives, LogJoint
from elbo_lab.plugins import told

Start = Mapping[str, ArrayLike] | Callable[[Floats], Mapping[str, ArrayLike]]
"""Values of the parameters by name, or a function of x (N, D) that returns them."""

# Standard deviation of the parameters at a start that is not given.
START_SIZE = 0.1
# The box in which the posterior of a density without a prior is looked for: doubled so often.
MOST_DOUBLINGS = 14
GRID = 24
# Standard deviations of the reference to the edge of a grid, and nats at which a node no longer matters.
HALF_WIDTH, NEGLIGIBLE = 7.0, 32.0


@dataclass(frozen=True)
class LogJointModel(Model):
    """A model of one function; `from_log_joint` makes it.

    Parameters
    ----------
    function : callable
        f({name: array}, x (N, D), z (S, N, K) or (S, 1, K)) -> (S, N); a category is z (S, N).
    entries : tuple of (str, tuple of int)
        Names and shapes of the parameters.
    n_columns : int
    family : Family
        Of the prior if it is known; else one with the support of z, in which q is built.
    framework : {'numpy', 'jax', 'torch'}
        Of the function.
    has_prior : bool
        Whether z has the standard member (eta = 0) of the family as its prior.
    start : mapping or callable, optional
        Where a fit begins.
    reference : tuple of float
        eta of the density against which z is measured without a prior; () for the standard member.
    """

    function: LogJoint
    entries: Entries
    n_columns: int
    family: Family
    framework: str = "numpy"
    has_prior: bool = False
    start: Start | None = None
    reference: tuple[float, ...] = ()
    name = "log-joint"
    summary = "log p(x, z), a function alone"
    default_data = "faithful"
    compared = False
    fixed_prior = True

    def __hash__(self) -> int:
        return hash((self.function, self.entries, self.n_columns, self.family, self.framework))

    @cached_property
    def layout(self) -> Layout:
        return Layout(self.entries)

    @property
    def derivatives(self) -> Derivatives:
        """How slopes are computed."""
        return FRAMEWORKS[self.framework]

    @property
    def gradient_by(self) -> str:
        return self.derivatives.name

    # -- the function and its slopes -------------------------------------------------------------

    def log_joint(self, theta: Floats, x: Floats, z: Draws) -> Floats:
        """Return f (..., S, N) in float64."""
        theta, x, z = self._float64(theta, x, z)
        flat = z.reshape(-1, *z.shape[1 - self._inner :])
        with told(f"log_joint of {self.name}"):
            found = self.derivatives.value(self.function, self.layout, theta, x, flat)
        wanted = len(flat), len(x)
        if not (isinstance(found, np.ndarray) and found.dtype.kind == "f"):
            got = f"dtype {found.dtype}" if isinstance(found, np.ndarray) else type(found).__name__
            raise bad_value(f"log_joint of {self.name}", "an array of floats", got)
        if found.shape != wanted:
            expected = f"shape (S, N) = {wanted} for z {flat.shape} and x {x.shape}"
            remedy = "sum over the columns of x and the coordinates of z alone, with axis=-1"
            raise bad_value(f"log_joint of {self.name}", expected, f"shape {found.shape}", remedy)
        return found.astype(np.float64, copy=False).reshape(*z.shape[: 1 - self._inner], len(x))

    def accepts_float32(self, theta: Floats, x: Floats, z: Draws) -> bool:
        """Whether the function, given arrays of 32 bits, returns its values at z (S, N, ...)."""
        single_z = z.astype(np.float32) if z.dtype.kind == "f" else z
        single = theta.astype(np.float32), x.astype(np.float32), single_z
        try:
            found = np.asarray(self.derivatives.value(self.function, self.layout, *single))
        except Exception:  # whatever code of somebody else may raise
            return False
        return bool(np.allclose(found, self.log_joint(theta, x, z), rtol=1e-3, atol=1e-3))

    @property
    def _inner(self) -> int:
        """Axes of z from S on: S, N and, but for one category, K."""
        return 2 if self.family.discrete and not self.family.event_axes else 3

    def _float64(self, theta: Floats, x: Floats, z: Draws) -> tuple[Floats, Floats, Draws]:
        z = np.asarray(z) if np.asarray(z).dtype.kind in "iu" else np.asarray(z, np.float64)
        return np.asarray(theta, np.float64), np.asarray(x, np.float64), z

    def _by_theta(self, theta: Floats, x: Floats, z: Draws, cotangent: Floats) -> Floats:
        at, x, z = self._float64(theta, x, z)
        lead = cotangent.shape[:-2]
        weights = np.asarray(cotangent, np.float64).reshape(-1, *cotangent.shape[-2:])
        event = z.shape[-self._inner :]
        draws = np.broadcast_to(z, (*lead, *event)).reshape(-1, *event)
        with told(f"log_joint of {self.name}"):
            found = self.derivatives.by_theta(self.function, self.layout, at, x, draws, weights)
        return found.reshape(*lead, len(at)).astype(theta.dtype, copy=False)

    def log_joint_grad_z(self, theta: Floats, x: Floats, z: Draws, cotangent: Floats) -> Floats:
        """Return the slope in z alone, shaped as z."""
        if not self.family.has_slope:
            raise NotApplicable(f"log p(x, z) of {self.label} has no slope in z", Reason.NO_SLOPE)
        at, x, draws = self._float64(theta, x, z)
        weights = np.asarray(cotangent, np.float64).reshape(-1, cotangent.shape[-1])
        flat = np.broadcast_to(draws, (*cotangent.shape[:-1], *draws.shape[-2:])).reshape(
            -1, *draws.shape[-2:]
        )
        support = self.family.support if not self.family.discrete else (-np.inf, np.inf)
        with told(f"log_joint of {self.name}"):
            floats = flat.astype(np.float64, copy=False)
            found = self.derivatives.by_z(self.function, self.layout, at, x, floats, weights, support)
        return found.reshape(*cotangent.shape[:-1], *draws.shape[-2:])

    def log_joint_vjp(
        self, theta: Floats, x: Floats, z: Draws, cotangent: Floats
    ) -> tuple[Floats, Floats | None]:
        """Return (grad_theta (..., P), grad_z) of sum(cotangent * f)."""
        by_theta = self._by_theta(theta, x, z, cotangent)
        return by_theta, self.log_joint_grad_z(theta, x, z, cotangent) if self.family.has_slope else None

    # -- what is made of prior and likelihood, z measured against the reference --------------------

    def prior_eta(self, theta: Floats) -> Floats:  # noqa: ARG002
        return np.array([self.reference or (0.0,) * self.family.eta_size])

    def prior_eta_vjp(self, theta: Floats, grad_eta: Floats) -> Floats:  # noqa: ARG002
        return np.zeros((*grad_eta.shape[:-1], self.layout.size))

    def likelihood(self, theta: Floats, x: Floats, z: Draws) -> tuple[Floats, Pullback]:
        def pullback(cotangent: Floats) -> tuple[Floats, Floats | None]:
            by_theta, by_z = self.log_joint_vjp(theta, x, z, cotangent)
            return by_theta, None if by_z is None else by_z - self.log_prior_grad_z(theta, z, cotangent)

        return self.log_joint(theta, x, z) - self.log_prior(theta, z), pullback

    def laid_over(self, theta: Floats, x: Floats) -> Model:
        """Return the same density, without a prior with a reference that covers the posteriors of x.

        A box around zero is doubled until log p(x, z) at its edge is negligible for every row, and then drawn
        together about the nodes that matter.
        """
        if self.has_prior or not isinstance(self.family, DiagonalGaussian):
            return self
        n_dims = self.family.size
        centre, half = np.zeros(n_dims), np.full(n_dims, HALF_WIDTH)
        unit = np.stack(np.meshgrid(*[np.linspace(-1.0, 1.0, 2 * GRID + 1)] * n_dims, indexing="ij"), axis=-1)
        unit = unit.reshape(-1, n_dims)
        edge = np.any(np.abs(unit) == 1.0, axis=1)
        for _ in range(MOST_DOUBLINGS):
            with np.errstate(all="ignore"):
                value = self.log_joint(theta, x, (centre + half * unit)[:, None])
            best = value.max(axis=0)
            if not np.isfinite(best).all():
                return self
            matters = np.any(value > best - NEGLIGIBLE, axis=1)
            if not (matters & edge).any():
                nodes, margin = (centre + half * unit)[matters], half / GRID
                low, high = nodes.min(axis=0) - margin, nodes.max(axis=0) + margin
                std = (high - low) / (2.0 * HALF_WIDTH)
                eta = self.family.join(0.5 * (low + high), np.log(std))
                return replace(self, reference=tuple(map(float, eta)))
            half = 2.0 * half
        return self

    # -- starts, and what only a prior has -------------------------------------------------------

    def initial_theta(self, x: Floats) -> Floats:
        """Return the given start, or small numbers that are the same every time."""
        if self.start is None:
            return START_SIZE * np.random.default_rng(0).standard_normal(self.layout.size)
        with told(f"start of {self.name}"):
            parts = self.start(x) if callable(self.start) else self.start
        arrays = {name: np.asarray(value, np.float64) for name, value in parts.items()}
        given, wanted = {n: a.shape for n, a in arrays.items()}, dict(self.entries)
        if given != wanted:
            raise bad_value(f"start of {self.name}", f"arrays of shapes {wanted}", given)
        return self.layout.pack(arrays)

    def sample_x(self, theta: Floats, z: Draws, rng: np.random.Generator) -> Floats:  # noqa: ARG002
        self.check_prior()
        raise NotApplicable(f"{self.label} gives no draws of x: write a Model with sample_x")

    def sample(self, theta: Floats, n_data: int, rng: np.random.Generator) -> tuple[Floats, Draws]:
        self.check_prior()
        return super().sample(theta, n_data, rng)


def from_log_joint(
    log_joint: LogJoint,
    *,
    columns: int,
    latent: int = 1,
    parameters: Mapping[str, int | tuple[int, ...]] | None = None,
    family: str | None = None,
    prior: str | None = None,
    start: Start | None = None,
    framework: str = "numpy",
    name: str = "",
    data: str = LogJointModel.default_data,
) -> LogJointModel:
    """Return a model whose joint density is a function, for `compare`, `fit`, `check_model` and the others.

    Parameters
    ----------
    log_joint : callable
        log_joint(theta, x, z) -> log p(x, z) (S, N) in nats, where theta is {name: array}, x is (N, D) and z
        is (S, N, K), or (S, 1, K) for draws that all rows share. A category is z (S, N), whole numbers. It
        need not be normalised: log Z takes the place of log p(x).
    columns : int
        D.
    latent : int
        K, or the number of values of a category.
    parameters : mapping of str to int or tuple of int, optional
        The shape of each parameter by its name; () is one number. Parameters are unconstrained.
    family : str, optional
        A family whose support z has, in which q is built: 'gamma' for positive z, 'categorical'. By default
        a diagonal Gaussian, for any real z.
    prior : str, optional
        Family of p(z), whose standard member (eta = 0) it is: N(0, I) for 'diagonal-gaussian'. Without it
        draws from the prior and KL(q || prior) are refused.
    start : mapping or callable, optional
        Values of the parameters at which fits begin, by name, or a function of x (N, D) that returns them; by
        default small numbers.
    framework : {'numpy', 'jax', 'torch'}
        What the function is written in. Its gradients come from central differences, up to 100 parameters
        and latents, from JAX, or from PyTorch.
    name : str, optional
        By default that of the function.
    data : str
        Name or file of the data where no others are given.

    Returns
    -------
    LogJointModel

    Raises
    ------
    ValueError, TypeError
        In one line, for what cannot be.

    Examples
    --------
    >>> import numpy as np
    >>> def pair(theta, x, z):  # z ~ N(0, 1), each column of x ~ N(z + b, 1), without constants
    ...     return -0.5 * ((x - z - theta["b"]) ** 2).sum(axis=-1) - 0.5 * z[..., 0] ** 2
    >>> model = from_log_joint(pair, columns=2, parameters={"b": 2})
    >>> model.log_joint(np.zeros(2), np.ones((3, 2)), np.ones((1, 3, 1)))
    array([[-0.5, -0.5, -0.5]])
    """
    if not callable(log_joint):
        raise bad_kind("log_joint", "a function of theta, x and z", type(log_joint).__name__)
    if framework not in FRAMEWORKS:
        raise unknown_name("framework", framework, FRAMEWORKS)
    entries = tuple(
        (key, (shape,) if isinstance(shape, int) else tuple(shape))
        for key, shape in (parameters or {}).items()
    )
    for key, shape in entries:
        for length in shape:
            check_count(f"parameters[{key!r}]", length)
    chosen = prior or family
    if prior is not None and family is not None:
        raise bad_value("family", "no value beside prior, whose family it is", repr(family))
    latent = check_count("latent", latent)
    argument = "family" if prior is None else "prior"
    built = DiagonalGaussian(latent) if chosen is None else find_family(chosen, argument).of_size(latent)
    FRAMEWORKS[framework].check_size(Layout(entries).size + (built.size if built.has_slope else 0))
    named = name or getattr(log_joint, "__name__", LogJointModel.name).strip("_").replace("_", "-")
    words: dict[str, Any] = {
        "name": LogJointModel.name if named.startswith("<") else named,
        "default_data": data,
        "summary": one_line((log_joint.__doc__ or LogJointModel.summary).strip().split("\n")[0]),
    }
    # A class of its own, since a model's name is that of its class.
    kind = type(LogJointModel.__name__, (LogJointModel,), words)
    return kind(
        log_joint, entries, check_count("columns", columns), built, framework, prior is not None, start
    )
