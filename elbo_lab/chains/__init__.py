"""Markov chains of z: moves that leave a density invariant, and draws of the posterior by them."""

from elbo_lab.chains.flips import SingleFlips
from elbo_lab.chains.hmc import HamiltonianMonteCarlo, leapfrog
from elbo_lab.chains.metropolis import MoveNoise, RandomWalk, Transition, accept, draw_move_noise
from elbo_lab.chains.posterior import ChainDraws, posterior_draws, warm_up
from elbo_lab.chains.target import JointPoint, Point, PosteriorTarget, Target

__all__ = [
    "ChainDraws",
    "HamiltonianMonteCarlo",
    "JointPoint",
    "MoveNoise",
    "Point",
    "PosteriorTarget",
    "RandomWalk",
    "SingleFlips",
    "Target",
    "Transition",
    "accept",
    "draw_move_noise",
    "leapfrog",
    "posterior_draws",
    "warm_up",
]
