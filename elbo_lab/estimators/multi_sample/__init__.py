"""Gradients of the importance-weighted bound, whose draws are coupled by the logarithm."""

from elbo_lab.estimators.multi_sample.dreg import Dreg
from elbo_lab.estimators.multi_sample.iwae_reparameterization import IwaeReparameterization
from elbo_lab.estimators.multi_sample.iwae_score_function import IwaeScoreFunction
from elbo_lab.estimators.multi_sample.iwae_theta import IwaeTheta
from elbo_lab.estimators.multi_sample.ovis_mc import OvisMonteCarlo
from elbo_lab.estimators.multi_sample.ovis_tilde import OvisTilde
from elbo_lab.estimators.multi_sample.piwae import PiwaePhi, PiwaeTheta
from elbo_lab.estimators.multi_sample.stl_iwae import StlIwae
from elbo_lab.estimators.multi_sample.vimco import Vimco
from elbo_lab.estimators.multi_sample.vimco_arithmetic import VimcoArithmetic
from elbo_lab.estimators.multi_sample.wake_phi import WakePhi
from elbo_lab.estimators.multi_sample.wake_phi_dreg import WakePhiDreg

ALL = (
    IwaeTheta(),
    PiwaeTheta(2),
    IwaeScoreFunction(),
    Vimco(),
    VimcoArithmetic(),
    OvisMonteCarlo(4),
    OvisTilde(0),
    OvisTilde(1),
    IwaeReparameterization(),
    PiwaePhi(2),
    StlIwae(),
    Dreg(),
    WakePhi(),
    WakePhiDreg(),
)

__all__ = [
    "Dreg",
    "IwaeReparameterization",
    "IwaeScoreFunction",
    "IwaeTheta",
    "OvisMonteCarlo",
    "OvisTilde",
    "PiwaePhi",
    "PiwaeTheta",
    "StlIwae",
    "Vimco",
    "VimcoArithmetic",
    "WakePhi",
    "WakePhiDreg",
]
