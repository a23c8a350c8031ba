EXERCISE = "predict-then-run"
SEED = 0


def variance_factor():
    return 81


def least_noisy_at_the_posterior():
    return "leave-one-out"


def log_p_after_a_phi_step():
    return "stays"


def log_p():
    return -5.1033 + 0.6631


def bound_with_more_draws():
    return "rises"


def signal_to_noise_with_more_draws():
    return "falls"
