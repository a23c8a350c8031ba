"""Networks with hand-written backward passes: multilayer perceptrons, and convolutions for images."""

from elbo_lab.networks.activations import ACTIVATIONS
from elbo_lab.networks.base import Network
from elbo_lab.networks.conditioned import ConditionedMLP
from elbo_lab.networks.convolution import Convolution
from elbo_lab.networks.convolutional import ConvDecoder, ConvEncoder
from elbo_lab.networks.mlp import MLP

__all__ = ["ACTIVATIONS", "MLP", "ConditionedMLP", "ConvDecoder", "ConvEncoder", "Convolution", "Network"]
