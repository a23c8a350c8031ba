"""Compiled twins of the hot definitions, and the switch between the two.

NumPy defines, Numba repeats: a kernel has the name of the readable function whose values it gives
(`elbo_lab.special.tanh` and `elbo_lab.kernels.elementwise.tanh`), tests hold the two together, and
`switch` chooses. Only the errors stand below this floor, and Numba is imported by the first kernel
that runs.
"""

from elbo_lab.kernels.switch import kernels_in_use, twin, twin_in_place, twin_of_arrays, use_kernels

__all__ = ["kernels_in_use", "twin", "twin_in_place", "twin_of_arrays", "use_kernels"]
