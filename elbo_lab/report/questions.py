"""The questions that targets and figures answer, in words: the headings of sections and of figures."""

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
    "more-draws": "Do more draws help?",
    "variance-vs-draws": "How fast do more draws lower the variance?",
    "prior-monte-carlo": "Why not draw from the prior?",
}

# The targets beside which the other figures stand.
PLACES = {
    "more-draws": "grad-phi-iwae",
    "gradient-cloud": "grad-phi-elbo",
    "variance-vs-draws": "grad-phi-elbo",
    "prior-monte-carlo": "log-evidence",
}

OF_FITS = {
    "learning-curves": "Has the training settled?",
    "staircase": "How does each EM step climb?",
    "bound-and-gap": "How far is the bound from log p(x)?",
    "watched-variance": "Which gradient is noisy, as the training goes on?",
    "graph": "Which variables act on which, and which were seen?",
    "mixture": "Which components were found?",
    "samples": "Does the model generate what the data look like?",
    "latent-grid": "What does the decoder make of each z?",
    "reconstructions": "What survives encoding and decoding?",
    "hidden-cells": "Are hidden cells told from the others?",
    "relevances": "Which latents does the fit use?",
    "interpolation": "What lies between two rows?",
    "traversals": "What does each latent change?",
    "latent-plane": "Where do the rows lie in the latent plane?",
}


def question_of(name: str) -> str:
    """Return the question of a figure, or of a target without its number of draws."""
    return QUESTIONS.get(name, f"How noisy is each estimate of {name}?")
