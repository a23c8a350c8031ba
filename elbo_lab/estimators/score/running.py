"""Running means that forget: what estimators with a state remember of past values.

    m <- (d w m + (1 - d) value) / w',   w' = d w + (1 - d)

With m = w = 0 at the start, m is the weighted mean of all values so far, weights falling as d^age: no pull
towards the zero at which it began (the correction of Kingma and Ba 2015, section 3).
"""

DECAY = 0.95
"""d: half of what is remembered is from the last 14 estimates."""


def decayed(mean, weight, value):
    """Return the running mean and its weight after one more value; all are floats."""
    after = DECAY * weight + (1.0 - DECAY)
    return (DECAY * weight * mean + (1.0 - DECAY) * value) / after, after
