"""The latent-space metrics against closed forms, other libraries and codecs that are known through and through."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.spatial
import scipy.stats
import torch
from torch import Tensor

from triptych.evaluation.features import Extractor
from triptych.evaluation.metrics import load, score
from triptych.evaluation.metrics.active_units import kl_by_dimension
from triptych.evaluation.metrics.aggregate_posterior import ks_distances, prior_gap
from triptych.evaluation.metrics.attributes import thirds
from triptych.evaluation.metrics.interpolation import nearest_distances, slerp
from triptych.evaluation.metrics.linear_probe import fit
from triptych.evaluation.morphology import measure
from triptych.evaluation.observations import Measured, Observations
from triptych.verdicts import scales

LATENT_METRICS = ["active_units", "aggregate_posterior", "linear_probe", "interpolation", "attributes"]


def pixels(count: int) -> Extractor:
    return Extractor(name="pixels", sha256="0" * 64, dimension=count, embed=lambda images: images.flatten(1))


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def flat(codes: Tensor) -> Tensor:
    """Codes [N, L] as images [N, 1, 1, L], which are their own features and codes."""
    return codes[:, None, None]


def codec(codes: Tensor, log_variance: float = -20.0, **given: Any) -> Observations:
    """Observations of images that are their own codes, under an isometric decoder."""

    def posterior(images: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        means = images.flatten(1)
        return means, torch.full_like(means, log_variance)

    latent = codes.shape[1]
    known = {"posterior": posterior, "decode": flat, "latent": latent} | given
    return Observations(real=flat(codes), sample=lambda n: flat(normal(n, latent)), extractor=pixels(latent), **known)


def rows(name: str, observed: Observations) -> dict[str, dict[str, Any]]:
    return {row["metric"]: row for row in score(observed, load([name]))}


def values(name: str, observed: Observations) -> dict[str, float]:
    return {key: row["value"] for key, row in rows(name, observed).items()}


# ---- active units


@pytest.mark.parametrize(("mean", "deviation", "nats"), [(1, 1, 0.5), (0, 0.5, 0.31814718056), (2, 3, 4.901387711331)])
def test_kl_of_known_normals(mean, deviation, nats):
    mean, log_variance = torch.tensor([[[mean]], [[2 * math.log(deviation)]]], dtype=torch.float64)
    found = kl_by_dimension(mean, log_variance)
    assert float(found) == pytest.approx(nats, abs=1e-10)


def test_active_units_are_those_whose_means_vary_by_more_than_a_hundredth():
    deviations = torch.tensor([2.0, 0.0, 0.11, 0.09, 0.5])
    codes = normal(400, 5)
    codes = (codes - codes.mean(0)) / codes.std(0) * deviations + 3
    row = rows("active_units", codec(codes))["active_units"]
    assert row["value"] == 3 and row["note"] == "of 5"
    assert [y for _, y in row["curve"]] == pytest.approx([4, 0.25, 0.0121, 0.0081, 0], abs=1e-5)


def test_posterior_kl_is_that_of_torch_summed_over_dimensions_with_its_error():
    codes = normal(50, 4) * torch.tensor([1, 2, 0.1, 3.0])
    row = rows("active_units", codec(codes, log_variance=-0.7))["posterior_kl"]
    law, prior = torch.distributions.Normal(codes, math.exp(-0.35)), torch.distributions.Normal(0.0, 1.0)
    expected = torch.distributions.kl_divergence(law, prior)
    assert row["value"] == pytest.approx(float(expected.sum(1).mean()), rel=1e-5)
    assert row["error"] == pytest.approx(float(expected.sum(1).std() / 50**0.5), rel=1e-5)
    assert [x for x, _ in row["curve"]] == [1, 2, 3, 4]
    assert [y for _, y in row["curve"]] == pytest.approx(sorted(expected.mean(0).tolist(), reverse=True), rel=1e-5)


# ---- aggregate posterior


def test_a_posterior_that_is_the_prior_leaves_no_gap():
    found = values("aggregate_posterior", codec(torch.zeros(10, 3), log_variance=0.0))
    assert found == pytest.approx({"prior_gap": 0, "prior_ks": 0, "code_norm": 1}, abs=1e-6)


def test_prior_gap_is_the_formula_with_a_matrix_root():
    means, variances = normal(30, 5) @ normal(5, 5, seed=1) + 1, normal(30, 5, seed=2).exp()
    mean, covariance = means.double().mean(0).numpy(), np.cov(means.double().numpy().T)
    covariance = covariance + np.diag(variances.double().mean(0).numpy())
    root = np.real(scipy.linalg.sqrtm(covariance))
    expected = mean @ mean + np.trace(covariance) + 5 - 2 * np.trace(root)
    assert prior_gap(means, variances).value == pytest.approx(expected)


@pytest.mark.parametrize(("mean", "scale", "width"), [(0.5, 0.3, 0.0), (0.0, 2.0, 0.0), (0.0, 0.1, 4.0)])
def test_the_error_of_the_prior_gap_is_the_spread_of_its_repetitions(mean, scale, width):
    mixing = scale * torch.tensor([[1.5, 0.3, 0], [0, 0.4, 0.2], [0, 0, 0.8]])

    def repeat(seed: int) -> Measured:
        variances = 0.1 + width * normal(300, 3, seed=1000 + seed).square()
        return prior_gap(normal(300, 3, seed=seed) @ mixing + mean, variances)

    found = [repeat(seed) for seed in range(300)]
    spread = np.std([gap.value for gap in found], ddof=1)
    assert np.mean([gap.error or 0 for gap in found]) == pytest.approx(spread, rel=0.15)  # of which 4 % are sampling


def test_fewer_codes_than_dimensions_have_a_gap_without_error():
    gap = prior_gap(normal(5, 20), torch.zeros(5, 20))
    assert math.isfinite(gap.value) and gap.error is None


def test_ks_of_a_shifted_normal_a_point_and_a_mixture():
    assert float(ks_distances(torch.ones(1, 1), torch.ones(1, 1))) == pytest.approx(
        2 * scipy.stats.norm.cdf(0.5) - 1, abs=1e-3
    )
    assert float(ks_distances(torch.zeros(1, 1), torch.zeros(1, 1))) == pytest.approx(0.5, abs=0.003)
    means, variances = torch.tensor([[-1.0], [0.2], [2.0]]), torch.tensor([[0.1], [0.5], [0.01]])
    draws = means + variances.sqrt() * normal(3, 50_000)
    expected = scipy.stats.kstest(draws.flatten().numpy(), "norm").statistic
    assert float(ks_distances(means, variances)) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("images", [1, 2, 5, 40])
@pytest.mark.parametrize("sd", [1e-4, 0.02, 0.5])
def test_ks_is_not_tied_to_its_grid(images, sd):
    """Narrow lumps between the places looked at first: the distance at each is off by up to 0.02, twice the margin."""
    for repeat in range(3):
        means, steps = normal(images, seed=repeat), sd * torch.linspace(-4, 4, 41)
        places = torch.cat([torch.linspace(-5, 5, 4001), (means + steps[:, None]).flatten()]).double()
        mixture = torch.special.ndtr((places - means.double()[:, None]) / sd).mean(0)
        expected = (mixture - torch.special.ndtr(places)).abs().max()
        found = ks_distances(means[:, None], torch.full((images, 1), sd**2))
        assert float(found) == pytest.approx(float(expected), abs=0.004)


def test_lumps_with_the_priors_moments_are_seen_by_ks_alone():
    signs = torch.cat([torch.ones(200, 1), -torch.ones(200, 1)])
    found = values("aggregate_posterior", codec(0.98 * signs, log_variance=math.log(0.04)))
    assert found["prior_gap"] < 0.001 and found["code_norm"] == pytest.approx(1, abs=0.001)
    assert found["prior_ks"] > 0.2


def test_code_norm_is_the_mean_square_of_means_and_deviations():
    found = values("aggregate_posterior", codec(torch.full((10, 4), 3.0), log_variance=math.log(2)))
    assert found["code_norm"] == pytest.approx(11, rel=1e-5)


# ---- linear probe


def test_the_probes_weights_are_those_of_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model")
    labels = np.arange(300) % 3
    codes = normal(300, 4).double().numpy() + np.array([[0, 0, 0, 0], [1, 0, 1, 0], [0, 2, 0, 0]])[labels]
    weights = fit(codes, labels, 3)
    reference = linear_model.LogisticRegression(C=1.0, tol=1e-8, max_iter=1000).fit(codes, labels)
    logits, others = codes @ weights[:-1] + weights[-1], reference.decision_function(codes)
    assert logits - logits.mean(1, keepdims=True) == pytest.approx(others - others.mean(1, keepdims=True), abs=2e-3)


def probe(codes: Tensor, labels: Tensor) -> dict[str, Any]:
    half = len(codes) // 2
    draw: Callable[[int], tuple[Tensor, Tensor]] = lambda most: (flat(codes[half:][:most]), labels[half:][:most])  # noqa: E731
    return rows("linear_probe", codec(codes[:half], labels=labels[:half], training=draw))["linear_probe"]


def test_the_probe_reads_what_is_linear_on_whatever_scale_and_nothing_else():
    codes = normal(2000, 6)
    linear = probe(codes * torch.tensor([1, 1e3, 1e-3, 1, 1, 1]), (codes[:, 2] > 0) * 7)
    assert linear["value"] > 0.97 and "1,000 training images" in linear["note"] and "chance 0.5" in linear["note"]
    parity = probe(codes, ((codes[:, 0] > 0) ^ (codes[:, 1] > 0)).long())
    assert parity["value"] == pytest.approx(0.5, abs=0.08)
    assert parity["error"] == pytest.approx(0.5 / 1000**0.5, rel=0.02)


def test_the_probe_names_what_it_lacks():
    codes = normal(20, 3)
    training = lambda most: (flat(codes), None)  # noqa: E731
    labels = torch.arange(20)
    lacking = [codec(codes), codec(codes, labels=labels), codec(codes, labels=labels, training=training)]
    reasons = [rows("linear_probe", given)["linear_probe"]["undefined"] for given in lacking]
    assert reasons == [
        "the data have no labels",
        "the training images are not available",
        "the training images have no labels",
    ]


# ---- interpolation


def test_slerp_keeps_ends_and_norm_and_goes_evenly():
    start, end = normal(20, 7).double(), normal(20, 7, seed=1).double()
    assert torch.allclose(slerp(start, end, 0.0), start) and torch.allclose(slerp(start, end, 1.0), end)
    start, end = torch.nn.functional.normalize(start), torch.nn.functional.normalize(end)
    third = slerp(start, end, 1 / 3)
    assert torch.allclose(third.norm(dim=1), torch.ones(20).double())
    angle = (start * end).sum(1).acos()
    assert torch.allclose((start * third).sum(1).acos(), angle / 3)
    assert torch.allclose(slerp(start, 2 * start, 0.5), 1.5 * start)  # no angle: the straight line


def test_a_linear_decoders_path_length_and_detour_are_those_of_the_arc():
    found = rows("interpolation", codec(normal(4, 256)))
    # independent latents are at right angles and of length sqrt L, but for 1 / sqrt L
    assert found["path_length"]["value"] == pytest.approx(256 * (math.pi / 2) ** 2, rel=0.03)
    assert found["path_ratio"]["value"] == pytest.approx(8 * 2 * math.sin(math.pi / 32) / 2**0.5, rel=0.01)
    assert found["path_ratio"]["error"] < 0.01


def test_scale_moves_the_path_length_alone_and_wiggles_lengthen_the_way():
    codes = normal(4, 32)
    plain = values("interpolation", codec(codes))
    scaled = values("interpolation", codec(codes, decode=lambda z: 3 * flat(z)))
    wiggly = values("interpolation", codec(codes, decode=lambda z: flat(z + torch.sin(6 * z))))
    assert scaled["path_length"] == pytest.approx(9 * plain["path_length"], rel=1e-4)
    assert scaled["path_ratio"] == pytest.approx(plain["path_ratio"], rel=1e-5)
    assert wiggly["path_ratio"] > 1.2 * plain["path_ratio"] and wiggly["path_length"] > 2 * plain["path_length"]


def test_seeds_are_obeyed_and_one_image_for_all_latents_has_no_detour():
    codes = normal(4, 8)
    first, again, other = (values("interpolation", codec(codes, seed=seed)) for seed in (1, 1, 2))
    assert first == again and first["path_ratio"] != other["path_ratio"]
    row = rows("interpolation", codec(codes, decode=lambda z: flat(0 * z)))["path_ratio"]
    assert row["undefined"] == "all latents give one image"


def test_nearest_distances_are_those_of_scipy_without_the_pair():
    real, pairs = normal(30, 4).double().numpy() + 100, np.arange(12).reshape(6, 2)
    points = real[pairs[:, 0]] + 0.01
    expected = scipy.spatial.distance.cdist(points, real)
    expected[np.arange(6)[:, None], pairs] = np.inf
    assert nearest_distances(points, real, pairs) == pytest.approx(expected.min(1))


def test_halfway_is_near_on_a_line_and_far_inside_a_ring():
    at = torch.rand(200, 1, generator=torch.Generator().manual_seed(0))
    line = torch.cat([at, 2 * at], 1)
    ring = torch.cat([torch.cos(2 * math.pi * at), torch.sin(2 * math.pi * at)], 1)
    labels = torch.zeros(200)
    near, far = (rows("interpolation", codec(codes, labels=labels))["midpoint_distance"] for codes in (line, ring))
    assert 0.5 < near["value"] < 1.5 and far["value"] > 5
    for row in (near, far):  # a perfect codec has real images at both ends
        assert (row["curve"][0][1] + row["curve"][-1][1]) / 2 == pytest.approx(1, rel=1e-4)
        assert row["note"] == "100 pairs"
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    shuffled = rows("interpolation", codec(ring[order], labels=labels))["midpoint_distance"]
    assert shuffled["value"] == pytest.approx(far["value"], rel=1e-6)


# ---- attributes


def draw_shapes(latents: Tensor, side: int = 32) -> Tensor:
    """Soft-edged parallelograms [B, 1, side, side] of breadth (first) and shear (second latent)."""
    at = torch.arange(side) - (side - 1) / 2
    breadth, shear = latents[:, 0, None, None], latents[:, 1, None, None]
    x, y = at + shear * at[:, None], at[:, None]  # upwards to the right
    return (4 * torch.sigmoid(4 * (breadth / 2 - torch.maximum(x.abs(), y.abs()))) - 2)[:, None].clamp(-1, 1)


def read_shapes(images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Breadth and shear of such images, from their measures."""
    _, slant, size = measure(images).float().T
    shear = torch.tan(torch.deg2rad(slant))
    codes = torch.stack([size * 32 * (12 / (2 + shear**2)).sqrt(), shear], 1)
    return codes, torch.zeros_like(codes)


def shapes(**given: Any) -> Observations:
    def uniform(n: int, seed: int) -> Tensor:
        unit = torch.rand(n, 2, generator=torch.Generator().manual_seed(seed))
        return draw_shapes(unit * torch.tensor([6.0, 0.6]) + torch.tensor([10.0, -0.3]))

    known = {
        "posterior": read_shapes,
        "decode": draw_shapes,
        "latent": 2,
        "training": lambda n: (uniform(300, 1), None),
    }
    return Observations(real=uniform(100, 0), sample=lambda n: uniform(n, 2), extractor=pixels(1024), **(known | given))


def test_in_ideal_codes_a_vector_does_what_it_stands_for():
    found = rows("attributes", shapes())
    for name in ("thickness", "slant", "size"):
        stands_for = float(found[f"attribute_{name}"]["note"].split()[-2])
        assert stands_for == pytest.approx(4 / 3 * 3**0.5, rel=0.1)  # of a uniform law: two thirds of its range
        assert found[f"attribute_{name}"]["value"] == pytest.approx(stands_for, rel=0.06)
        assert found[f"attribute_{name}"]["error"] < 0.05
    assert found["attribute_miss"]["value"] < 0.1
    # thickness and size are one thing here, so of the six side effects two are as large as the wanted ones
    assert found["attribute_leakage"]["value"] == pytest.approx(1 / 3, abs=0.1)


def test_a_decoder_that_overdoes_or_ignores_its_code_misses():
    def exaggerate(latents: Tensor) -> Tensor:
        centre = torch.tensor([13.0, 0.0])
        return draw_shapes((latents - centre) * 1.5 + centre)

    plain, strong = values("attributes", shapes()), values("attributes", shapes(decode=exaggerate))
    assert strong["attribute_size"] > 1.3 * plain["attribute_size"]
    assert strong["attribute_miss"] > 0.3
    deaf = rows("attributes", shapes(decode=lambda z: draw_shapes(0 * z + torch.tensor([12.0, 0.1]))))
    assert deaf["attribute_size"]["value"] == pytest.approx(0, abs=1e-6)
    assert deaf["attribute_miss"]["value"] == pytest.approx(1, abs=1e-6)
    assert deaf["attribute_leakage"]["undefined"] == "the vectors hardly have their effect"


def test_images_blank_when_decoded_are_left_out_and_said():
    def forgetful(latents: Tensor) -> Tensor:
        return torch.where(latents[:, :1, None, None] < 11, -1.0, draw_shapes(latents))

    note = rows("attributes", shapes(decode=forgetful))["attribute_size"]["note"]
    assert "images left out, blank when decoded" in note
    blank = rows("attributes", shapes(decode=lambda z: 0 * draw_shapes(z)))["attribute_size"]
    assert blank["undefined"] == "the decoded images show nothing to measure"


def test_thirds_are_the_least_and_the_most():
    least, most = thirds(torch.tensor([5.0, 1, 9, 3, 7, 2, 8]))
    assert sorted(least.tolist()) == [1, 5] and sorted(most.tolist()) == [2, 6]


# ---- all of them


def assert_worsens(name: str, output: str, steps: list[Observations]) -> None:
    """Every step is worse in the declared direction, and together by more than the smallest effect on the scale."""
    (declared,) = (each for each in load([name])[0].outputs if each.metric == output)
    found = [values(name, step)[output] for step in steps]
    assert declared.better != "none" and found == sorted(found, reverse=declared.better == "higher")
    assert scales.matters(declared.scale, found[0], found[-1], declared.smallest_effect)


def test_a_growing_corruption_of_the_latent_space_never_looks_better():
    codes, labels, amounts = normal(400, 4), (normal(400) > 0).long(), (0.0, 0.5, 1.0, 2.0)
    shifted = [codec(codes + amount) for amount in amounts]
    assert_worsens("aggregate_posterior", "prior_gap", shifted)
    assert_worsens("aggregate_posterior", "prior_ks", shifted)
    separate = codes + 3 * labels[:, None]
    noisy = [separate + 2 * amount * normal(400, 4, seed=2) for amount in amounts]
    training = [lambda most, kept=kept: (flat(kept[200:]), labels[200:]) for kept in noisy]
    corrupted = [codec(x[:200], labels=labels[:200], training=draw) for x, draw in zip(noisy, training, strict=True)]
    assert_worsens("linear_probe", "linear_probe", corrupted)
    wiggly = [lambda z, a=amount: flat(z + a * torch.sin(5 * z)) for amount in amounts]
    detours = [values("interpolation", codec(codes, decode=decode))["path_ratio"] for decode in wiggly]
    assert detours == sorted(detours) and detours[-1] > 1.2 * detours[0]
    assert_worsens("interpolation", "midpoint_distance", [codec(codes, labels=labels, decode=d) for d in wiggly])
    dull = [shapes(decode=lambda z, a=amount: draw_shapes(z / (1 + a) + 5 * a)) for amount in amounts[:3]]
    assert_worsens("attributes", "attribute_miss", dull)


def test_order_does_not_matter():
    codes, order = normal(300, 4), torch.randperm(300, generator=torch.Generator().manual_seed(3))
    labels = (codes[:, 0] > 0).long()
    training = lambda most: (flat(codes), labels)  # noqa: E731
    for name in LATENT_METRICS[:-1]:
        found, again = (
            values(name, codec(codes[at], labels=labels[at], training=training)) for at in (torch.arange(300), order)
        )
        assert again == pytest.approx(found, rel=1e-5)
    given = shapes()
    turned = shapes()
    turned.real = given.real.flip(0)
    assert values("attributes", turned) == pytest.approx(values("attributes", given), rel=1e-5)


def test_a_framework_without_encoder_has_a_way_between_samples_and_nothing_else():
    observed = codec(normal(20, 3), posterior=None, labels=torch.zeros(20))
    found = {key: row for name in LATENT_METRICS for key, row in rows(name, observed).items()}
    assert {key for key, row in found.items() if row["value"] is not None} == {"path_length", "path_ratio"}
    assert {row["undefined"] for row in found.values() if row["value"] is None} == {"no encoder"}
    assert all(output.topic.name == "latent" for metric in load(LATENT_METRICS) for output in metric.outputs)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_or_constant_images_give_a_number_or_a_reason(count):
    for codes in (normal(count, 3), torch.zeros(count, 3)):
        given = codec(codes, labels=torch.zeros(count), training=lambda most: (flat(codes), torch.zeros(count)))  # noqa: B023
        for name in LATENT_METRICS:
            for row in rows(name, given).values():
                assert (row["value"] is None) == bool(row["undefined"])
                assert row["value"] is None or math.isfinite(row["value"])
                assert not (row["undefined"] or "").startswith(("Index", "Runtime", "Type", "Zero", "_", "not finite"))


def test_codes_without_a_posterior_are_probed_and_the_rest_is_undefined_with_the_reason():
    """A deterministic encoder: what needs only codes has the value that a posterior of no width gives."""
    codes, labels = normal(40, 3), torch.arange(40) % 2
    given = {"labels": labels, "training": lambda most: (flat(codes), labels)}
    whole = codec(codes, **given)
    lacks = {"posterior": "the encoder is deterministic"}
    encoded = codec(codes, posterior=None, encode=lambda images, labels: images.flatten(1), lacks=lacks, **given)
    for name in ("linear_probe", "interpolation"):
        assert values(name, encoded) == values(name, whole)
    assert {row["undefined"] for row in rows("active_units", encoded).values()} == {"the encoder is deterministic"}


def test_an_encoder_is_given_the_labels_of_its_images():
    """A conditional framework: the labels of test images, and those of training images."""
    codes, labels = normal(40, 3), torch.arange(40) % 2

    def posterior(images: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor]:
        assert given is not None
        means = given[:, None] + 0.1 * images.flatten(1)
        return means, torch.full_like(means, -2.0)

    observed = codec(codes, posterior=posterior, labels=labels, training=lambda most: (flat(codes), labels))
    assert torch.equal(observed.codes, labels[:, None] + 0.1 * codes)
    assert values("linear_probe", observed)["linear_probe"] == 1.0, "the class is all that its codes hold"
