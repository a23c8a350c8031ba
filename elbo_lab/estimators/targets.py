"""What can be estimated: the quantities with which estimators are compared.

A bound of several draws is another quantity for every number of draws, so that its target carries the
number: `grad-phi-iwae-10` is the gradient in phi of the importance-weighted bound of ten draws. An
estimator declares the name without the number (`Estimator.target_at` adds it). So it is with the argument of
a bound: `grad-phi-vr-iwae(alpha=0.5)-10` is that of another quantity than `grad-phi-vr-iwae(alpha=0.2)-10`.
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


WITH_ARGUMENTS = {
    "ciwae": "{given} ELBO + (1 - {given}) importance-weighted bound, of {{draws}} draws",
    "vr-iwae": "the VR-IWAE bound of order {given}, of {{draws}} draws",
    "renyi": "the Renyi bound of order {given}",
}
"""Bounds with an argument, of which only gradients are targets, each with its line for the reader."""
JOINED = (*COUPLED, "ciwae", "vr-iwae")
"""What is another quantity for every number of draws."""


def _bound_of(target: str) -> tuple[str, str]:
    """Return the bound with an argument of which a target is the gradient, and the argument; else ''."""
    for vector in ("grad-theta-", "grad-phi-"):
        name, parenthesis, given = target.removeprefix(vector).partition("(")
        if target.startswith(vector) and name in WITH_ARGUMENTS and parenthesis:
            return name, given.removesuffix(")")
    return "", ""


def is_known(target: str) -> bool:
    """Tell whether a target, without a number of draws, is one that can be estimated."""
    return target in TARGETS or bool(_bound_of(target)[0])


def joins_draws(target: str) -> bool:
    """Tell whether a target, without a number of draws, is another one for every number of draws."""
    return target in JOINED or _bound_of(target)[0] in JOINED


def line_of(target: str) -> str | None:
    """Return the line for the reader of a target, with a place for {draws}; None for an unknown one."""
    bound, given = _bound_of(target)
    if not bound:
        return TARGETS.get(target)
    vector = "theta" if target.startswith("grad-theta") else "phi"
    return f"gradient in {vector} of {WITH_ARGUMENTS[bound].format(given=given.rpartition('=')[2])}"


def bound_and_argument(target: str) -> tuple[str, float]:
    """Return the bound with an argument of which a target is the gradient, and its number; else ('', 0)."""
    bound, given = _bound_of(target)
    return (bound, float(given.rpartition("=")[2])) if bound else ("", 0.0)


def numbered(target: str, n_draws: int | None) -> str:
    """Return the target as a table shows it, such as 'grad-phi-iwae-10'; most need no number."""
    return f"{target}-{n_draws}" if joins_draws(target) else target


def parse(name: str) -> tuple[str, int | None]:
    """Return (target, number of draws or None) of a name that a table shows.

    Raises
    ------
    ValueError
        If a bound of several draws lacks their number.
    """
    stem, _, number = name.rpartition("-")
    if joins_draws(stem) and number.isdecimal():
        return stem, int(number)
    if joins_draws(name):
        raise bad_value("target", f"a number of draws, such as '{name}-10'", repr(name))
    return name, None


def is_gradient(target: str) -> bool:
    """Tell whether a target is a gradient (nats per unit of parameter) or a value (nats)."""
    return target.startswith("grad-")


def describe(name: str) -> str | None:
    """Return one line for the reader about the target of a row, or None for an unknown target."""
    target, n_draws = parse(name)
    line = line_of(target)
    return None if line is None else line.format(draws=n_draws)
