"""Probes against what they claim to do, and the metrics made of them against closed forms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.ndimage
import torch

from triptych.data.transforms import background, random_translate
from triptych.evaluation.corruptions import CORRUPTIONS, SHIFTS, corrupted, subset
from triptych.evaluation.features import Extractor
from triptych.evaluation.metrics import load, score, value_or_reason
from triptych.evaluation.metrics.shift_response import partners
from triptych.evaluation.observations import Observations, Undefined, ratio_of_means
from triptych.rng import stream

BLACK = torch.full((1, 1, 1), -1.0)
SIDE = 20


def squares(count: int, width: int = 4, seed: int = 0) -> torch.Tensor:
    """White squares on black [count, 1, 20, 20], so near the middle that no shift of a fifth carries them outside."""
    images = torch.full((count, 1, SIDE, SIDE), -1.0)
    corners = torch.randint(5, SIDE - 4 - width, (count, 2), generator=torch.Generator().manual_seed(seed))
    for image, (row, column) in zip(images, corners.tolist(), strict=True):
        image[0, row : row + width, column : column + width] = 1
    return images


def smooth(count: int) -> torch.Tensor:
    noise = np.random.default_rng(0).standard_normal((count, 1, SIDE, SIDE))
    images = torch.from_numpy(scipy.ndimage.gaussian_filter(noise, (0, 0, 2, 2))).float()
    return images / images.abs().amax((1, 2, 3), keepdim=True)


def ink(images: torch.Tensor) -> torch.Tensor:
    return (images + 1).sum((1, 2, 3))[:, None]


def seen(images: torch.Tensor, labels: torch.Tensor | None = None, **beside) -> Observations:
    """Observations whose classifier tells light images from dark ones."""
    extractor = Extractor(
        name="ink",
        sha256="0" * 64,
        dimension=1,
        embed=ink,
        logits=lambda x: torch.cat([x, 100 - x], 1),
        label_names=("light", "dark"),
    )
    return Observations(real=images, sample=lambda n: images[:n], extractor=extractor, labels=labels, **beside)


def rows(name: str, observed: Observations) -> dict[str, dict]:
    return {row["metric"]: row for row in score(observed, load([name]))}


# The corruptions


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
def test_a_translated_dot_has_moved_by_the_share_in_one_of_eight_directions(share):
    images = torch.full((400, 1, SIDE, SIDE), -1.0)
    images[:, 0, 10, 10] = 1
    moved = corrupted(images, "translation", share, 0, BLACK)
    assert torch.equal(ink(moved), ink(images))
    places = {(i % SIDE - 10, i // SIDE - 10) for i in moved.flatten(1).argmax(1).tolist()}
    step = round(share * SIDE)
    assert places == {(x * step, y * step) for x in (-1, 0, 1) for y in (-1, 0, 1)} - {(0, 0)}


def test_rotation_by_a_right_angle_is_exact_and_goes_both_ways():
    images = smooth(40)
    turned = corrupted(images, "rotation", 90, 0, BLACK)
    ways = [torch.rot90(images, turns, (2, 3)) for turns in (1, 3)]
    off = torch.stack([(turned - way).abs().amax((1, 2, 3)) for way in ways])
    assert off.min(0).values.max() < 1e-4
    assert len(off.argmin(0).unique()) == 2


def test_scale_changes_areas_by_its_square_either_way():
    image = torch.full((1, 1, SIDE, SIDE), -1.0)
    image[:, :, 6:14, 6:14] = 1
    areas = ink(corrupted(image.repeat(20, 1, 1, 1), "scale", 1.0, 0, BLACK)).flatten() / ink(image)
    larger = areas.flatten() > 1
    assert 0 < larger.sum() < 20
    assert torch.allclose(areas.flatten()[~larger], torch.tensor(0.25), atol=1e-3)
    assert torch.allclose(areas.flatten()[larger], torch.tensor(4.0), rtol=0.1)  # bilinear edges


def test_blur_is_scipys_gaussian():
    images = smooth(3)
    expected = scipy.ndimage.gaussian_filter(images.numpy(), (0, 0, 2, 2), mode="nearest", truncate=3.0)
    np.testing.assert_allclose(corrupted(images, "blur", 2 / SIDE, 0, BLACK), expected, atol=1e-6)


def test_noise_has_its_standard_deviation_on_the_grey_range():
    grey = torch.zeros(100, 1, SIDE, SIDE)
    assert float(corrupted(grey, "noise", 0.1, 0, BLACK).std() / 2) == pytest.approx(0.1, rel=0.02)


def test_occlusion_hides_a_square_and_nothing_else_with_background():
    white = torch.ones(50, 3, SIDE, SIDE)
    fill = torch.tensor([-0.5, 0.0, 0.5])[:, None, None]
    hidden = corrupted(white, "occlusion", 0.3, 0, fill)
    assert torch.equal((hidden != 1).sum((2, 3)), torch.full((50, 3), 36))
    assert [sorted(hidden[:, c].unique().tolist()) for c in range(3)] == [[-0.5, 1], [0, 1], [0.5, 1]]


def test_brightness_dims_towards_black():
    assert torch.allclose(corrupted(torch.ones(1, 1, 4, 4), "brightness", 0.25, 0, BLACK), torch.tensor(0.5))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_probe_is_seeded_and_its_damage_grows_with_its_strength(name):
    images, corruption = smooth(60), CORRUPTIONS[name]
    assert torch.equal(corrupted(images, name, 0.0, 0, BLACK), images)
    changed = [corrupted(images, name, strength, 0, BLACK) for strength in corruption.strengths]
    damages = [float((x - images).square().mean()) for x in changed]
    assert damages[0] > 0 and all(a < b for a, b in itertools.pairwise(damages))
    assert all(x.shape == images.shape and x.abs().max() <= 1 + 1e-6 for x in changed)
    assert torch.equal(corrupted(images, name, corruption.strengths[0], 0, BLACK), changed[0])
    other = corrupted(images, name, corruption.strengths[0], 1, BLACK)
    assert torch.equal(other, changed[0]) == (name in ("brightness", "blur"))


def test_background_is_the_median_border_value_of_each_channel():
    images = torch.zeros(5, 2, 6, 6)
    images[:, 0], images[:, 1] = 0.25, -0.75
    images[:, :, 1:-1, 1:-1] = 1  # what is inside does not count
    images[0] = -1  # nor does a single image
    assert torch.equal(background(images), torch.tensor([0.25, -0.75])[:, None, None])
    assert torch.equal(
        corrupted(images[1:], "translation", 0.2, 0, background(images))[:, 0, 0, 0], torch.full((4,), 0.25)
    )


def test_a_subset_does_not_hang_on_the_order_of_images():
    images = smooth(50)
    order = torch.randperm(50, generator=stream(0, "test"))
    for most in (7, 50, 90):
        chosen = subset(seen(images), most)
        assert len(chosen.unique()) == min(most, 50)
        assert torch.equal(images[order][subset(seen(images[order]), most)], images[chosen])


def test_the_error_of_a_ratio_of_means():
    a = torch.randn(500, generator=stream(0, "test")) + 5
    constant = ratio_of_means(a, torch.full((500,), 2.0))
    assert constant.value == pytest.approx(float(a.double().mean()) / 2)
    assert constant.error == pytest.approx(float(a.double().std()) / 2 / 500**0.5)
    assert ratio_of_means(3 * a, a).error == pytest.approx(0, abs=1e-8)
    assert ratio_of_means(a[:1], a[:1]).error is None


def test_an_output_that_cannot_be_had_leaves_its_reason():
    def fail():
        raise ValueError("no luck")

    assert value_or_reason(fail) == Undefined("no luck")


# The metrics


def test_a_perfect_autoencoder_follows_every_change_and_undoes_none():
    images = squares(60)
    observed = seen(images, reconstruct=lambda x, _: x, posterior=lambda x, _: (ink(x), ink(x)))
    found = rows("translation", observed)
    assert found["translation_error"]["value"] == 0
    assert found["translation_error"]["curve"] == [[share, 0] for share in (0, *SHIFTS)]
    assert found["translation_growth"]["undefined"] == "unshifted images are reconstructed perfectly"
    assert found["translated_mse"]["value"] == 0
    assert found["translation_agreement"]["value"] == 1
    assert found["translation_agreement"]["note"].endswith("1.000")
    assert found["code_distance"]["undefined"] == "all images have the same code"
    for name, row in rows("robustness", observed).items():
        assert (row["value"] == 0) == (name not in ("blur_error", "noise_error", "occlusion_error"))
        assert row["curve"][0] == [0, 0]
    damage = (corrupted(images, "occlusion", 0.3, 0, BLACK) - images).square().mean() / 4
    assert dict(rows("robustness", observed)["occlusion_error"]["curve"])[0.3] == pytest.approx(
        float(damage), abs=0.005
    )


def test_who_ignores_the_image_errs_equally_at_every_shift():
    found = rows("translation", seen(squares(60), reconstruct=lambda x, _: torch.ones_like(x)))
    assert found["translation_error"]["value"] == pytest.approx(1 - 16 / SIDE**2)
    assert found["translation_agreement"]["value"] == 0
    assert found["translation_agreement"]["note"] == "of the shifted images themselves 1.000"
    assert found["translation_error"]["error"] == pytest.approx(0, abs=1e-12)
    assert found["translation_growth"]["value"] == pytest.approx(1)
    assert found["code_distance"]["undefined"] == "no encoder"


def test_who_knows_only_the_centre_errs_more_the_farther_the_shift():
    middle = torch.full((1, 1, SIDE, SIDE), -1.0)
    middle[:, :, 6:14, 6:14] = 1
    found = rows("translation", seen(middle.repeat(40, 1, 1, 1), reconstruct=lambda x, _: middle.expand_as(x) * 0.9))
    curve = [y for _, y in found["translation_error"]["curve"]]
    assert all(a < b for a, b in itertools.pairwise(curve))
    assert found["translation_error"]["value"] == pytest.approx(np.mean(curve[1:]))
    assert found["translation_growth"]["value"] == pytest.approx(np.mean(curve[1:]) / curve[0])


def places(images: torch.Tensor) -> torch.Tensor:
    """Centres of mass [B, 2] in pixels."""
    mass, grid = (images[:, 0] + 1), torch.arange(SIDE, dtype=torch.float32)
    return torch.stack([(mass.sum(1) * grid).sum(1), (mass.sum(2) * grid).sum(1)], 1) / mass.sum((1, 2))[:, None]


def test_code_distance_is_scaled_by_that_of_different_images():
    images = squares(80)

    def posterior(x: torch.Tensor, labels: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        return 3 * places(x), places(x)

    row = rows("translation", seen(images, reconstruct=lambda x, _: x, posterior=posterior))["code_distance"]
    pairs = torch.pdist(places(images)).square().mean()
    for share, value in row["curve"]:  # an axis is one shift long, a diagonal two squared
        step = round(share * SIDE) ** 2 / float(pairs)
        assert step * 1 <= value + 1e-6 and value <= step * 2 + 1e-6
    shares = [value / share**2 for share, value in row["curve"][1:]]
    assert shares == pytest.approx([shares[0]] * 4, rel=1e-3)


def test_without_an_encoder_nothing_is_reconstructed_but_samples_are_judged():
    observed = seen(squares(60))
    for name in ("translation", "robustness"):
        assert {row["undefined"] for row in rows(name, observed).values()} == {"no encoder"}
    assert rows("translated_frechet", observed)["translated_frechet"]["value"] >= 0
    response = rows("shift_response", observed)
    assert response["dis_l_response"]["undefined"] == "no discriminator"
    assert response["pixel_response"]["value"] > 0


def test_the_frechet_distance_to_shifted_images_knows_who_has_learned_shifts():
    images = squares(200)
    extractor = Extractor(name="places", sha256="0" * 64, dimension=2, embed=places)
    shifted = random_translate(images, 0.2, stream(5, "test"))
    centred, translated = (
        rows("translated_frechet", Observations(images, lambda n: made[:n], extractor))["translated_frechet"]["value"]  # noqa: B023
        for made in (images, shifted)
    )
    assert translated < centred / 10


def test_without_a_classifier_agreement_alone_is_undefined():
    observed = Observations(
        real=squares(20),
        sample=squares,
        extractor=Extractor(name="ink", sha256="0" * 64, dimension=1, embed=ink),
        reconstruct=lambda x, _: x,
    )
    found = rows("translation", observed)
    assert found["translation_agreement"]["undefined"] == "no classifier: the data have no labels"
    assert found["translation_error"]["value"] == 0


def test_a_shifted_dot_is_to_pixels_another_image_and_to_an_invariant_feature_the_same():
    images = torch.full((64, 1, SIDE, SIDE), -1.0)
    index = torch.arange(64)
    images[index, 0, 6 + index // 8, 6 + index % 8] = torch.where(index % 2 == 0, 1.0, 0.0)
    found = rows("shift_response", seen(images, labels=index % 2, dis_l=lambda x: places(x)))
    between = (4 + 1) / 4  # squared grey ranges of a bright and a dim dot together
    own = (2 * 4 + 2 * 1) / 2 / 4
    assert found["pixel_response"]["value"] == pytest.approx(own / between)
    assert [y for _, y in found["pixel_response"]["curve"]] == pytest.approx([0] + [own / between] * 4)
    assert found["feature_response"]["value"] == 0
    curve = dict(found["dis_l_response"]["curve"])
    assert found["dis_l_response"]["value"] == pytest.approx(curve[0.1])
    assert 0 == curve[0] < curve[0.05] < curve[0.1] < curve[0.2]
    same = rows("shift_response", seen(images[::2]))["feature_response"]
    assert same["undefined"] == "it sees no difference between images"


def test_partners_are_of_another_class_where_there_is_one():
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 0])
    found = partners(labels, 7)
    assert bool((labels[found] != labels).all())
    assert found.tolist() == [3, 3, 3, 5, 5, 6, 3]
    for alone in (None, torch.zeros(4, dtype=torch.int64)):
        assert partners(alone, 4).tolist() == [1, 2, 3, 0]


@pytest.mark.parametrize("name", ["translation", "translated_frechet", "robustness", "shift_response"])
def test_the_order_of_images_does_not_matter(name):
    images = smooth(60)

    def found(order: torch.Tensor) -> dict[str, float]:
        observed = seen(
            images[order],
            order % 3,
            reconstruct=lambda x, _: 0.8 * x,
            dis_l=ink,
            posterior=lambda x, _: (ink(x), ink(x)),
        )
        return {metric: row["value"] for metric, row in rows(name, observed).items()}

    assert found(torch.randperm(60, generator=stream(0, "test"))) == pytest.approx(found(torch.arange(60)), rel=1e-5)


def test_one_image_gives_values_or_reasons():
    observed = seen(squares(1), reconstruct=lambda x, _: 0.5 * x, posterior=lambda x, _: (ink(x), ink(x)))
    for name in ("translation", "robustness", "shift_response", "translated_frechet"):
        for row in rows(name, observed).values():
            assert (row["value"] is None) == bool(row["undefined"])
            assert row["error"] is None and not math.isnan(row["value"] or 0)
