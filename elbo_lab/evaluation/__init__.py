"""What a trained model is worth: evidence, gaps, active units, and what one does with it."""

from elbo_lab.chains import HamiltonianMonteCarlo, RandomWalk
from elbo_lab.evaluation.annealed.path import AnnealedPath
from elbo_lab.evaluation.annealed.sampling import (
    AnnealedRun,
    annealed_weights,
    pilot_steps,
    reverse_annealed_weights,
)
from elbo_lab.evaluation.annealed.sandwich import Sandwich, bidirectional
from elbo_lab.evaluation.annealed.schedules import linear_schedule, sigmoidal_schedule
from elbo_lab.evaluation.calibration import Calibration, simulation_calibration
from elbo_lab.evaluation.decompositions import Decomposition, decompose, mean_kl_to_prior
from elbo_lab.evaluation.disentangling import (
    InformationGap,
    information_gap,
    mutual_information_gap,
    rotated,
)
from elbo_lab.evaluation.fitted import Fitted
from elbo_lab.evaluation.gap import Gap, GapSplit, measure_gap, split_gap, surprisal_view
from elbo_lab.evaluation.importance import Nll, importance_nll
from elbo_lab.evaluation.neighbours import neighbour_accuracy, principal_scores
from elbo_lab.evaluation.prior import prior_nll
from elbo_lab.evaluation.renyi import measure_cubo, measure_renyi
from elbo_lab.evaluation.second_stage import Gain, TwoStage, draw_latents
from elbo_lab.evaluation.surgery import Surgery, elbo_surgery, sampled_surgery
from elbo_lab.evaluation.tractable import has_exact_evidence, held_out_log_likelihood
from elbo_lab.evaluation.units import ActiveUnits, active_units

__all__ = [
    "ActiveUnits",
    "AnnealedPath",
    "AnnealedRun",
    "Calibration",
    "Decomposition",
    "Fitted",
    "Gain",
    "Gap",
    "GapSplit",
    "HamiltonianMonteCarlo",
    "InformationGap",
    "Nll",
    "RandomWalk",
    "Sandwich",
    "Surgery",
    "TwoStage",
    "active_units",
    "annealed_weights",
    "bidirectional",
    "decompose",
    "draw_latents",
    "elbo_surgery",
    "has_exact_evidence",
    "held_out_log_likelihood",
    "importance_nll",
    "information_gap",
    "linear_schedule",
    "mean_kl_to_prior",
    "measure_cubo",
    "measure_gap",
    "measure_renyi",
    "mutual_information_gap",
    "neighbour_accuracy",
    "pilot_steps",
    "principal_scores",
    "prior_nll",
    "reverse_annealed_weights",
    "rotated",
    "sampled_surgery",
    "sigmoidal_schedule",
    "simulation_calibration",
    "split_gap",
    "surprisal_view",
]
