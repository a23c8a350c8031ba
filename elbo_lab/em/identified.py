"""How many factors the covariances of the data can tell apart.

A factor analysis of D columns with K factors has D K loadings and D noise variances, of which a rotation of
the factors takes K (K - 1) / 2 away. The covariance has D (D + 1) / 2 numbers. There are not more parameters
than numbers while

    (D - K)^2 >= D + K,   that is   K <= (2 D + 1 - sqrt(8 D + 1)) / 2

(Ledermann 1937). Above it whole families of loadings and noise variances give the same density: the
likelihood stands, the loadings mean nothing. Below it they are unique up to a rotation for almost all
parameters, not for all.
"""

from elbo_lab.models import FactorAnalysis


def most_factors(n_columns):
    """Return the greatest K within the Ledermann bound of D columns, or 0."""
    return max((k for k in range(n_columns) if (n_columns - k) ** 2 >= n_columns + k), default=0)


def about_identification(model):
    """Yield a warning if a factor analysis has more factors than can be identified."""
    if not isinstance(model, FactorAnalysis) or model.n_latent <= most_factors(model.n_columns):
        return
    factors = f"{model.n_latent} with {model.n_columns} columns"
    yield (
        f"the loadings are not identified: K = {factors} is above the Ledermann bound, K <= "
        f"{most_factors(model.n_columns)}; log p(x) stands"
    )
