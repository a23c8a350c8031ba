"""What a fit or an evaluation found: the parameters, and the closing numbers as a short table."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from elbo_lab.models import GraphModel, Model
from elbo_lab.posteriors import find_posterior
from elbo_lab.priors import FLAT
from elbo_lab.report import number_text, value_text, wrapped_texts
from elbo_lab.report.graph import graph_lines
from elbo_lab.report.parameters import parameter_table

if TYPE_CHECKING:
    from elbo_lab.fitting import FitResult

Numbers = dict[str, Any]
TITLES = {
    "log_likelihood": "log-likelihood, all rows",
    "log_likelihood_per_datum": "log-likelihood per datum",
    "log_likelihood_per_possible_datum": "log-likelihood per possible datum",
    "leave_one_out_per_datum": "leave-one-out, per datum",
    "evidence_bound": "bound on the evidence, all rows",
    "components_in_use": "components in use",
    "log_prior": "log p(theta), the prior",
    "log_posterior": "log posterior, but for log p(x)",
    "elbo_per_datum": "ELBO per datum",
    "log_posterior_bound": "ELBO, all rows, + log p(theta)",
    "elbo_on_nll_rows": "ELBO per datum{of_nll}",
    "kl_to_prior": "KL of q to the prior per datum",
    "beta_objective_per_datum": "what was maximised per datum",
    "bound_per_datum": "what was maximised{bound} per datum",
    "log_joint_per_datum": "log p(Y, Z) per row",
    "reconstruction_error": "reconstruction error",
    "hidden_cells_error": "error of hidden cells",
    "nll_per_datum": "log p(x){these}, sampled",
    "annealed_per_datum": "log p(x), {of_annealed}annealed",
    "effective_sample_size": "median effective sample size{of_samples}",
    "pareto_k": "median Pareto k-hat of the weights",
    "log_p_per_datum": "log p(y | x) per datum",
    "accuracy": "accuracy",
    "prior_gain": "gain of the second stage on the prior",
    "active_units": "active latent units",
    "mig": "mutual information gap, MIG",
    "neighbour_accuracy": "5-nearest-neighbour accuracy, codes",
    "neighbour_accuracy_pca": "5-nearest-neighbour accuracy, PCA",
}
ERRORS = {
    "elbo_per_datum": "elbo_standard_error",
    "bound_per_datum": "bound_standard_error",
    "elbo_on_nll_rows": "elbo_on_nll_rows_error",
    "nll_per_datum": "nll_standard_error",
    "prior_gain": "prior_gain_error",
    "annealed_per_datum": "annealed_standard_error",
}
RUNGS = {
    "closed-form": "a formula",
    "enumeration": "a sum over all values",
    "quadrature": "a grid",
    "long-run": "draws",
}
MOST_OF_VECTOR = 9
ACCURACIES = ("accuracy", "neighbour_accuracy", "neighbour_accuracy_pca")


def shown(name: str, numbers: Numbers) -> str:
    """Return a number as text, with its error where there is one; nothing where there is no number.

    All values have the sign of log p, so that a bound and what it bounds can be compared.
    """
    value, error = numbers.get(name), numbers.get(ERRORS.get(name, ""))
    if value is None and name.startswith("log_likelihood") and name in numbers:
        return "-inf"  # which a record writes as null
    if value is None or (name == "elbo_on_nll_rows" and numbers["nll_rows"] == numbers["rows"]):
        return ""
    if name in ACCURACIES:
        return f"{value:.3f}"
    if isinstance(value, int):
        return str(value)
    if name in ("effective_sample_size", "pareto_k"):
        return number_text(value)
    value = -value if name == "nll_per_datum" else value
    if error:
        return value_text(value, error)
    return f"{value:,.3f}" if abs(value) >= 0.1 else f"{value + 0.0:.3g}"  # not -0


def number_rows(columns: dict[str, Numbers]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return titles, one for each set of rows {title: {name: number}}, and rows of name and cells."""
    titles = [f"{title}\n{n['rows']} rows" if "rows" in n else f"{title}\n" for title, n in columns.items()]
    sets = columns.values()
    samples = max((n.get("nll_samples", 0) for n in sets), default=0)
    chosen = [n["nll_rows"] for n in sets if n.get("nll_rows", n["rows"]) < n["rows"]]
    annealed = max((n.get("annealed_rows", 0) for n in sets), default=0)
    words = {
        "bound": next((f", {n['bound']}," for n in sets if "bound" in n), ""),
        "of_annealed": f"{annealed} rows, " if annealed else "",
        "of_nll": f", {max(chosen)} rows" if chosen else "",
        "these": " of these rows" if chosen else " per datum",
        "of_samples": f" of {samples}" if samples else "",
    }
    rows = [
        (title.format(**words), *(shown(name, numbers) for numbers in sets))
        for name, title in TITLES.items()
        if any(name in numbers for numbers in sets)
        # With all rows in both lines one says it.
        and (name != "elbo_on_nll_rows" or chosen)
    ]
    return titles, rows


def number_table(columns: dict[str, Numbers]) -> Table:
    """Return a rich table of `number_rows`."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("in nats")
    titles, rows = number_rows(columns)
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def remarks(numbers: Numbers) -> list[str]:
    """Return sentences that say what some of the numbers mean."""
    said = []
    codes, scores = (numbers.get(name) for name in ("neighbour_accuracy", "neighbour_accuracy_pca"))
    if codes is not None and scores is not None:
        verdict = "better than" if codes > scores else "worse than" if codes < scores else "as well as"
        said.append(
            f"by the classes of the 5 nearest training rows, codes separate {verdict} as many principal "
            f"components ({codes:.3f} against {scores:.3f}, 1 is best)"
        )
    impossible = numbers.get("impossible_rows", 0)
    if impossible:
        said.append(f"log p(x) is -inf in {impossible} of {numbers['rows']} rows, where the density is zero")
    if "mig" in numbers:
        parts = zip(numbers["mig_factors"], numbers["mig_by_factor"], strict=True)
        said.append(
            f"MIG of each factor: {', '.join(f'{name} {gap:.3f}' for name, gap in parts)}; 1 if one latent "
            "alone knows it, and not the same for rotated latents, which have the same ELBO"
        )
    if "rungs" in numbers:
        counts = ", ".join(f"{rows} by {RUNGS[rung]}" for rung, rows in numbers["rungs"].items())
        said.append(f"log p of the observed cells of {numbers['rows']} rows: {counts}")
    if "log_likelihood_error" in numbers:
        said.append(f"error of the log-likelihood of all rows: {numbers['log_likelihood_error']:.2g}")
    many, rows = numbers.get("pareto_k_above", 0), numbers.get("pareto_k_rows")
    if many:
        said.append(
            f"Pareto k-hat is above 0.7 in {many} of {rows} rows, "
            f"up to {number_text(numbers['pareto_k_max'])}: "
            "there q misses part of the posterior, and the sampled log p(x) is too low"
        )
    return said


def about_beta(beta: float) -> str:
    """Return what was maximised in words."""
    objective = f"maximised was the ELBO with {beta:g} times its KL to the prior (beta objective)"
    if beta == 1.0:
        return f"{objective}, at the end the ELBO"
    verdict = "a lower bound of log p(x) below the ELBO" if beta > 1.0 else "no lower bound of log p(x)"
    return f"{objective}: {verdict}; the ELBO here is that with beta 1"


def noise_text(noise: Numbers) -> str:
    """Return the noise of a decoder in words."""
    if "sigma" in noise:
        return f"decoder noise sigma {number_text(noise['sigma'])}"
    names = ("low", "median", "high", "floor")
    low, median, high, floor = (number_text(noise[f"sd_{name}"]) for name in names)
    share = 100 * noise["share_at_floor"]
    return (
        f"decoder noise: median sd {median}, 90 % between {low} and {high}; "
        f"{share:.0f} % at the floor {floor} (--floor {number_text(noise['sd_floor'] ** 2)})"
    )


def prior_text(spec: str) -> str:
    """Return a prior as text with numbers as on the rest of the screen; of a long vector, its range."""
    words = []
    for part in spec.split(","):
        name, _, text = part.partition("=")
        numbers = [float(number) for number in text.split("/")]
        if len(numbers) > MOST_OF_VECTOR:
            ends = f"{number_text(min(numbers))} to {number_text(max(numbers))}"
            words.append(f"{name} {ends} ({len(numbers)} numbers)")
        else:
            words.append(f"{name} {' / '.join(map(number_text, numbers))}")
    return ", ".join(words)


def columns_of(final: Numbers) -> dict[str, Numbers]:
    """Return {title: numbers} of the sets of rows of a fit."""
    return {"training": final} | ({"held out": final["held_out"]} if "held_out" in final else {})


def watched_text(row: dict[str, Any]) -> str:
    """Return the variances and signal-to-noise ratios of watched estimators in a row of a history."""
    parts = []
    for key, value in row.items():
        kind, _, name = key.partition(":")
        if kind == "watched_variance":
            ratio = row.get(f"watched_snr:{name}")
            parts.append(f"{name} {value:.3g}" + ("" if ratio is None else f" ({ratio:.2g})"))
    return f"watched at the end, variance of the gradient in phi (signal / noise): {', '.join(parts) or '-'}"


def ascent_text(settings: Mapping[str, Any], model: Model) -> str:
    """Return what a training followed: the objective, its draws, q, and the estimators of the gradients."""
    draws, choice = settings["draws"], find_posterior(settings["posterior"])
    q = " ".join(part for part in (choice.map, choice.family_for(model).name) if part)
    parts = [
        f"objective {settings.get('objective', 'elbo')}, {draws} draw{'s' if draws > 1 else ''} of z",
        f"q {q}",
        *(
            f"gradient in {name} by {settings[f'{name}_estimator']}"
            for name in ("phi", "theta")
            if settings.get(f"{name}_estimator")
        ),
    ]
    return "; ".join(parts)


def print_numbers(result: "FitResult", console: Console) -> None:
    """Print what a fit found, how good it is, and how it ended."""
    settings, final = result.settings, result.final

    def say(line: str, style: str = "") -> None:
        for part in wrapped_texts(line, console.width, style):
            console.print(part)

    say(f"{settings['model']} on {result.train.name}, method {settings['method']}", "bold")
    if settings.get("posterior"):
        say(ascent_text(settings, result.model))
    if result.model.gradient_by:
        say(f"log p(x, z) is a function alone: gradient by {result.model.gradient_by}")
    if isinstance(result.model, GraphModel):
        lines = graph_lines(result.model.net, result.theta)
    else:
        lines = parameter_table(result.parameters, result.train.columns).lines(console.width)
    for line in lines:
        console.print(line, highlight=False, no_wrap=True, overflow="crop", markup=False)
    if "decoder_noise" in final:
        say(noise_text(final["decoder_noise"]))
    if "classes" in final:
        pairs = zip(final["classes"], final["class_rows"], strict=True)
        counts = ", ".join(f"{name} {count}" for name, count in pairs)
        say(f"classes of the label, training rows of each: {counts}")
    if "prior" in final:
        what = "q over the parameters" if "evidence_bound" in final else "MAP"
        flat = settings["prior"] == FLAT
        prior = "a flat prior" if flat else f"the prior {prior_text(final['prior'])}"
        say(f"{what} under {prior}")
    if "evidence_bound" in final:
        say("the parameters are averaged out: rows are scored by the predictive mixture of Student t")
    columns = columns_of(final)
    console.print(number_table(columns))
    if "beta" in final:
        say(about_beta(final["beta"]))
    for remark in remarks(final.get("held_out", final)):
        say(remark)
    gap = final.get("gap")
    if gap:
        names = [name for name in ("approximation", "amortisation", "optimisation") if name in gap]
        parts = " + ".join(f"{name} {gap[name]:.3g}" for name in names)
        line = f"log p {gap['log_p']:.4f}, ELBO {gap['elbo']:.4f}, gap = {parts} nats per datum"
        say(f"exact, {gap['rows']} training rows: {line}")
    if result.settings.get("watch"):
        say(watched_text(result.history[-1]))
    if "claim" in final:
        say(final["claim"])
    say(f"stopped: {result.stopped}; {final['seconds']:.2f} s")
    for warning in result.warnings:
        say(f"warning: {warning}", "yellow")
