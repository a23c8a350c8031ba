EXERCISE = "m-step"
SEED = 1


def m_step(x, r):
    total = r.sum(axis=0)
    means = (r[:, :, None] * x[:, None, :]).sum(axis=0) / total[:, None]
    squares = ((x[:, None, :] - means) ** 2).sum(axis=2)
    return total / len(x), means, (r * squares).sum(axis=0) / (total * x.shape[1])
