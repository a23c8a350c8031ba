"""Gradients in phi through discrete latents: sums, relaxations, control variates, antithetic pairs.

enumeration    the exact sum over every value
relaxed        the path or the slope of a continuous relaxation of z: biased, low variance
rebar, rebar_learned, relax
               a relaxation as control variate of the score function: unbiased
arm            antithetic pairs of noise
"""
