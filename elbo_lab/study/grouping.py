"""What belongs together in a table or a figure: targets in their order, rows in their blocks."""

TARGETS = {
    "log-evidence": "log p_theta(x), mean over the data",
    "elbo": "the evidence lower bound, mean over the data",
    "grad-theta-log-evidence": "gradient of log p_theta(x) in the model parameters theta",
    "grad-theta-elbo": "gradient of the bound in the model parameters theta",
    "grad-phi-elbo": "gradient of the bound in the variational parameters phi",
}
"""Targets in the order in which they are shown, each with one line for the reader."""


def order_targets(rows):
    """Return the targets of the rows: those of `TARGETS` in their order, others alphabetically."""
    present = {row["target"] for row in rows}
    return [name for name in TARGETS if name in present] + sorted(present - set(TARGETS))


def is_gradient(target):
    """Tell whether a target is a gradient (nats per unit of parameter) or a value (nats)."""
    return target.startswith("grad-")


def group_key(row):
    """Return what identifies the block of a row: everything but target and estimator."""
    names = ("model", "variant", "data", "n_data", "latent_dim", "posterior")
    return tuple(row.get(name) for name in names)


def group_rows(rows):
    """Return the rows by block {group_key: [row, ...]}, in order of first appearance."""
    groups = {}
    for row in rows:
        groups.setdefault(group_key(row), []).append(row)
    return groups


def model_label(row):
    """Return model and variant as one name, such as 'gaussian-mixture full'."""
    return " ".join(part for part in (row["model"], row.get("variant")) if part)


def common_value(rows, settings, name):
    """Return a setting: that of all rows if they agree, else that of `settings`, else None."""
    found = {row.get(name) for row in rows}
    return found.pop() if len(found) == 1 else settings.get(name)
