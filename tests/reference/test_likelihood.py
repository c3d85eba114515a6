"""Likelihoods against linear decoders, where p(x) = N(x; b, W W' + sigma^2 I) is known exactly.

The worked values: W = [[1,0],[1,1],[0,2]], b = (0.5,-0.5,0), sigma^2 = 0.25, x = (1,0,2) has C = W W' + I/4, of det
173/64, and (x-b)' C^-1 (x-b) = 438/173; W = sigma = 1 gives N(x; 0, 2).
"""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from triptych.data.dataset import scale
from triptych.evaluation import likelihood
from triptych.evaluation.features import mnist_extractor
from triptych.evaluation.likelihood import Target
from triptych.evaluation.metrics import Values
from triptych.evaluation.metrics import likelihood as likelihood_metric
from triptych.evaluation.metrics import parzen as parzen_metric
from triptych.evaluation.observations import Measured, Observations, Undefined
from triptych.rng import stream

pytestmark = pytest.mark.slow

W = torch.tensor([[1.0, 0], [1, 1], [0, 2]]).double()
B = torch.tensor([0.5, -0.5, 0]).double()
X = torch.tensor([[1.0, 0, 2]]).double()
EXACT = -4.51991580894039


def known() -> Target:
    """The worked example."""
    return Target(decode=lambda z: z @ W.T + B, images=X, latent=2, sigma=0.5)


def unit(x: float) -> Target:
    """W = sigma = 1 at one pixel."""
    return Target(decode=lambda z: z, images=torch.tensor([[x]]).double(), latent=1, sigma=1.0)


def cases(count: int, pixels: int, latent: int, sigma: float, seed: int) -> tuple[Target, Tensor, Tensor]:
    """As many decoders of their own, an image drawn from each with its latents, and the exact log p of each.

    Chains lie before images in a batch, so that one product decodes all.
    """
    generator = stream(seed, "cases")
    weights = torch.randn(count, pixels, latent, generator=generator).double()
    shift = torch.randn(count, pixels, generator=generator).double()
    z = torch.randn(count, latent, generator=generator).double()

    def decode(latents: Tensor) -> Tensor:
        each = latents.view(-1, count, latent)
        return (torch.einsum("npl,cnl->cnp", weights, each) + shift).flatten(0, 1)

    x = decode(z) + sigma * torch.randn(count, pixels, generator=generator).double()
    covariance = weights @ weights.mT + sigma**2 * torch.eye(pixels).double()
    exact = MultivariateNormal(shift, covariance).log_prob(x)
    return Target(decode=decode, images=x, latent=latent, sigma=sigma, rows=10**9), z, exact


def test_ais_finds_the_worked_values():
    for target, exact in ((known(), EXACT), (unit(0.0), -1.26551212348465), (unit(1.0), -1.51551212348465)):
        plan = likelihood.plan(target, 200, 5, stream(0, "plan"))
        weights = likelihood.ais(target, plan, 400, stream(0, "ais"))
        # 400 chains whose weights scatter by about 0.1: a standard error of 0.005
        assert float(likelihood.lower_bound(weights)) == pytest.approx(exact, abs=0.03)


@pytest.mark.parametrize(
    "temperatures, chains, tolerance, typical_gap",
    [(12, 16, math.log(200), (1, 20)), (200, 32, 1.0, (0.0, 0.2))],
)
def test_ais_and_reverse_ais_bracket_the_exact_log_likelihood_of_linear_decoders(
    temperatures, chains, tolerance, typical_gap
):
    """In at least 99 % of 250 cases.

    The bounds are stochastic: the mean of unbiased weights exceeds its expectation e^b times with a probability below
    e^-b, so that log 200 = 5.3 nats of tolerance on either side give 99 % however hasty the annealing. With patient
    annealing and 32 chains one nat suffices.
    """
    target, z, exact = cases(250, 6, 3, 0.4, seed=1)
    plan = likelihood.plan(target, temperatures, 4, stream(1, "plan"))
    lower = likelihood.lower_bound(likelihood.ais(target, plan, chains, stream(1, "forward")))
    upper = likelihood.upper_bound(likelihood.reverse_ais(target, plan, z, chains, stream(1, "reverse")))
    bracketed = (lower - tolerance <= exact) & (exact <= upper + tolerance)
    assert bracketed.double().mean() >= 0.99
    assert typical_gap[0] <= float((upper - lower).median()) <= typical_gap[1]
    assert (lower - exact).mean() < 0 < (upper - exact).mean()


def test_forward_weights_are_unbiased_for_p_and_reverse_ones_for_its_inverse():
    """Of 20,000 chains of three transitions each: single weights are far off, and their mean is not."""
    one, z, exact = cases(1, 2, 1, 0.6, seed=3)
    plan = likelihood.plan(one, 5, 3, stream(3, "plan"))
    forward = (likelihood.ais(one, plan, 20_000, stream(3, "forward")) - exact).exp()
    assert forward.std() > 0.3
    assert float(forward.mean()) == pytest.approx(1, abs=4 * float(forward.std()) / 20_000**0.5)
    # 1 / p(x) needs a posterior sample of its own for each chain; a linear decoder's posterior is Gaussian
    jacobian = torch.autograd.functional.jacobian(one.decode, z).view(2, 1)
    variance = 1 / (1 + jacobian.square().sum() / 0.36)
    mean = variance * (jacobian.T @ (one.images - one.decode(0 * z)).T) / 0.36
    latents = mean + variance.sqrt() * torch.randn(20_000, 1, generator=stream(3, "posterior")).double()
    many = Target(decode=one.decode, images=one.images.expand(20_000, -1), latent=1, sigma=0.6, rows=10**9)
    spread = plan._replace(steps=plan.steps.expand(-1, 20_000))
    backward = (exact - likelihood.reverse_ais(many, spread, latents, 1, stream(3, "reverse"))).exp()
    assert backward.std() > 0.3
    assert float(backward.mean()) == pytest.approx(1, abs=4 * float(backward.std()) / 20_000**0.5)


def test_the_exact_posterior_as_proposal_makes_every_importance_weight_the_likelihood():
    target = known()
    precision = W.T @ W / 0.25 + torch.eye(2).double()
    covariance = precision.inverse()
    mean = (covariance @ W.T @ (X - B).T / 0.25).T
    # The encoder's posterior is diagonal: turn the latents into the posterior's axes, which leaves the prior as it is
    values, axes = torch.linalg.eigh(covariance)
    turned = Target(decode=lambda z: z @ axes.T @ W.T + B, images=X, latent=2, sigma=0.5)
    for samples in (1, 7):
        bound = likelihood.importance_bound(turned, mean @ axes, values.log()[None], samples, stream(0, "iwae"))
        assert float(bound) == pytest.approx(EXACT, abs=1e-12)
    assert likelihood.importance_bound(target, mean, values.log()[None], 7, stream(0, "iwae")) != pytest.approx(EXACT)


def test_the_elbo_of_one_pixel_and_the_rise_of_the_bound_with_more_samples():
    """With q = prior the mean of one-sample bounds at x = 1 is the ELBO, -1.91893853320467."""
    one, zeros = unit(1.0), torch.zeros(20_000, 1).double()
    many = Target(decode=one.decode, images=one.images.expand(20_000, 1), latent=1, sigma=1.0)
    bounds = {
        k: likelihood.importance_bound(many, zeros, zeros, k, stream(0, "elbo")).mean().item() for k in (1, 2, 8, 64)
    }
    # log p(x|z) has a standard deviation of sqrt(1.5): 0.009 over 20,000
    assert bounds[1] == pytest.approx(-1.91893853320467, abs=0.035)
    assert bounds[1] < bounds[2] < bounds[8] < bounds[64] < -1.5155 + 0.01


def test_leapfrog_goes_back_where_it_came_from_and_its_energy_error_falls_with_the_square_of_the_step():
    target, z, _ = cases(5, 6, 3, 0.5, seed=2)
    start = target.at(z[None])
    momentum = torch.randn(1, 5, 3, generator=stream(2, "momentum")).double()

    def run(size: float, count: int) -> tuple:
        return likelihood.leapfrog(target, start, momentum, 0.7, torch.full((1, 5, 1), size).double(), count)

    there, last = run(0.02, 20)
    assert (there.latents - z).abs().max() > 0.1
    back, _ = likelihood.leapfrog(target, there, -last, 0.7, torch.full((1, 5, 1), 0.02).double(), 20)
    assert torch.allclose(back.latents, z[None], atol=1e-12)

    def drift(size: float, count: int) -> float:
        there, last = run(size, count)
        change = likelihood.energy(there, last, 0.7) - likelihood.energy(start, momentum, 0.7)
        return float(change.abs().max())

    assert drift(0.01, 40) < 0.3 * drift(0.02, 20) < 0.3 * 0.3 * drift(0.04, 10)


def test_a_transition_leaves_the_tempered_density_as_it_is():
    """Started in N(m, v) of one pixel at beta = 0.5, a hundred thousand chains keep its mean and variance."""
    target, beta = unit(1.0), 0.5
    mean, variance = beta / (1 + beta), 1 / (1 + beta)
    start = mean + variance**0.5 * torch.randn(100_000, 1, 1, generator=stream(0, "start")).double()
    # A long step, so that a transition without a right refusal would be seen
    point, probability = likelihood.move(
        target, target.at(start), beta, torch.tensor([1.5]).double(), 2, stream(0, "move")
    )
    assert 0.3 < probability.mean() < 0.95 and (point.latents != start).double().mean() > 0.3
    assert float(point.latents.mean()) == pytest.approx(mean, abs=4 * (variance / 1e5) ** 0.5)
    assert float(point.latents.var()) == pytest.approx(variance, abs=4 * variance * (2 / 1e5) ** 0.5)


def test_one_run_to_the_smallest_sigma_gives_the_bound_at_every_larger_one():
    target = known()
    plan = likelihood.plan(target, 300, 5, stream(0, "plan"))
    curve = likelihood.by_sigma(target, plan, 200, stream(0, "sigma"), largest=2.0)
    assert curve[-1][0] == 0.5 and curve[0][0] <= 2.0 and [s for s, _ in curve] == sorted((s for s, _ in curve))[::-1]
    for sigma, bound in curve[::40]:
        exact = MultivariateNormal(B, W @ W.T + sigma**2 * torch.eye(3).double()).log_prob(X[0])
        assert bound == pytest.approx(float(exact), abs=0.1)


def test_the_effective_sample_size_lies_between_one_and_the_chains():
    equal = torch.full((8, 1), -1e4).double()
    assert likelihood.effective_sample_size(equal).tolist() == pytest.approx([8])
    single = torch.tensor([[0.0]] + [[-1e3]] * 7).double()
    assert likelihood.effective_sample_size(single).tolist() == pytest.approx([1])
    halves = torch.tensor([[0.0, 0], [0, math.log(3)]]).double()
    assert likelihood.effective_sample_size(halves).tolist() == pytest.approx([2, 16 / 10])


def test_simulated_images_are_the_decoders_own_and_seeds_are_obeyed():
    target = Target(decode=lambda z: z @ W.T + B, images=X, latent=2, sigma=0.5, rows=300)
    drawn, latents = likelihood.simulate(target, 20_000, stream(0, "simulate"))
    assert torch.equal(drawn.images, likelihood.simulate(target, 20_000, stream(0, "simulate"))[0].images)
    residuals = drawn.images - (latents @ W.T + B)
    assert float(residuals.std()) == pytest.approx(0.5, rel=0.02) and abs(float(residuals.mean())) < 0.01
    assert torch.allclose(drawn.images.T.cov(), W @ W.T + 0.25 * torch.eye(3).double(), atol=0.15)

    plan = likelihood.plan(target, 20, 3, stream(0, "plan"))
    assert torch.equal(plan.steps, likelihood.plan(target, 20, 3, stream(0, "plan")).steps)
    runs = [likelihood.ais(target, plan, 4, stream(seed, "ais")) for seed in (0, 0, 1)]
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])


def test_rows_at_a_time_change_nothing_and_images_keep_their_chains():
    images = torch.randn(3, 3, generator=stream(0, "images")).double()
    latents = torch.randn(5, 3, 2, generator=stream(0, "latents")).double()
    whole, parts = (
        Target(decode=lambda z: z @ W.T + B, images=images, latent=2, sigma=0.5, rows=rows).at(latents)
        for rows in (100, 4)
    )
    assert torch.allclose(whole.log_likelihood, parts.log_likelihood, atol=1e-12)
    assert torch.allclose(whole.gradient, parts.gradient, atol=1e-12)
    by_hand = MultivariateNormal(latents @ W.T + B, 0.25 * torch.eye(3).double()).log_prob(images)
    assert torch.allclose(whole.log_likelihood, by_hand, atol=1e-12)


def test_the_parzen_density_is_that_of_a_mixture_of_gaussians():
    generator = stream(0, "parzen")
    samples = torch.randn(50, 1, 2, 2, generator=generator)
    images = torch.randn(300, 1, 2, 2, generator=generator)
    found = likelihood.parzen(images, samples, [0.3, 1.0])
    for row, sigma in zip(found, (0.3, 1.0), strict=True):
        kernel = MultivariateNormal(samples.flatten(1).double(), sigma**2 * torch.eye(4).double())
        exact = kernel.log_prob(images.flatten(1).double()[:, None]).logsumexp(1) - math.log(50)
        assert torch.allclose(row, exact, atol=1e-9)


# --- the metric ---

BUDGET = likelihood_metric.Options(
    images=40, validation_images=40, simulated_images=20, chains=8, temperatures=120, leapfrog=4, smallest_sigma=0.04
)


def observe(noise: float, **given: object) -> Observations:
    """A linear decoder of 2 x 2 pixels and test images that are its own, with that much noise on pixels from 0 to 1."""
    shape = 0.3 * torch.randn(2, 4, generator=stream(5, "decoder"))

    def decode(latents: Tensor) -> Tensor:
        return (latents @ shape).view(-1, 1, 2, 2)

    def made(n: int, purpose: str) -> Tensor:
        clean = decode(torch.randn(n, 2, generator=stream(5, f"{purpose}/latents")))
        return clean + 2 * noise * torch.randn(clean.shape, generator=stream(5, purpose))

    own: dict[str, Any] = {
        "decode": decode,
        "latent": 2,
        "validation": lambda most: (made(most, "validation"), None),
        **given,
    }
    return Observations(real=made(60, "test"), sample=lambda n: made(n, "samples"), extractor=mnist_extractor(), **own)


def exact_mean(observed: Observations, sigma: float) -> float:
    """The mean of `exact`."""
    return float(exact(observed, sigma).mean())


def exact(observed: Observations, sigma: float) -> Tensor:
    """The exact log densities, on pixels from 0 to 1, of the images that the metric looks at."""
    assert observed.decode is not None
    images = (observed.real[observed.some(BUDGET.images)].flatten(1).double() + 1) / 2
    weights = observed.decode(torch.eye(2)).view(2, 4).T.double() / 2
    covariance = weights @ weights.T + sigma**2 * torch.eye(4).double()
    return MultivariateNormal(torch.full((4,), 0.5).double(), covariance).log_prob(images)


def measured(values: Values, name: str) -> Measured:
    value = values[name]
    assert isinstance(value, Measured)
    return value


def test_the_metric_finds_the_noise_and_the_exact_log_likelihood_on_pixels_from_0_to_1():
    observed = observe(noise=0.1)
    values = likelihood_metric.METRIC.compute(observed, BUDGET)
    sigma, bound = measured(values, "observation_sigma").value, measured(values, "log_likelihood")
    assert sigma == pytest.approx(0.1, rel=0.25)
    assert bound.value == pytest.approx(exact_mean(observed, sigma), abs=0.1)
    assert bound.error == pytest.approx(float(exact(observed, sigma).std()) / BUDGET.images**0.5, rel=0.1)
    assert f"other images would change it by {bound.error:.0f} nats (SD): p-values hold for these images" in bound.note
    assert max(bound.curve, key=lambda point: point[1])[0] == sigma
    assert -0.1 < measured(values, "ais_gap").value < 1 <= measured(values, "ais_ess").value <= 8
    assert values["importance_bound"] == Undefined("no encoder")
    assert "mean nothing" not in bound.note and "8 bits" not in bound.note
    again = likelihood_metric.METRIC.compute(observed, BUDGET)
    assert again == values


def test_an_encoder_adds_its_importance_bound_and_a_given_sigma_is_kept():
    def posterior(images: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        return torch.zeros(len(images), 2), torch.zeros(len(images), 2)

    observed = observe(noise=0.1, posterior=posterior)
    values = likelihood_metric.METRIC.compute(observed, BUDGET.model_copy(update={"sigma": 0.3}))
    assert measured(values, "observation_sigma").value == 0.3 and measured(values, "log_likelihood").curve == ()
    for name in ("importance_bound", "log_likelihood"):
        assert measured(values, name).value == pytest.approx(exact_mean(observed, 0.3), abs=0.1)


def test_what_makes_a_number_worthless_stands_beside_it_or_in_its_place():
    hasty = BUDGET.model_copy(update={"temperatures": 4, "sigma": 0.005, "chains": 1})
    note = measured(likelihood_metric.METRIC.compute(observe(noise=0.1), hasty), "log_likelihood").note
    assert re.search(r"differences below \d+ nats mean nothing", note)
    edge = BUDGET.model_copy(update={"smallest_sigma": 0.3})
    chosen = measured(likelihood_metric.METRIC.compute(observe(noise=0.1), edge), "observation_sigma")
    assert chosen.value == pytest.approx(0.3) and "at the edge of the candidates" in chosen.note
    coarse = observe(noise=0.1)
    coarse.real = scale(torch.arange(240, dtype=torch.uint8).view(60, 1, 2, 2))
    note = measured(likelihood_metric.METRIC.compute(coarse, edge), "log_likelihood").note
    assert "8 bits, whose density is inflated" in note
    for missing, reason in (("decode", "no decoder from latents"), ("validation", "no validation images")):
        with pytest.raises(ValueError, match=reason):
            likelihood_metric.METRIC.compute(observe(noise=0.1, **{missing: None}), BUDGET)


def test_the_parzen_metric_chooses_its_bandwidth_on_validation_images_and_stays_below_the_truth():
    observed = observe(noise=0.1)
    observed.n = 2000
    value = measured(parzen_metric.METRIC.compute(observed, parzen_metric.Options(images=40)), "parzen_log_likelihood")
    assert exact_mean(observed, 0.1) - 1 < value.value < exact_mean(observed, 0.1) + 0.1
    best = max(value.curve, key=lambda point: point[1])[0]
    assert f"2000 samples, bandwidth {best:.3g}" in value.note and 0.05 <= best < 0.2
    with pytest.raises(ValueError, match="no validation images"):
        parzen_metric.METRIC.compute(observe(0.1, validation=None), parzen_metric.Options())
