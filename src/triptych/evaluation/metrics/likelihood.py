"""The log-likelihood of test images under a run's decoder, by annealed importance sampling.

Source: Wu et al. 2017 (arXiv:1611.04273); see `triptych.evaluation.likelihood`. Densities are of pixels from 0 to 1,
in nats per image. The observation noise sigma is a parameter of the decoder's density that training leaves open (for a
GAN) or sets for other ends (for a VAE); so every run gets the one under which validation images have the highest
likelihood. It is found by an annealing run of the same length that ends at the smallest candidate and passes through
all larger ones. The test images play no part in the choice.

The value is a lower bound. How far it is below the truth can be measured only on images that the decoder itself has
made: the gap between annealing forwards and backwards bounds both errors there (Grosse et al.
2015). Rule: where the gap exceeds `SMALL_GAP`, a note says that differences below it mean nothing. Longer annealing
closes the gap; Wu et al. take 10,000 temperatures and 16 chains, the defaults here take less than a minute.

Annealing is too dear for all test images. The few that it is done for are drawn at random and are the same for every
framework and seed. So a comparison over seeds holds for these images: its p-value says nothing of other test images,
and more seeds do not help. How much the images matter is the value's standard error over images, which is in the score.
On MNIST the difference between two frameworks had one of 39 to 60 nats at 24 images, many times what seeds add, hence
about 24 to 37 at the default of 64; below the smallest effect of 10 it comes with 400 to 900 images.

Images of 8 bits have no density: on a grid of 256 values it can grow without limit. The reported number is inflated:
it can compare runs on the same images, but means nothing on its own. `data.dequantise` gives images a density.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor

from triptych import topics
from triptych.evaluation.likelihood import (
    Plan,
    Target,
    ais,
    by_sigma,
    effective_sample_size,
    importance_bound,
    lower_bound,
    plan,
    reverse_ais,
    simulate,
    upper_bound,
)
from triptych.evaluation.metrics import Metric, Output, Values
from triptych.evaluation.observations import Measured, Observations, Undefined, mean_of
from triptych.rng import stream
from triptych.spec import Frozen

SMALL_GAP = 10.0
"""Nats. The largest gap that Wu et al. accept for a network of theirs, GAN-50's."""


CURVE_POINTS = 40


class Options(Frozen):
    """The budget: decoder gradients are about chains * temperatures * leapfrog for every image.

    Sigma is chosen on `validation_images` between `smallest_sigma` and `largest_sigma` unless `sigma` fixes it; the
    gap is measured on `simulated_images`, forwards and backwards; `importance_samples` are drawn from an encoder.
    """

    images: int = Field(default=64, ge=2)
    validation_images: int = Field(default=12, ge=1)
    simulated_images: int = Field(default=8, ge=2)
    chains: int = Field(default=2, ge=1)
    temperatures: int = Field(default=160, ge=4)
    leapfrog: int = Field(default=4, ge=1)
    sigma: float | None = Field(default=None, gt=0)
    smallest_sigma: float = Field(default=0.03, gt=0)
    largest_sigma: float = Field(default=0.5, gt=0)
    importance_samples: int = Field(default=500, ge=1)


@dataclass(frozen=True)
class _Bench:
    """The decoder of one run with its images and streams, and the budget."""

    observed: Observations
    options: Options

    def target(self, images: Tensor, sigma: float) -> Target:
        """Images [N, C, H, W] in [-1, 1] as a target on the scale from 0 to 1."""
        decode = self.observed.decoder()
        return Target(
            decode=lambda z: (decode(z) + 1) / 2, images=(images + 1) / 2, latent=self.observed.latent, sigma=sigma
        )

    def draw(self, purpose: str) -> torch.Generator:
        return stream(self.observed.seed, f"likelihood/{purpose}")

    def plan(self, target: Target, purpose: str) -> Plan:
        return plan(target, self.options.temperatures, self.options.leapfrog, self.draw(f"{purpose}/plan"))

    def weights(self, target: Target) -> Tensor:
        return ais(target, self.plan(target, "test"), self.options.chains, self.draw("test"))

    def by_sigma(self) -> tuple[tuple[float, float], ...]:
        """The mean bound of validation images at every sigma that annealing passes through, the largest first."""
        o = self.options
        if o.smallest_sigma >= o.largest_sigma:
            raise ValueError("smallest_sigma must be below largest_sigma")
        target = self.target(self.observed.validation_images(o.validation_images)[0], o.smallest_sigma)
        return tuple(by_sigma(target, self.plan(target, "sigma"), o.chains, self.draw("sigma"), o.largest_sigma))

    def gap(self, target: Target) -> Tensor:
        """Upper less lower bounds of images that the decoder itself makes, [simulated_images]."""
        simulated, latents = simulate(target, self.options.simulated_images, self.draw("simulated"))
        steps, chains = self.plan(simulated, "simulated"), self.options.chains
        lower = lower_bound(ais(simulated, steps, chains, self.draw("forward")))
        return upper_bound(reverse_ais(simulated, steps, latents, chains, self.draw("reverse"))) - lower

    def importance_bound(self, target: Target, images: Tensor) -> Measured | Undefined:
        """The importance-weighted bound of the target's images, if there is an encoder."""
        if self.observed.posterior is None:
            return Undefined(self.observed.lacks.get("posterior", "no encoder"))
        mean, log_variance = self.observed.posterior_of(images)
        samples = self.options.importance_samples
        bounds = importance_bound(target, mean, log_variance, samples, self.draw("importance"))
        return mean_of(bounds, note=f"{samples} samples per image")


def _compute(observed: Observations, options: Options) -> Values:
    bench = _Bench(observed, options)
    if reason := observed.lacks.get("likelihood"):
        raise ValueError(reason)
    observed.decoder()  # says so where there is none
    curve = () if options.sigma else bench.by_sigma()
    best = max(curve, key=lambda point: point[1], default=(options.sigma or 0.0, 0.0))
    sigma = best[0]
    chosen_on = 0 if options.sigma else len(observed.validation_images(options.validation_images)[0])
    images = observed.real[observed.some(options.images)]
    target = bench.target(images, sigma)
    weights = bench.weights(target)
    gap = mean_of(bench.gap(target), note=f"{options.simulated_images} simulated images")
    bound = mean_of(lower_bound(weights), curve=_thinned(curve, best))
    return {
        "log_likelihood": bound._replace(note=_note(options, images, sigma, gap.value, bound.error)),
        "ais_gap": gap,
        "ais_ess": mean_of(effective_sample_size(weights), note=f"of {options.chains} chains"),
        "observation_sigma": Measured(sigma, note=_choice(options, sigma), n=None if options.sigma else chosen_on),
        "importance_bound": bench.importance_bound(target, images),
    }


def _thinned(curve: tuple[tuple[float, float], ...], best: tuple[float, float]) -> tuple[tuple[float, float], ...]:
    """About `CURVE_POINTS` of the points, the best among them."""
    every = max(1, len(curve) // CURVE_POINTS)
    return tuple(point for index, point in enumerate(curve) if index % every == 0 or point == best)


def _note(options: Options, images: Tensor, sigma: float, gap: float, error: float | None) -> str:
    """What comes with the bound: how it was made, and whether it can be trusted."""
    parts = [
        f"{len(images)} images, {options.chains} chains, {options.temperatures} temperatures, "
        f"{options.leapfrog} leapfrog steps; sigma {sigma:.3g}; gap {gap:.1f} on simulated images"
    ]
    if error is not None:
        parts.append(f"other images would change it by {error:.0f} nats (SD): p-values hold for these images")
    if gap > SMALL_GAP:
        parts.append(f"the annealing is short: differences below {gap:.0f} nats mean nothing")
    levels = (images.double() + 1) * 127.5
    if torch.allclose(levels, levels.round(), rtol=0, atol=1e-3):
        parts.append("pixels of 8 bits, whose density is inflated: compare runs on the same images only")
    return "; ".join(parts)


def _choice(options: Options, sigma: float) -> str:
    """How sigma came about, with a warning when the choice fell on the edge of what was offered."""
    if options.sigma:
        return "given, not chosen"
    low, high = options.smallest_sigma, options.largest_sigma
    if sigma < 1.02 * low or sigma > 0.9 * high:
        return f"at the edge of the candidates, {low:g} to {high:g}"
    return "chosen on validation images"


METRIC = Metric(
    name="likelihood",
    outputs=(
        Output(
            metric="log_likelihood",
            label="Log-likelihood (lower bound)",
            unit="nats",
            better="higher",
            smallest_effect=SMALL_GAP,
            role="primary",
            about="A lower bound, by annealed importance sampling, on the mean log density of a few test images. They "
            "are the same at every seed, so p-values hold for these images only.",
            topic=topics.LIKELIHOOD,
            axis="standard deviation of the observation noise",
            gap="ais_gap",
        ),
        Output(
            metric="ais_gap",
            label="Gap of the bounds",
            unit="nats",
            better="none",
            minimum=0.0,
            smallest_effect=SMALL_GAP,
            role="secondary",
            about="How far forward and backward annealing lie apart on images that the decoder made itself.",
            topic=topics.LIKELIHOOD,
        ),
        Output(
            metric="ais_ess",
            label="Effective chains",
            unit="chains",
            better="none",
            minimum=0.0,
            smallest_effect=1.0,
            role="secondary",
            about="The effective sample size of the annealing weights, from 1 to the number of chains.",
            topic=topics.LIKELIHOOD,
        ),
        Output(
            metric="observation_sigma",
            label="Observation sigma",
            unit="grey range",
            better="none",
            scale="factor",
            smallest_effect=1.06,  # 0.5 dB of the noise's power
            role="secondary",
            about="The standard deviation of the observation noise under which validation images are likeliest.",
            topic=topics.LIKELIHOOD,
        ),
        Output(
            metric="importance_bound",
            label="Importance-weighted bound",
            unit="nats",
            better="higher",
            smallest_effect=SMALL_GAP,
            role="secondary",
            about="A lower bound on the mean log density of test images, with latents drawn from the encoder.",
            topic=topics.LIKELIHOOD,
        ),
    ),
    compute=_compute,
    grows="fixed",
    options=Options,
    source="Wu et al. 2017, arXiv:1611.04273; Grosse et al. 2015, arXiv:1511.02543; Burda et al. 2016",
    blind_spots="A blurry decoder that covers every image beats one whose samples look real but which leaves some "
    "images out.",
)
