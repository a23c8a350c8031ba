"""What can be estimated: the quantities with which estimators are compared.

A bound of several draws is another quantity for every number of draws, so that its target carries the
number: `grad-phi-iwae-10` is the gradient in phi of the importance-weighted bound of ten draws. An
estimator declares the name without the number (`Estimator.target_at` adds it).
"""

from elbo_lab.errors import bad_value

COUPLED = {
    "iwae": "the importance-weighted bound of {draws} draws, mean over the data",
    "grad-theta-iwae": "gradient of the importance-weighted bound of {draws} draws in theta",
    "grad-phi-iwae": "gradient of the importance-weighted bound of {draws} draws in phi",
}

TARGETS = {
    "log-evidence": "log p_theta(x), mean over the data",
    "elbo": "the evidence lower bound, mean over the data",
    "iwae": COUPLED["iwae"],
    "grad-theta-log-evidence": "gradient of log p_theta(x) in the model parameters theta",
    "grad-theta-elbo": "gradient of the bound in the model parameters theta",
    "grad-theta-iwae": COUPLED["grad-theta-iwae"],
    "grad-phi-elbo": "gradient of the bound in the variational parameters phi",
    "grad-phi-iwae": COUPLED["grad-phi-iwae"],
    "grad-phi-inclusive-kl": "gradient of -KL(p(z | x) || q) in the variational parameters phi",
}
"""Targets in the order in which they are shown, each with one line for the reader."""


def numbered(target: str, n_draws: int | None) -> str:
    """Return the target as a table shows it, such as 'grad-phi-iwae-10'; most need no number."""
    return f"{target}-{n_draws}" if target in COUPLED else target


def parse(name: str) -> tuple[str, int | None]:
    """Return (target, number of draws or None) of a name that a table shows.

    Raises
    ------
    ValueError
        If a bound of several draws lacks their number.
    """
    stem, _, number = name.rpartition("-")
    if stem in COUPLED and number.isdecimal():
        return stem, int(number)
    if name in COUPLED:
        raise bad_value("target", f"a number of draws, such as '{name}-10'", repr(name))
    return name, None


def is_gradient(target: str) -> bool:
    """Tell whether a target is a gradient (nats per unit of parameter) or a value (nats)."""
    return target.startswith("grad-")


def describe(name: str) -> str | None:
    """Return one line for the reader about the target of a row, or None for an unknown target."""
    target, n_draws = parse(name)
    line = TARGETS.get(target)
    return None if line is None else line.format(draws=n_draws)
