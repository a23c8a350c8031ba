"""Compiled twins of the most expensive functions, and the switch between the two.

NumPy code defines a function, Numba code computes the same values faster: a kernel has the name of its
definition (`elbo_lab.special.tanh` and `elbo_lab.kernels.elementwise.tanh`), tests compare the two, and
`switch` selects one. Numba is imported when the first kernel runs.
"""

from elbo_lab.kernels.switch import (
    compiled_twin,
    contiguous_arrays,
    equal_vectors,
    float_array,
    into_new_array,
    kernels_in_use,
    use_kernels,
)

__all__ = [
    "compiled_twin",
    "contiguous_arrays",
    "equal_vectors",
    "float_array",
    "into_new_array",
    "kernels_in_use",
    "use_kernels",
]
