"""A graph as JSON: what people write by hand, and what a fit writes back.

    {"variables": {
        "rain": {"kind": "table", "states": ["no", "yes"], "parameters": {"probabilities": [0.8, 0.2]}},
        "wet":  {"kind": "table", "states": ["no", "yes"], "parents": ["rain"]}}}

Every variable has a `kind` (of its conditional); the other fields are those of `Node` that the kind uses.
`parameters` may be left out: a fit starts from values of its own. Whatever is wrong is told in one line, with
the name of the variable.
"""

import json
from pathlib import Path
from typing import Any

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_kind, bad_value, short, unknown_name
from elbo_lab.files import StrPath
from elbo_lab.models.graphs.net import CONDITIONALS, BayesNet, Node
from elbo_lab.models.graphs.predicted import NetworkPredicted
from elbo_lab.reading import check_regular

Parameters = dict[str, dict[str, Any]]
"""{variable: its parameters as people write them}, of the variables that have some."""

ARGUMENT = "graph"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the dict of the pairs of a JSON object, or refuse a key that comes twice."""
    for key in Node.repeated([key for key, _ in pairs]):
        raise bad_value(ARGUMENT, "each name once", f"{key!r} twice")
    return dict(pairs)


def read_graph(path: StrPath) -> tuple[BayesNet, Parameters]:
    """Read a graph from a JSON file.

    Returns
    -------
    net : BayesNet
    parameters : dict
        See `BayesNet.theta`.

    Raises
    ------
    ValueError, TypeError
        In one line, for a file that is not there, no JSON, or no graph.
    """
    check_regular(ARGUMENT, path)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise bad_value(ARGUMENT, "a text file in UTF-8", f"other bytes in {str(path)!r}") from None
    except OSError as error:
        raise bad_value(ARGUMENT, "a JSON file", f"{str(path)!r} ({error.strerror})") from None
    try:
        described = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise bad_value(ARGUMENT, "JSON", f"{str(path)!r} (line {error.lineno}: {error.msg})") from None
    except RecursionError:
        raise bad_value(ARGUMENT, "JSON", f"{str(path)!r}, nested too deeply") from None
    return graph_of(described)


def graph_of(described: Any) -> tuple[BayesNet, Parameters]:
    """Return the graph and its parameters of a description, as `read_graph` does of a file."""
    for key in _mapping(ARGUMENT, described):
        if key != "variables":
            raise unknown_name(f"keys of the {ARGUMENT}", key, ["variables"])
    variables = described.get("variables")
    if variables is None:
        raise bad_value(ARGUMENT, "an object with 'variables'", f"keys {', '.join(described) or 'none'}")
    nodes, parameters = [], {}
    for name, fields in _mapping("variables", variables).items():
        fields = dict(_mapping(f"variable {name!r}", fields))
        if "parameters" in fields:
            parameters[name] = _mapping(f"parameters of {name!r}", fields.pop("parameters"))
        nodes.append(_node(name, fields))
    net = BayesNet(tuple(nodes))
    for name, own in parameters.items():  # checked now, by the name of the variable
        net.conditionals[name].packed(own, repr(name))
    return net, parameters


def _mapping(argument: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise bad_kind(argument, "a JSON object {...}", short(value))
    return value


def fields_of(kind: str) -> list[str]:
    """Return the fields that a variable of a kind of conditional may have, beside 'parameters'."""
    conditional = CONDITIONALS[kind]
    own = ["states"] if conditional.kind == "category" else ["size"]
    network = ["hidden", "activation"] if issubclass(conditional, NetworkPredicted) else []
    return ["kind", "parents", *own, *network]


def _node(name: str, fields: dict[str, Any]) -> Node:
    """Return the node of checked fields."""
    kind = fields.get("kind")
    if not isinstance(kind, str):
        raise bad_value(f"variable {name!r}", "a 'kind'", short(kind), f"one of {', '.join(CONDITIONALS)}")
    if kind not in CONDITIONALS:
        raise unknown_name(f"kind of {name!r}", kind, list(CONDITIONALS), f"one of {', '.join(CONDITIONALS)}")
    for field, value in fields.items():
        argument = f"{field} of {name!r}"
        if field not in fields_of(kind):
            raise unknown_name(f"fields of {name!r} ({kind})", field, [*fields_of(kind), "parameters"])
        texts = isinstance(value, list) and all(isinstance(one, str) for one in value)
        if field == "parents" and not texts:
            raise bad_kind(argument, "a list of names", short(value))
        if field == "states" and not texts and not isinstance(value, int):
            raise bad_kind(argument, "a number, or a list of names", short(value))
        if field == "hidden" and not isinstance(value, list):
            raise bad_kind(argument, "a list of widths", short(value))
        if field == "activation" and not isinstance(value, str):
            raise bad_kind(argument, "a name", short(value))
    return Node(name, **fields)


def description(net: BayesNet, theta: Floats | None = None) -> dict[str, Any]:
    """Return the description of a graph, with its parameters if theta (P,) is given: `graph_of` reads it."""
    parameters = {} if theta is None else net.described(theta)
    variables = {}
    for node in net.nodes:
        fields: dict[str, Any] = {field: getattr(node, field) for field in fields_of(node.kind)}
        for field in ("parents", "states", "hidden"):
            if isinstance(fields.get(field), tuple):
                fields[field] = list(fields[field])
        if not node.parents:
            del fields["parents"]
        own = {key: value.tolist() for key, value in parameters.get(node.name, {}).items() if value.size}
        variables[node.name] = fields | ({"parameters": own} if own else {})
    return {"variables": variables}
