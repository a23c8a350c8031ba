"""Annealed importance sampling, forwards and backwards: log p(x) between two sampled bounds."""
