"""Stochastic gradient ascent: what is climbed, by which optimiser, on which rows, saved where."""
