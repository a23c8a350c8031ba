"""The state of a training: what a checkpoint holds, and the way back from it.

Everything that the next step depends on is in it, down to the generators, so that a training that is saved
and resumed is, bit for bit, the training that never stopped. A state is looked at as a whole before anything
is changed: it may come from a damaged file, or from another training.
"""

from functools import partial

import numpy as np

from elbo_lab.errors import bad_value

PLAIN_STATE = ("epoch", "step", "seen", "value_sum", "rows_seen", "first_value", "last_value")
PLAIN_STATE += ("best", "waited")


def state_of(training):
    """Return (header, arrays): all that the next step depends on.

    The header is made of numbers, strings, lists and dicts; no wall time stands in it.
    """
    header = {name: getattr(training, name) for name in PLAIN_STATE} | {
        "counts": training.counts,
        "position": training.minibatches.position,
        "history": training.history,
        "order_rng": training.minibatches.rng.bit_generator.state,
        "noise_rng": training.noise_rng.bit_generator.state,
    }
    arrays = {"order": training.minibatches.order}
    groups = {"params": training.params, "slots": training.slots, "memory": training.memory}
    for group, vectors in (groups | {"best": training.best_params or {}}).items():
        arrays |= {f"{group}.{name}": vector for name, vector in vectors.items()}
    return header, arrays


def restore(training, header, arrays):
    """Go on from a state of a training with the same objective and plan.

    Raises
    ------
    ValueError
        In one line, before anything is changed, if the state is damaged or that of another training.
    """
    remedy = "the file is damaged or of another training"
    refuse = partial(bad_value, "checkpoint", "the whole state of this training", remedy=remedy)
    own_header, own = state_of(training)
    for name in own_header:
        if name not in header:
            raise refuse(f"no {name!r}")
    for name in PLAIN_STATE:
        value, optional = header[name], name in ("first_value", "last_value", "best")
        kinds = (int, float) if optional or name == "value_sum" else int
        number = isinstance(value, kinds) and not isinstance(value, bool)
        if not (number or (optional and value is None)):
            raise refuse(f"{name} {value!r}")
    counts, position, history = header["counts"], header["position"], header["history"]
    if not isinstance(counts, dict) or set(counts) != set(training.params):
        raise refuse(f"counts {counts!r}")
    if not all(isinstance(n, int) and n >= 0 for n in (*counts.values(), position)):
        raise refuse(f"counts {counts!r} and position {position!r}")
    if not isinstance(history, list) or not all(isinstance(row, dict) for row in history):
        raise refuse("a history that is no list of rows")
    for name in ("order_rng", "noise_rng"):
        try:
            type(training.noise_rng.bit_generator)().state = header[name]
        except Exception:  # what numpy trips over in a wrong state is no closed list
            raise refuse(f"no state of a generator in {name!r}") from None
    own = {key: array for key, array in own.items() if not key.startswith("best.")}
    if header["best"] is not None:
        own |= {f"best.{name}": vector for name, vector in training.params.items()}
    if set(own) != set(arrays):
        raise refuse(f"missing or surplus arrays {sorted(set(own) ^ set(arrays))}")
    for key, array in own.items():
        if (arrays[key].shape, arrays[key].dtype) != (array.shape, array.dtype):
            found = f"{arrays[key].dtype} {arrays[key].shape}"
            raise refuse(f"{key} as {found} where {array.dtype} {array.shape} belongs")
    if not np.array_equal(np.sort(arrays["order"]), np.arange(training.minibatches.n_rows)):
        raise refuse("an order that does not hold every row once")
    for name in PLAIN_STATE:
        setattr(training, name, header[name])
    training.counts, training.history = dict(header["counts"]), list(header["history"])
    training.minibatches.position = header["position"]
    training.minibatches.order = arrays["order"]
    training.minibatches.rng.bit_generator.state = header["order_rng"]
    training.noise_rng.bit_generator.state = header["noise_rng"]
    groups = {group: {} for group in ("params", "slots", "memory", "best")}
    for key, array in arrays.items():
        group, _, name = key.partition(".")
        if group in groups:
            # A copy, in the order that compiled code reads.
            groups[group][name] = np.array(array, order="C")
    training.params, training.slots, training.memory = groups["params"], groups["slots"], groups["memory"]
    training.best_params = groups["best"] or None
