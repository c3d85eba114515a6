"""The terms that players minimise, as pure functions named after the mathematics.

Every function returns one value per image, [B]; the mean over the batch is the framework's. `reduction` says what
happens inside one image: "sum" adds over its dimensions, as the likelihoods of the papers do; "mean" averages them,
as much published code does, which changes the balance between terms by the ratio of their dimensions.

Sources: Kingma and Welling 2014 (arXiv:1312.6114), Goodfellow et al. 2014 (arXiv:1406.2661), Larsen et al. 2016
(arXiv:1512.09300).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

Reduction = Literal["sum", "mean"]


def gaussian_kl(mean: Tensor, log_variance: Tensor, reduction: Reduction = "sum") -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, I)) in nats, [B] from two [B, L] (Kingma and Welling, appendix B)."""
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
    return kl.sum(1) if reduction == "sum" else kl.mean(1)


def reparameterise(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """z = mean + sigma * noise, [B, L] (Kingma and Welling, section 2.4)."""
    return mean + (0.5 * log_variance).exp() * noise


def squared_error(target: Tensor, prediction: Tensor, reduction: Reduction = "sum") -> Tensor:
    """The squared error of each image, [B] from two [B, ...]: half its sum (the negative log density of N(prediction,
    I) without its constant; Larsen et al., equation 7), or its plain mean.
    """
    squares = (target - prediction).square().flatten(1)
    return 0.5 * squares.sum(1) if reduction == "sum" else squares.mean(1)


def gaussian_nll(target: Tensor, prediction: Tensor, log_sigma: Tensor | float) -> Tensor:
    """-log N(target; prediction, sigma^2 I) in nats, [B] from two [B, ...]; one scalar log sigma."""
    dimensions = target[0].numel()
    log_sigma = torch.as_tensor(log_sigma, dtype=target.dtype, device=target.device)
    constant = 0.5 * math.log(2 * math.pi)
    return squared_error(target, prediction) * (-2 * log_sigma).exp() + dimensions * (log_sigma + constant)


def cross_entropy_real(logits: Tensor, epsilon: float = 0.0) -> Tensor:
    """-log Dis(x), [B] from logits [B]; with `epsilon`, -log(Dis(x) + epsilon) as in Larsen et al.'s code."""
    return softplus(-logits) if epsilon == 0 else -(torch.sigmoid(logits) + epsilon).log()


def cross_entropy_fake(logits: Tensor, epsilon: float = 0.0) -> Tensor:
    """-log(1 - Dis(x)), [B] from logits [B]; with `epsilon`, -log(1 - Dis(x) + epsilon)."""
    return softplus(logits) if epsilon == 0 else -(torch.sigmoid(-logits) + epsilon).log()
