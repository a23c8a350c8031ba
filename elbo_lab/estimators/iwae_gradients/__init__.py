"""Gradients of the importance-weighted bound, whose draws are coupled by the logarithm, and of wake-sleep.

path        weighted slopes along the paths of the draws, and the gradient in theta
score       signals times scores, for any z
ovis        scores whose baseline is the expected signal
piwae       one set of draws, two bounds: one for theta, one for phi
of_bounds   the same forms for MIWAE, CIWAE, VR-IWAE and the Renyi bound
wake        the wake phase of reweighted wake-sleep: the other KL
"""
