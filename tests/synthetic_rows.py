"""Rows as `compare` makes them, with numbers that look like real ones, for plots and tables."""

import numpy as np

MODELS = (
    ("gaussian-mle", None, "faithful", 2),
    ("gaussian-mixture", "spherical", "faithful", 2),
    ("gaussian-mixture", "diagonal", "faithful", 2),
    ("gaussian-mixture", "full", "faithful", 2),
    ("ppca", None, "digits-raw", 10),
    ("factor-analysis", None, "digits-dequantised", 10),
    ("deep-gaussian", "fixed", "digits-dequantised", 2),
    ("deep-gaussian", "learned", "digits-dequantised", 2),
    ("deep-bernoulli", None, "digits-binary", 2),
)

ESTIMATORS = {
    "log-evidence": ("prior-monte-carlo", "importance-sampling", "exact"),
    "elbo": ("elbo-reconstruction-kl", "elbo-joint-entropy", "elbo-log-weight", "exact"),
    "grad-theta-log-evidence": (
        "prior-monte-carlo-score",
        "prior-monte-carlo-pathwise",
        "importance-weighted",
        "exact",
    ),
    "grad-theta-elbo": ("elbo-sampled", "elbo-analytic-kl", "exact"),
    "grad-phi-elbo": (
        "score-function",
        "score-function-loo",
        "score-function-optimal-baseline",
        "reparameterization",
        "reparameterization-analytic-kl",
        "exact",
    ),
}

SETTINGS = {"draws": 10, "repeats": 1000, "seed": 0}

NUMBERS = (
    "reference_norm bias_norm bias_max_z variance variance_low variance_high variance_exact mse snr "
    "seconds_per_estimate efficiency"
).split()


def make_row(model, target, estimator, rng, posterior="free"):
    """Return one applicable row."""
    name, variant, data, latent_dim = model
    biased = target.endswith("log-evidence") and estimator != "exact"
    variance = float(10 ** rng.uniform(-5, 4)) * (40.0 if estimator == "score-function" else 1.0)
    bias = float(np.sqrt(variance / 1000))
    seconds = float(10 ** rng.uniform(-5.5, -2.5))
    mse = bias**2 + variance
    row = {
        "model": name,
        "variant": variant,
        "data": data,
        "n_data": 32,
        "latent_dim": latent_dim,
        "posterior": posterior,
        "target": target,
        "estimator": estimator,
        "draws": 10,
        "repeats": 1000,
        "applicable": True,
        "reason": None,
        "unbiased": not biased,
        "reference": "quadrature" if name.startswith("deep") else "closed-form",
        "reference_se": 3.2e-10 if name.startswith("deep") else 0.0,
        "reference_norm": float(10 ** rng.uniform(-1, 3)),
        "bias_norm": bias,
        "bias_max_z": float(rng.uniform(0.5, 4.0)),
        "bias_coordinates": 12,
        "bias_z_limit": 7.13,
        "bias_detectable": 0.021,
        "bias_detectable_worst": 0.4,
        "bias_detectable_reference": 0.0,
        "bias_to_see": 0.05,
        "bias_unit": "exact" if target.startswith("grad-") else "nats",
        "variance": variance,
        "variance_low": variance * 0.88,
        "variance_high": variance * 1.14,
        "mse": mse,
        "snr": 12.3 / variance**0.5,
        "seconds_per_estimate": seconds,
        "efficiency": 1 / (mse * seconds),
    }
    if estimator == "exact":
        zero = ("bias_norm", "variance", "variance_low", "variance_high", "mse")
        row.update(dict.fromkeys(zero, 0.0), bias_max_z=None, snr=None, efficiency=None)
    return row


def make_rows(targets=tuple(ESTIMATORS), posterior="free"):
    """Return rows of nine model variants, all estimators, with pairings that make no sense."""
    rng = np.random.default_rng(7)
    rows = []
    for model in MODELS:
        for target in targets:
            block = [make_row(model, target, name, rng, posterior) for name in ESTIMATORS[target]]
            for row in block:
                row["reference_norm"] = block[0]["reference_norm"]
                pathwise = "pathwise" in row["estimator"] or "reparam" in row["estimator"]
                if model[0] == "gaussian-mixture" and pathwise:
                    row.update(dict.fromkeys(NUMBERS))
                    row.update(applicable=False, reason="categorical z has no pathwise derivative")
            rows += block
    if "grad-phi-elbo" in targets:
        wide = find_row(rows, "deep-bernoulli", "score-function")
        wide.update(variance_low=wide["variance"] / 9, variance_high=wide["variance"] * 14)
        silent = find_row(rows, "ppca", "score-function-loo")
        silent.update(variance=0.0, variance_low=0.0, variance_high=0.0, snr=None)
    return rows


def find_row(rows, model, estimator, variant=None):
    """Return the first row of a model and estimator."""
    return next(
        row
        for row in rows
        if (row["model"], row["estimator"]) == (model, estimator)
        and (variant is None or row["variant"] == variant)
    )
