"""The log-likelihood of a decoder under Gaussian observation noise, bounded from both sides.

A decoder alone gives points, not a density; with p(z) = N(0, I) and p(x|z) = N(dec(z), sigma^2 I) it has one (Wu et al.
2017, arXiv:1611.04273, section 3). Annealed importance sampling (Neal 2001) walks from prior to posterior through
p(z) p(x|z)^beta with Hamiltonian transitions; the mean of its weights is unbiased for p(x), so that its logarithm is a
stochastic lower bound. Run backwards from the latents that made a simulated image it is a stochastic upper bound
(bidirectional Monte Carlo; Grosse et al. 2015, arXiv:1511.02543), and the gap between the two bounds both errors.

As in the paper: one trajectory a temperature and step sizes for an acceptance of 0.65. Deviations: few leapfrog steps
at many temperatures, and these by a power law in place of a sigmoid, which close the gap at equal cost
(docs/results/wu2017.md). Step sizes are per image, and a shorter pilot run finds them, where the authors adapt along
the way: a transition that depends on the chain's own past is not quite reversible, and the bounds would not quite be
bounds. Each trajectory's step is jittered by 20 % against periodic orbits (Neal 2010, section 3.2).

Images are float tensors [N, ...] in any one scale, and densities are on that scale; log-weights are float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

Decoder = Callable[[Tensor], Tensor]
"""Latents [B, L] to the means [B, ...] of images; differentiable."""

ACCEPTANCE, FIRST_STEP, STEPS = 0.65, 0.2, (1e-4, 0.5)
"""The acceptance aimed at, the pilot's first step size, and the range of step sizes (the authors' code)."""
PILOT_CHAINS, PILOT_SHARE, PILOT_GAIN = 2, 4, 0.4
"""The pilot's chains, how many times fewer temperatures it has, and how far acceptance moves the log step."""


class Point(NamedTuple):
    """Where C chains for each of N images stand."""

    latents: Tensor  # [C, N, L]
    log_likelihood: Tensor  # log p(x|z), [C, N] in float64
    gradient: Tensor  # of log p(x|z) by z, [C, N, L]


@dataclass(frozen=True)
class Target:
    """The joint density of images [N, ...] and their latents; decoded `rows` at a time."""

    decode: Decoder
    images: Tensor
    latent: int
    sigma: float
    rows: int = 500

    @property
    def log_constant(self) -> float:
        """log p(x|z) of an image that is decoded exactly."""
        return -0.5 * self.images[0].numel() * math.log(2 * math.pi * self.sigma**2)

    def prior(self, chains: int, generator: torch.Generator) -> Tensor:
        """Latents [chains, N, L] from the prior."""
        return torch.randn(chains, len(self.images), self.latent, generator=generator, dtype=self.images.dtype)

    def at(self, latents: Tensor) -> Point:
        """The likelihood of latents [C, N, L] and its gradient, by one forward and one backward call a row."""
        errors, gradients = [], []
        flat = latents.reshape(-1, self.latent)
        for rows in torch.arange(len(flat)).split(self.rows):
            z = flat[rows].requires_grad_()
            with torch.enable_grad():
                means = self.decode(z)
            residuals = self.images[rows % len(self.images)] - means.detach()
            gradients.append(torch.autograd.grad(means, z, residuals / self.sigma**2)[0])
            errors.append(residuals.flatten(1).square().sum(1))
        log_likelihood = self.log_constant - torch.cat(errors).double() / (2 * self.sigma**2)
        return Point(latents, log_likelihood.view(latents.shape[:2]), torch.cat(gradients).view(latents.shape))


class Plan(NamedTuple):
    """How to anneal: the inverse temperatures [T] from 0 to 1, a step size for each but the ends, leapfrog steps."""

    betas: Tensor
    steps: Tensor  # [T - 2, N]
    leapfrog: int


def schedule(temperatures: int) -> Tensor:
    """The inverse temperatures [T], the fourth powers of evenly spaced numbers from 0 to 1, in float64.

    A weight's variance at beta grows as the square of the relative step, as the log likelihood of a Gaussian scatters
    by 1 / beta: steps should be a share of beta.
    """
    return torch.linspace(0, 1, temperatures, dtype=torch.float64) ** 4


def leapfrog(target: Target, point: Point, momentum: Tensor, beta: float, step: Tensor, count: int) -> tuple:
    """`count` leapfrog steps of sizes `step` [C, N, 1] on p(z) p(x|z)^beta: the point and momentum where they end.

    The gradient where they start is known, so that each step takes one new one.
    """
    momentum = momentum + 0.5 * step * (beta * point.gradient - point.latents)
    for left in reversed(range(count)):
        point = target.at(point.latents + step * momentum)
        momentum = momentum + (1.0 if left else 0.5) * step * (beta * point.gradient - point.latents)
    return point, momentum


def energy(point: Point, momentum: Tensor, beta: float) -> Tensor:
    """-log p(z) - beta log p(x|z) plus the kinetic energy, without constants: [C, N] in float64."""
    return 0.5 * (point.latents.double().square() + momentum.double().square()).sum(2) - beta * point.log_likelihood


def move(
    target: Target, point: Point, beta: float, step: Tensor, count: int, generator: torch.Generator
) -> tuple[Point, Tensor]:
    """One Hamiltonian transition with step sizes [N], which leaves p(z) p(x|z)^beta invariant.

    Returns the new point and the acceptance probabilities [C, N].
    """
    like, shape = point.latents.dtype, point.log_likelihood.shape
    momentum = torch.randn(point.latents.shape, generator=generator, dtype=like)
    jitter = 0.8 + 0.4 * torch.rand(shape, generator=generator, dtype=like)
    there, last = leapfrog(target, point, momentum, beta, (jitter * step.to(like))[..., None], count)
    change = energy(there, last, beta) - energy(point, momentum, beta)
    # A trajectory that leaves the numbers is refused.
    probability = (-change.nan_to_num(nan=math.inf)).clamp(max=0).exp()
    accepted = torch.rand(shape, generator=generator, dtype=torch.float64) < probability
    wide = accepted[..., None]
    return Point(
        torch.where(wide, there.latents, point.latents),
        torch.where(accepted, there.log_likelihood, point.log_likelihood),
        torch.where(wide, there.gradient, point.gradient),
    ), probability


def plan(target: Target, temperatures: int, leapfrog: int, generator: torch.Generator) -> Plan:
    """Step sizes for every temperature and image, found by a pilot run of few chains and fewer temperatures.

    They depend on the images but on no chain of a later run, whose weights therefore stay unbiased.
    """
    betas = schedule(temperatures)
    log_step = torch.full((len(target.images),), math.log(FIRST_STEP), dtype=torch.float64)
    point, found = target.at(target.prior(PILOT_CHAINS, generator)), []
    for beta in schedule(max(4, temperatures // PILOT_SHARE))[1:-1].tolist():
        point, probability = move(target, point, beta, log_step.exp(), leapfrog, generator)
        log_step = log_step + PILOT_GAIN * (probability.mean(0) - ACCEPTANCE)
        log_step = log_step.clamp(*map(math.log, STEPS))
        found.append(log_step)
    coarse = torch.stack(found, 1)[None]
    steps = F.interpolate(coarse, max(0, temperatures - 2), mode="linear", align_corners=True)[0].T.exp()
    return Plan(betas, steps, leapfrog)


def anneal(target: Target, plan: Plan, chains: int, generator: torch.Generator) -> Iterator[tuple[float, Tensor]]:
    """Forward annealing: each inverse temperature after 0 with the log-weights [chains, N] that lead to it.

    The weights at beta are unbiased for the integral of p(z) p(x|z)^beta.
    """
    point = target.at(target.prior(chains, generator))
    weights = torch.zeros_like(point.log_likelihood)
    betas = plan.betas.tolist()
    for index, beta in enumerate(betas[1:]):
        weights = weights + (beta - betas[index]) * point.log_likelihood
        yield beta, weights
        if beta < 1:
            point, _ = move(target, point, beta, plan.steps[index], plan.leapfrog, generator)


def ais(target: Target, plan: Plan, chains: int, generator: torch.Generator) -> Tensor:
    """Log-weights [chains, N], each unbiased for p(x) before the logarithm."""
    *_, (_, weights) = anneal(target, plan, chains, generator)
    return weights


def reverse_ais(target: Target, plan: Plan, latents: Tensor, chains: int, generator: torch.Generator) -> Tensor:
    """Log-weights [chains, N] of annealing backwards from exact posterior samples [N, L], one for each image.

    exp(-weight) is unbiased for 1 / p(x), and stays so as a mean over chains, though all start at one sample.
    """
    point = target.at(latents.expand(chains, -1, -1).contiguous())
    weights = torch.zeros_like(point.log_likelihood)
    betas = plan.betas.tolist()
    for index in reversed(range(len(betas) - 1)):
        weights = weights + (betas[index + 1] - betas[index]) * point.log_likelihood
        if index:
            point, _ = move(target, point, betas[index], plan.steps[index - 1], plan.leapfrog, generator)
    return weights


def log_mean_exp(values: Tensor) -> Tensor:
    """The logarithm of the mean over chains: [N] from [C, N]."""
    return values.logsumexp(0) - math.log(len(values))


def lower_bound(weights: Tensor) -> Tensor:
    """The stochastic lower bound of each image, [N] in nats: above log p(x) + b with probability below exp(-b)."""
    return log_mean_exp(weights)


def upper_bound(reverse_weights: Tensor) -> Tensor:
    """The stochastic upper bound of each simulated image, [N] in nats."""
    return -log_mean_exp(-reverse_weights)


def effective_sample_size(weights: Tensor) -> Tensor:
    """How many equal weights the chains of each image are worth, [N] from 1 to C (Kong 1992)."""
    return (2 * weights.logsumexp(0) - (2 * weights).logsumexp(0)).exp()


def simulate(target: Target, count: int, generator: torch.Generator) -> tuple[Target, Tensor]:
    """`count` images drawn from the decoder itself as a target, with the latents [count, L] that made them."""
    latents = torch.randn(count, target.latent, generator=generator, dtype=target.images.dtype)
    with torch.no_grad():
        means = torch.cat([target.decode(part) for part in latents.split(target.rows)])
    images = means + target.sigma * torch.randn(means.shape, generator=generator, dtype=means.dtype)
    return Target(
        decode=target.decode, images=images, latent=target.latent, sigma=target.sigma, rows=target.rows
    ), latents


def by_sigma(
    target: Target, plan: Plan, chains: int, generator: torch.Generator, largest: float
) -> list[tuple[float, float]]:
    """(sigma, mean lower bound over the images) for every sigma from `largest` down to the target's own.

    One run gives them all: N(x; m, s^2)^beta is N(x; m, s^2 / beta) but for a constant, so that annealing passes
    through every larger sigma on its way.
    """
    dimensions, constant, curve = target.images[0].numel(), target.log_constant, []
    for beta, weights in anneal(target, plan, chains, generator):
        sigma = target.sigma / math.sqrt(beta)
        if sigma <= largest:
            normaliser = -0.5 * dimensions * math.log(2 * math.pi * sigma**2) - beta * constant
            curve.append((sigma, float(lower_bound(weights).mean()) + normaliser))
    return curve


def importance_bound(
    target: Target, mean: Tensor, log_variance: Tensor, samples: int, generator: torch.Generator
) -> Tensor:
    """The importance-weighted lower bound [N] with `samples` latents per image from N(mean, exp(log_variance)).

    `mean` and `log_variance` [N, L] are the encoder's (Burda et al. 2016, arXiv:1509.00519, equation 8).
    """
    deviation, found = (0.5 * log_variance).exp(), []
    each = max(1, target.rows // len(mean))
    for start in range(0, samples, each):
        noise = torch.randn(min(each, samples - start), *mean.shape, generator=generator, dtype=mean.dtype)
        latents = mean + deviation * noise
        with torch.no_grad():
            means = target.decode(latents.flatten(0, 1)).view(len(noise), *target.images.shape)
        errors = (target.images - means).flatten(2).square().sum(2).double()
        # log p(z) - log q(z|x): the constants in 2 pi cancel
        ratio = (0.5 * (noise.double().square() - latents.double().square()) + deviation.double().log()).sum(2)
        found.append(target.log_constant - errors / (2 * target.sigma**2) + ratio)
    return log_mean_exp(torch.cat(found))


def parzen(images: Tensor, samples: Tensor, sigmas: list[float]) -> Tensor:
    """The log density [len(sigmas), N] of images under a Gaussian kernel around each sample (Breuleux et al. 2011).

    It is likelihood weighting: a lower bound too, and a poor one in many dimensions.
    """
    found = []
    for x in (part.flatten(1).double() for part in images.split(200)):
        total = torch.full((len(sigmas), len(x)), -math.inf, dtype=torch.float64)
        for part in samples.split(1000):  # so that no copy of all samples is made
            squares = torch.cdist(x, part.flatten(1).double(), compute_mode="use_mm_for_euclid_dist").square()
            more = torch.stack([(-squares / (2 * sigma**2)).logsumexp(1) for sigma in sigmas])
            total = torch.logaddexp(total, more)
        found.append(total)
    dimensions = images[0].numel()
    constant = torch.tensor([-0.5 * dimensions * math.log(2 * math.pi * sigma**2) for sigma in sigmas])
    return torch.cat(found, 1) + constant.double()[:, None] - math.log(len(samples))
