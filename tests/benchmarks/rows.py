"""What a contest becomes: one row per peer, with its ratios and its targets."""

from contest import ratio


def make_rows(work, there):
    """Return the rows of one work.

    Parameters
    ----------
    work : Work
    there : dict of str to Contestant
        Those who took part.

    Returns
    -------
    list of dict
        One per peer that took part, or a single one without a peer. Times are medians in milliseconds per
        call; `ratio_to_limit` is ours over limit, `ratio_to_peer` peer over ours, both medians over rounds.
        `targets` are dicts of `text`, `value` and `met`.
    """
    if "ours" not in there:
        return []
    ours, definition, limit = (there.get(name) for name in ("ours", "definition", "limit"))
    peers = [name for name in work.peers if name in there] or [None]
    rows = []
    for place, name in enumerate(peers):
        peer = there.get(name)
        row = {
            "name": work.name,
            "ours_ms": ours.ms,
            "definition_ms": definition.ms if definition else None,
            "peer": name,
            "peer_ms": peer.ms if peer else None,
            "limit_ms": limit.ms if limit else None,
            "ratio_to_definition": ratio(definition, ours) if definition else None,
            "ratio_to_peer": ratio(peer, ours) if peer else None,
            "ratio_to_limit": ratio(ours, limit) if limit else None,
            "peak_mb": ours.peak_mb,
            "peer_peak_mb": peer.peak_mb if peer else None,
        }
        # What does not depend on the peer is aimed at once.
        row["targets"] = [*(own_targets(work, row) if place == 0 else []), *peer_targets(work, row)]
        rows.append(row)
    return rows


def own_targets(work, row):
    """Return the targets that stand without a peer."""
    if work.most_of_limit is not None and row["ratio_to_limit"] is not None:
        yield at_most("of the limit", row["ratio_to_limit"], work.most_of_limit, " x")
    if work.most_ms is not None:
        yield at_most("per call", row["ours_ms"], work.most_ms, " ms")


def peer_targets(work, row):
    """Return the targets against the peer of a row."""
    peer = row["peer"]
    least = work.least_over_peer.get(peer)
    if least is not None:
        faster = row["ratio_to_peer"]
        text = f"at least {least:g} x faster than {peer}"
        yield {"text": text, "value": faster, "unit": " x", "met": faster >= least}
    most = work.most_of_peer_memory.get(peer)
    if most is not None and row["peer_peak_mb"]:
        yield at_most(f"of the memory of {peer}", row["peak_mb"] / row["peer_peak_mb"], most, " x")


def at_most(what, value, most, unit):
    """Return one target of the kind "at most"."""
    return {"text": f"at most {most:g}{unit} {what}", "value": value, "unit": unit, "met": value <= most}
