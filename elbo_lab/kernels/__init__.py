"""Compiled twins of the hot definitions, and the switch between the two.

NumPy defines, Numba repeats: a kernel has the name of the readable function whose values it gives
(`elbo_lab.special.tanh` and `elbo_lab.kernels.elementwise.tanh`), tests hold the two together, and
`switch` chooses. Numba is imported by the first kernel
that runs.
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
