EXERCISE = "leave-one-out"
SEED = 1


def baselines(f):
    return (f.sum() - f) / (len(f) - 1)


def gradient(f, score):
    return ((f - baselines(f))[:, None] * score).mean(axis=0)
