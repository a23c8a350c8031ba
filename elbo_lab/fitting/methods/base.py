"""The contract of a method of fitting: which models it fits, with which options, and the job that does it.

One method, one file. Another is its file and a line in `METHODS`; the command line, `elbo-lab list`, the
checkpoints and the tests of all methods follow by themselves.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from elbo_lab.datasets import Dataset
from elbo_lab.errors import bad_value
from elbo_lab.fitting.final import Numbers, numbers_of_fit, numbers_of_prior
from elbo_lab.fitting.jobs import Outcome, Rows, Task
from elbo_lab.held import Held
from elbo_lab.memory import Sizes
from elbo_lab.models import DeepGaussianLearned, GraphModel, Model
from elbo_lab.posteriors import Posterior
from elbo_lab.priors import Prior, find_prior

Settings = dict[str, Any]

NETWORK_OPTIONS: Settings = {"hidden": (200, 100), "activation": "tanh"}
# Of one network alone; None is the value of both.
ENCODER_OPTIONS: Settings = {"encoder_hidden": None, "encoder_network": None}
DECODER_OPTIONS: Settings = {"decoder_hidden": None, "decoder_network": None}
# Where one of the two may have convolutions.
CONV_OPTIONS: Settings = {"network": "mlp", "channels": None}
CHANNELS = (32, 64)
# Only of a model whose prior may be of any family.
LATENT_PRIOR_OPTION: Settings = {"latent_prior": None}
# Only of a model whose latents are vectors of categories; the usual ones are those of the model.
CATEGORIES = "categories"
# Only of a decoder that learns variances.
FLOOR_OPTION: Settings = {"floor": None}
# Only of a directed graph: its file.
GRAPH_OPTION: Settings = {"graph": None}


class Method(ABC):
    """A way to fit a model.

    Attributes
    ----------
    name, title : str
        As on the command line; in words, where these are others.
    synonyms : tuple of str
        Its names in other texts.
    summary : str
        What it does, for `elbo-lab list`.
    options : dict
        Its options with their defaults; None depends on the model. An option that it does not list is
        refused.
    has_encoder : bool
        Whether its q has a network, also where the model has none.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    synonyms: ClassVar[tuple[str, ...]] = ()
    summary: ClassVar[str]
    options: ClassVar[Settings] = {}
    has_encoder: ClassVar[bool] = False

    @abstractmethod
    def applies(self, model: Model) -> bool:
        """Whether this method fits a model."""

    def is_usual(self, model: Model) -> bool:  # noqa: ARG002
        """Whether it takes all data that the model takes, and so may be chosen without being asked for."""
        return True

    def takes_prior(self, model: Model) -> bool:  # noqa: ARG002
        """Whether this method finds the MAP of a model under a prior."""
        return "prior" in self.options

    def fitted_model(self, model: Model, settings: Settings) -> Model:  # noqa: ARG002
        """Return the model whose theta the fit returns: the one that was asked for, with most methods."""
        return model

    def options_for(self, model: Model) -> Settings:
        """Return the options with their defaults for a model."""
        networks = self.has_encoder or model.hidden is not None
        floor = isinstance(model, DeepGaussianLearned)
        graph = GRAPH_OPTION if isinstance(model, GraphModel) else {}
        decoder = model.hidden is not None and not model.all_observed
        groups = (
            (networks, NETWORK_OPTIONS),
            (self.has_encoder or decoder, CONV_OPTIONS),
            (self.has_encoder, ENCODER_OPTIONS),
            (decoder, DECODER_OPTIONS),
            (hasattr(model, "latent_prior"), LATENT_PRIOR_OPTION),
            (floor, FLOOR_OPTION),
        )
        options = self.options | graph
        for applies, group in groups:
            options |= group if applies else {}
        if hasattr(model, "n_categories"):
            options |= {CATEGORIES: model.n_categories}
        return options

    def cannot_hold(self, model: Model, held: Held) -> str:  # noqa: ARG002
        """Return why this method cannot hold these parameters of theta, or '' where it can."""
        return f"{self.name} moves all parameters"

    def completed(self, model: Model, options: Settings) -> Settings:  # noqa: ARG002
        """Return the options with the defaults that depend on the model; refuse what would fail later."""
        return options

    def posterior(self, model: Model, settings: Settings, train: Dataset) -> Posterior | None:  # noqa: ARG002
        """Return the variational posterior of a fit to training rows; None for methods without one."""
        return None

    @abstractmethod
    def check_size(self, sizes: Sizes, posterior: Posterior | None, settings: Settings) -> None:
        """Refuse a fit that needs more memory than there is.

        Parameters
        ----------
        sizes : Sizes
            Of the model and its training rows.
        posterior : Posterior or None
        settings : dict
        """

    @abstractmethod
    def task(
        self, model: Model, posterior: Posterior | None, settings: Settings, train: Dataset, threads: int
    ) -> Task:
        """Return the task of the settings (as from `settings.resolve`) on the training rows."""

    def closing(self, task: Task, outcome: Outcome, rows: Rows, threads: int) -> Numbers:
        """Return the closing numbers on the training rows and on those that were held out."""
        numbers = outcome.extra | numbers_of_fit(task, outcome, rows, threads)
        return numbers | numbers_of_prior(task, outcome, numbers)


def of_network(settings: Settings, network: str, option: str) -> Any:
    """Return an option of one network, 'encoder' or 'decoder': its own value, else that of both."""
    own = settings.get(f"{network}_{option}")
    return settings[option] if own is None else own


def is_conv(settings: Settings, network: str) -> bool:
    """Whether a network, 'encoder' or 'decoder', has convolutions."""
    return "network" in settings and of_network(settings, network, "network") == "conv"


def images_of(settings: Settings, network: str, model: Model, shape: tuple[int, int] | None) -> Settings:
    """Return {'channels', 'image_shape'} of a network with convolutions, {} of another.

    Raises
    ------
    ValueError
        If the data are no images, whose shape is then None, or the network is given more than an image.
    """
    if not is_conv(settings, network):
        return {}
    argument = "network" if settings.get(f"{network}_network") is None else f"{network}_network"
    if shape is None:
        raise bad_value(argument, "mlp, for data that are no images", "'conv'")
    if model.given_classes:
        expected = f"mlp for {model.label}, whose networks are given a label beside the image"
        raise bad_value(argument, expected, "'conv'")
    return {"channels": tuple(settings["channels"]), "image_shape": shape}


def prior_of(model: Model, settings: Settings, train: Dataset) -> Prior | None:
    """Return the prior over theta that the settings name, or None."""
    return None if settings["prior"] is None else find_prior(settings["prior"], model, train.x)
