"""The question that a target or a figure answers, in words: the heading of its section and of its figure."""

QUESTIONS = {
    "log-evidence": "How far off is each estimate of log p(x)?",
    "elbo": "How noisy is each estimate of the ELBO?",
    "iwae": "How noisy is each estimate of the importance-weighted bound?",
    "grad-theta-log-evidence": "How far off is each gradient of log p(x) in θ?",
    "grad-theta-elbo": "Which gradient of the ELBO in θ is noisy?",
    "grad-theta-iwae": "Which gradient of the importance-weighted bound in θ is noisy?",
    "grad-phi-elbo": "Which gradient of the ELBO in φ is noisy?",
    "grad-phi-iwae": "Which gradient of the importance-weighted bound in φ is noisy?",
    "grad-phi-inclusive-kl": "How far off is each gradient of KL(posterior || q) in φ?",
    "gradient-cloud": "How do single gradients scatter around the exact one?",
    "variance-vs-draws": "Do more draws help?",
    "prior-monte-carlo": "Why not draw from the prior?",
}


def question_of(name: str) -> str:
    """Return the question of a figure, or of a target without its number of draws."""
    return QUESTIONS.get(name, f"How noisy is each estimate of {name}?")
