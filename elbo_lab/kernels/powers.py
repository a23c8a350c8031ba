"""Powers of two for lanes, where a logarithm may be counted in bits.

    n = round(t),   f = t - n,   |f| <= 1/2,   2^t = 2^n 2^f,   2^f = 1 + f (C0 + C1 f + ... + C9 f^9)

The steps are those of `exponential`, with less to do: f is exact, so that log 2 does not have to be taken in
two parts, and t need not be multiplied by anything. The ten coefficients interpolate (2^f - 1) / f at the
Chebyshev nodes of [-1/2, 1/2] (the Taylor series of as many terms is 500 times worse): the relative error
of the polynomial is below 6e-16, and f = 0 gives 1 exactly.

Whoever has natural logarithms folds log2(e) into what he has to multiply anyway.
"""

from elbo_lab.kernels.compiling import formula
from elbo_lab.kernels.exponential import ROUND
from elbo_lab.kernels.lanes import everywhere, larger, raise_exponent

# 2^LOWEST is written as the float64 without a bit, which is 0.
LOWEST = -1023.0

C0 = 0.6931471805599462
C1 = 0.24022650695910075
C2 = 0.05550410866465167
C3 = 0.009618129107618665
C4 = 0.0013333558200794592
C5 = 0.00015403530424776529
C6 = 1.5252672924850737e-05
C7 = 1.3215451633221434e-06
C8 = 1.0205905413765595e-07
C9 = 7.070977866508138e-09


@formula
def at_least_lowest(t):
    """Return t, or LOWEST where t is below; nan at nan."""
    return larger(everywhere(LOWEST), t)


@formula
def two_to(t):
    """Return 2^t for lanes from LOWEST, where it is 0, to 0; nan at nan.

    Below -1021 it is off by 2^-1022 at most.
    """
    shifted = t + ROUND
    f = t - (shifted - ROUND)
    series = C5 + f * (C6 + f * (C7 + f * (C8 + f * C9)))
    series = C0 + f * (C1 + f * (C2 + f * (C3 + f * (C4 + f * series))))
    # One chain and not two as in `exponential`: the lanes hide the waiting, and registers are scarce.
    return raise_exponent(1.0 + f * series, shifted)
