"""Standard errors of metrics against the spread over sets drawn anew; extrapolation, variety, memory; bad input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.linalg
import torch

from triptych.evaluation.features import Extractor
from triptych.evaluation.metrics import load, score
from triptych.evaluation.metrics._arrays import doublings
from triptych.evaluation.metrics.class_shares import distance, entropy, shown
from triptych.evaluation.metrics.frechet import corrected, frechet_distance, with_error
from triptych.evaluation.metrics.kid import kernel_distance
from triptych.evaluation.metrics.memorisation import copied_share, data_copying, nearest
from triptych.evaluation.metrics.perceptual import feature_errors
from triptych.evaluation.metrics.prdc import prdc
from triptych.evaluation.metrics.sharpness import gradient_energy
from triptych.evaluation.metrics.ssim import multiscale, scales, similarities
from triptych.evaluation.metrics.vendi import vendi_score
from triptych.evaluation.observations import Measured, Observations, Undefined

OF_FEATURES = ["frechet", "kid", "prdc", "vendi", "memorisation"]


def normals(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def spread(draw: Callable[[int], Measured], repeats: int = 100) -> float:
    """The spread of a value over independent draws, in the standard errors that stand beside it."""
    found = [draw(r) for r in range(repeats)]
    return np.std([each.value for each in found], ddof=1) / np.sqrt(np.mean([each.error**2 for each in found]))


def blurred(x: np.ndarray, seed: int) -> np.ndarray:
    """Rows like those of x, but with less variance, noise and a shift: what reconstruction may do to features."""
    return 0.7 * x + 0.2 * normals(seed + 10**5, *x.shape) + 0.1


SHIFTED = np.linspace(0.5, 1.5, 8)
CLOUD = normals(10**6, 400, 8)
TRAINING = normals(10**7, 1500, 6)
SHARES, EXPECTED = np.array([0.5, 0.3, 0.15, 0.045, 0.005]), np.array([0.3, 0.4, 0.2, 0.05, 0.05])


def shares(seed: int, of: np.ndarray, n: int) -> np.ndarray:
    return np.random.default_rng(seed).multinomial(n, of) / n


def distances(seed: int, scale: float = 1.0) -> np.ndarray:
    """Distances to the training images of 800 points drawn from their law, scaled."""
    return nearest(scale * normals(seed, 800, 6), TRAINING)


@pytest.mark.parametrize(
    "draw",
    [
        lambda r: with_error(normals(2 * r, 300, 8), normals(2 * r + 1, 350, 8) * SHIFTED + 0.2),
        lambda r: with_error(normals(2 * r, 40, 8), normals(2 * r + 1, 30, 8) * 2),
        lambda r: with_error(np.abs(normals(2 * r, 300, 8)), np.exp(normals(2 * r + 1, 400, 8))),
        lambda r: with_error(normals(r, 300, 8), blurred(normals(r, 300, 8), r), are_pairs=True),
        lambda r: kernel_distance(normals(2 * r, 200, 8), normals(2 * r + 1, 300, 8) * 1.2 + 0.3),
        lambda r: prdc(CLOUD, normals(r, 400, 8) + 0.4)["precision"],
        lambda r: prdc(CLOUD, normals(r, 400, 8) + 0.4)["density"],
        lambda r: prdc(normals(r, 400, 8), CLOUD + 0.4)["recall"],
        lambda r: vendi_score(normals(r, 300, 8) * SHIFTED + 0.5),
        lambda r: doublings(vendi_score(normals(2 * r, 300, 8) * SHIFTED**2), vendi_score(normals(2 * r + 1, 300, 8))),
        lambda r: data_copying(distances(2 * r, 0.6), distances(2 * r + 1)),
        lambda r: copied_share(distances(2 * r), distances(2 * r + 1)),
        lambda r: copied_share(distances(2 * r, 0.6), distances(2 * r + 1)),
        lambda r: entropy(shares(r, SHARES, 500), 500),
        lambda r: distance(shares(2 * r, SHARES, 500), 500, shares(2 * r + 1, EXPECTED, 700), 700),
        lambda r: gradient_energy(torch.from_numpy(np.exp(normals(r, 200, 1, 1, 1)) * normals(r + 999, 200, 1, 8, 8))),
    ],
    ids=[
        "frechet",
        "frechet of few",
        "frechet of skewed laws",
        "frechet of reconstructions",
        "kid",
        "precision",
        "density",
        "recall",
        "vendi",
        "vendi gap",
        "data copying",
        "copied share",
        "copied share of copies",
        "entropy",
        "class distance",
        "gradient energy",
    ],
)
def test_standard_errors_are_the_spread_over_sets_drawn_anew(draw):
    # of 100 draws a spread is known to 7 %, of skewed laws less well; with few images or rare events errors are rough
    assert 0.75 < spread(draw) < 1.3


@pytest.mark.parametrize(
    "draw",
    [
        lambda r: with_error(normals(2 * r, 200, 8), normals(2 * r + 1, 200, 8)),
        lambda r: kernel_distance(normals(2 * r, 200, 8), normals(2 * r + 1, 200, 8)),
    ],
    ids=["frechet", "kid"],
)
def test_for_equal_laws_first_order_errors_err_on_the_safe_side_as_documented(draw):
    assert spread(draw) == pytest.approx(1 / np.sqrt(2), rel=0.25)


@pytest.mark.parametrize("name", ["precision", "recall", "density", "coverage"])
def test_with_the_balls_drawn_anew_shares_spread_at_most_twice_as_far_as_documented(name):
    assert 1 < spread(lambda r: prdc(normals(2 * r, 200, 4), normals(2 * r + 1, 200, 4) + 0.4)[name]) < 2


def test_the_error_of_the_number_of_classes_is_that_of_the_classes_near_the_threshold():
    found = [shown(shares(r, SHARES, 500), 500, EXPECTED).value for r in range(400)]
    assert shown(SHARES, 500, EXPECTED).error == pytest.approx(np.std(found), rel=0.1)
    assert shown(np.array([0.5, 0.5, 0]), 500, np.full(3, 1 / 3)) == Measured(2, 0)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.7])
def test_a_class_with_exactly_a_tenth_of_its_real_share_is_shown(share):
    tenth = round(1000 * share / 10) / 1000  # 0.1 * 0.3 is a hair more than 0.03
    found = shown(np.array([tenth, 1 - tenth]), 1000, np.array([share, 1 - share]))
    assert found.value == 2
    fewer = tenth - 1e-3
    assert shown(np.array([fewer, 1 - fewer]), 1000, np.array([share, 1 - share])).value == 1


def test_class_distance_has_its_documented_floor():
    even, n = np.full(10, 0.1), 1000
    found = [distance(shares(2 * r, even, n), n, shares(2 * r + 1, even, n), n).value for r in range(300)]
    assert np.mean(found) == pytest.approx(10 * np.sqrt(0.1 * 0.9 / (np.pi * n)), rel=0.05)


# the Frechet distance


def test_the_frechet_distances_influence_is_its_derivative():
    x, y = normals(0, 60, 5), normals(1, 60, 5) * 1.5 + 0.3

    def left_out(points: np.ndarray, measure: Callable[[np.ndarray], float]) -> float:
        """The jackknife's variance."""
        values = [measure(np.delete(points, i, 0)) for i in range(len(points))]
        return (len(points) - 1) * np.var(values)

    variance = left_out(x, lambda part: frechet_distance(part, y)) + left_out(y, lambda part: frechet_distance(x, part))
    assert with_error(x, y).error == pytest.approx(np.sqrt(variance), rel=0.05)


def test_a_feature_that_is_constant_changes_neither_the_frechet_distance_nor_its_error():
    x, y = normals(0, 60, 5), normals(1, 60, 5) * 1.5
    wide = [np.insert(each, 2, 7.0, axis=1) for each in (x, y)]
    assert with_error(*wide)[:2] == pytest.approx(with_error(x, y)[:2], rel=1e-9)
    half = [np.insert(x, 2, 7.0, axis=1), np.insert(y, 2, normals(2, 60), axis=1)]  # constant in one alone
    assert np.isfinite(with_error(*half).error)


def test_with_fewer_images_than_features_the_frechet_distance_has_no_error_and_says_why():
    found = with_error(normals(0, 8, 8), normals(1, 50, 8))
    assert found.error is None and found.note.startswith("fewer images than features")
    assert with_error(normals(0, 9, 8), normals(1, 50, 8)).error is not None


@pytest.mark.parametrize(
    ("scale", "truth", "bias"),
    [
        (np.ones(64), 0.0, 11.1),
        (np.full(64, 0.5), 16.0, 5.6),
        (np.full(64, 1.5), 16.0, 16.6),
        (np.repeat([1.0, 0.0], 32), 32.0, 3.1),
    ],
    ids=["equal", "half as wide", "wider", "half of the directions"],
)
def test_the_bias_of_the_frechet_distance_depends_on_the_law_and_is_corrected(scale, truth, bias):
    sets = [(normals(2 * r, 200, 64), normals(2 * r + 1, 200, 64) * scale) for r in range(16)]
    as_it_stands = [frechet_distance(*each) - truth for each in sets]
    found = np.array([corrected(*each).value for each in sets]) - truth
    assert np.mean(as_it_stands) == pytest.approx(bias, abs=0.6)
    assert abs(found.mean()) < 4 * found.std(ddof=1) / 4
    assert abs(found.mean()) < 0.08 * bias
    assert found.std() < 1.3 * np.std(as_it_stands)


def test_groups_of_rows_that_are_alike_would_hide_the_bias():
    """Brightness, which all pixels share: two sets of one law, whose groups must not hold the same brightnesses."""

    def lit(seed: int) -> np.ndarray:
        return 0.3 * normals(seed, 200, 16) + normals(1000 + seed, 200, 1)

    sets = [(lit(2 * r), lit(2 * r + 1)) for r in range(64)]
    found = np.array([corrected(*each).value for each in sets])
    as_it_stands = np.mean([frechet_distance(*each) for each in sets])
    assert abs(found.mean()) < min(4 * found.std(ddof=1) / 8, 0.15 * as_it_stands), as_it_stands


def test_the_corrected_distance_repeats_ignores_order_and_is_never_clipped():
    sets = [(normals(2 * r, 200, 4), normals(2 * r + 1, 300, 4)) for r in range(12)]
    found = corrected(*sets[0])
    assert found == corrected(*sets[0]) and found.error == with_error(*sets[0]).error
    assert corrected(sets[0][0][::-1], sets[0][1][::-1]).value == pytest.approx(found.value, rel=1e-9)
    assert min(corrected(*each).value for each in sets) < 0
    assert corrected(sets[0][0], sets[0][0]).value == 0


def test_pairs_are_left_out_together():
    """Rows that are nearly the same have no distance, and hence no bias to be corrected for."""
    x = normals(0, 200, 16)
    y = x + 0.01 * normals(1, 200, 16)
    assert corrected(x, y, are_pairs=True).value == pytest.approx(frechet_distance(x, y), abs=1e-3)
    assert corrected(x, y).value < -0.3


@pytest.mark.parametrize(
    ("n", "note"), [(19, "fewer than 20 images"), (70, "hardly more images"), (71, "hardly more"), (72, "")]
)
def test_what_is_left_of_the_bias_with_few_images_is_said(n, note):
    found = corrected(normals(0, n, 64), normals(1, n, 64))
    assert found.note.startswith(note) and bool(found.note) == bool(note)
    assert (found.value == frechet_distance(normals(0, n, 64), normals(1, n, 64))) == (n < 20)


# variety and memory


def test_the_vendi_score_counts_unlike_images():
    assert vendi_score(np.eye(6)).value == pytest.approx(6, rel=1e-12)
    assert vendi_score(np.repeat(np.eye(6), 5, axis=0)).value == pytest.approx(6, rel=1e-12)
    assert vendi_score(np.ones((9, 4))).value == pytest.approx(1, rel=1e-12)
    opposite = np.array([[3.0, -1.0, 2.0], [-3.0, 1.0, -2.0]])
    assert vendi_score(np.repeat(opposite, 4, axis=0)).value == pytest.approx(2, rel=1e-12)
    # two groups of cosine c: eigenvalues (1 +- c) / 2
    c = 0.6
    pair = np.array([[1, 0], [c, np.sqrt(1 - c * c)]])
    l = np.array([1 + c, 1 - c]) / 2  # noqa: E741
    assert vendi_score(np.repeat(pair, 7, axis=0)).value == pytest.approx(np.exp(-(l * np.log(l)).sum()), rel=1e-12)


def test_the_vendi_score_is_the_same_from_either_matrix():
    x = normals(0, 17, 8)
    wide, tall = vendi_score(x), vendi_score(x[:16])
    parts = np.hstack([np.maximum(x, 0), np.maximum(-x, 0)]) / np.linalg.norm(x, axis=1, keepdims=True)
    for found, part in ((wide, parts), (tall, parts[:16])):
        values = np.linalg.svd(part, compute_uv=False) ** 2 / len(part)
        values = values[values > 1e-12]
        assert found.value == pytest.approx(np.exp(-(values * np.log(values)).sum()), rel=1e-10)
    assert wide.error is not None and tall.error is None and tall.note


def test_copies_are_as_near_as_can_be_and_are_counted():
    test, fresh = distances(0), distances(1)
    assert copied_share(test, test).value == 0.01
    copies = nearest(np.concatenate([TRAINING[:200], normals(1, 600, 6)]), TRAINING)
    assert (copies[:200] == 0).all() and (copies[200:] > 0).all()
    assert copied_share(copies, test).value == pytest.approx(0.25, abs=0.03)
    assert abs(data_copying(fresh, test).value) < 3 < 5 < -data_copying(copies, test).value
    assert data_copying(distances(1, 1.5), test).value > 5  # off the training images


def test_nothing_can_be_said_of_copying_where_all_distances_are_equal():
    assert isinstance(data_copying(np.zeros(200), np.zeros(300)), Undefined)


# reconstructions


def test_feature_errors_are_squared_distances_and_bound_the_frechet_distance():
    x = normals(0, 400, 8)
    y = 0.8 * x + 0.3 * normals(1, 400, 8) + 0.1
    assert feature_errors(x, y) == pytest.approx(((x - y) ** 2).sum(1), rel=1e-12)
    assert frechet_distance(x, y) < feature_errors(x, y).mean() * 400 / 399


def test_perfect_reconstructions_are_no_frechet_distance_away_and_blurred_ones_are_by_the_plain_formula():
    real = pixels(0, 200)
    perfect = outcomes(["reconstruction_frechet"], observed(real, real, reconstruct=lambda images, _: images))
    assert perfect == {"reconstruction_frechet": 0}

    def halved(images: torch.Tensor, labels: object) -> torch.Tensor:
        return images / 2 + 0.1

    x, y = (each.double().flatten(1).numpy() for each in (real, halved(real, None)))
    root = np.real(scipy.linalg.sqrtm(np.cov(x.T) @ np.cov(y.T)))
    plain = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(np.cov(x.T) + np.cov(y.T) - 2 * root)
    found = outcomes(["reconstruction_frechet"], observed(real, real, reconstruct=halved))
    assert with_error(x, y, are_pairs=True).value == pytest.approx(plain, rel=1e-5)
    assert found["reconstruction_frechet"] == pytest.approx(plain, rel=0.01)  # corrected for a small bias
    without = outcomes(["reconstruction_frechet"], observed(real, real))
    assert without == {"reconstruction_frechet": "no encoder"}


def test_an_image_and_its_reconstruction_are_not_independent_and_neither_are_their_influences():
    x = normals(0, 300, 8)
    y = blurred(x, 0)
    assert with_error(x, y, are_pairs=True).value == with_error(x, y).value
    assert with_error(x, y, are_pairs=True).error < 0.8 * with_error(x, y).error


@pytest.mark.parametrize(("side", "count"), [(16, 1), (21, 1), (22, 2), (28, 2), (43, 2), (44, 3), (64, 3), (176, 5)])
def test_scales_leave_the_window_room(side, count):
    assert scales(side) == count


# bad input


def observed(real: torch.Tensor, samples: torch.Tensor, **others) -> Observations:
    """Observations of images [N, 1, 4, 4] whose features are their pixels."""
    pixels = Extractor(name="pixels", sha256="0" * 64, dimension=16, embed=lambda images: images.flatten(1))
    return Observations(
        real=real, sample=lambda n: samples[:n], extractor=pixels, training=lambda n: (real.flip(0), None), **others
    )


def pixels(seed: int, n: int) -> torch.Tensor:
    return torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def outcomes(names: list[str], given: Observations) -> dict[str, float | str]:
    """The value of every output, or why it has none."""
    return {
        row["metric"]: row["undefined"] if row["value"] is None else row["value"] for row in score(given, load(names))
    }


@pytest.mark.parametrize("name", OF_FEATURES)
def test_one_image_or_one_kind_of_real_image_gives_a_reason(name):
    for count, kind in ((1, pixels(0, 1)), (200, pixels(0, 1).expand(200, 1, 4, 4))):
        reasons = outcomes([name], observed(kind, pixels(1, count)))
        assert all(isinstance(reason, str) for reason in reasons.values()), reasons
        assert count == 1 or set(reasons.values()) == {"all real images have the same features"}


@pytest.mark.parametrize("name", OF_FEATURES)
def test_samples_that_are_all_the_same_have_scores(name):
    found = outcomes([name], observed(pixels(0, 200), pixels(1, 1).expand(200, 1, 4, 4)))
    assert all(isinstance(value, float) for value in found.values())
    assert found.get("recall", 0) == 0 and found.get("vendi", 1) == pytest.approx(1)


@pytest.mark.parametrize("name", ["frechet", "kid", "prdc", "vendi", "memorisation", "class_shares", "perceptual"])
def test_an_extractor_that_gives_nan_gives_a_reason(name):
    real = pixels(0, 200)
    broken = Extractor(
        name="broken",
        sha256="0" * 64,
        dimension=16,
        embed=lambda images: images.flatten(1) * torch.nan,
        logits=lambda f: f[:, :3],
    )
    given = observed(real, pixels(1, 200), reconstruct=lambda images, _: images)
    assert all(isinstance(reason, str) for reason in outcomes([name], given.seen_by(broken)).values())


@pytest.mark.parametrize(
    "function",
    [
        lambda x: frechet_distance(x, x),
        lambda x: with_error(x, x),
        lambda x: kernel_distance(x, x),
        lambda x: prdc(x, x),
        lambda x: vendi_score(x),
        lambda x: nearest(x, x),
        lambda x: feature_errors(x, x),
    ],
)
def test_features_that_are_not_finite_are_refused(function):
    x = normals(0, 50, 3)
    x[7, 1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        function(x)


def test_a_blank_image_has_no_cosine():
    with pytest.raises(ValueError, match="all zero"):
        vendi_score(np.zeros((5, 3)))


def test_without_training_images_or_with_few_memorisation_has_a_reason():
    given = observed(pixels(0, 99), pixels(1, 99))
    assert set(outcomes(["memorisation"], given).values()) == {"needs 100 samples and as many test images"}
    without = observed(pixels(0, 200), pixels(1, 200))
    without.training = None
    assert set(outcomes(["memorisation"], without).values()) == {"the training images are not available"}


def test_without_labels_reconstructions_still_have_a_feature_error():
    real = pixels(0, 50)
    found = outcomes(["perceptual", "ssim"], observed(real, real, reconstruct=lambda images, _: images * 0.5))
    assert found["feature_error"] == pytest.approx(float((real.double() / 2).square().sum((1, 2, 3)).mean()))
    assert found["class_agreement"] == "no classifier: the data have no labels"


def test_memorisation_takes_fewer_images_in_more_features_and_says_how_many():
    real, samples = (torch.from_numpy(normals(seed, 400, 3200)) for seed in (0, 1))
    wide = Extractor(name="wide", sha256="0" * 64, dimension=3200, embed=lambda images: images.flatten(1))
    given = Observations(
        real=real[:, None, None],
        sample=lambda n: samples[:n, None, None],
        extractor=wide,
        training=lambda n: (real[:9, None, None], None),
    )
    assert {row["n"] for row in score(given, load(["memorisation"]))} == {200}  # 10,000 times 64 over 3,200


def grey(*levels: float) -> torch.Tensor:
    """Plain images [N, 1, 32, 32] of these levels from 0 to 1."""
    return torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, 1, 32, 32) * 2 - 1


def test_the_similarity_of_constants_is_that_of_the_published_luminance_term():
    pairs = [(0.2, 0.8), (0.0, 0.5), (0.4, 0.5)]
    expected = [(2 * a * b + 1e-4) / (a * a + b * b + 1e-4) for a, b in pairs]
    assert expected[0] == pytest.approx(0.471, abs=5e-4)
    images, others = grey(*(a for a, _ in pairs)), grey(*(b for _, b in pairs))
    np.testing.assert_allclose(similarities(images, others), expected, atol=1e-3)  # float32
    # over two scales the luminance of the last one counts, to the power 0.2856 of 0.3304
    power = 0.2856 / (0.0448 + 0.2856)
    np.testing.assert_allclose(multiscale(images, others), np.array(expected) ** power, atol=1e-3)


def test_one_perfect_reconstruction_counts_as_60_decibels():
    real = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    off = torch.tensor([0.0, 0.02, 0.2, 1e-5]).view(-1, 1, 1, 1)  # on [-1, 1]: 40 and 20 dB, and 106
    found = outcomes(["pixel_error"], observed(real, real, reconstruct=lambda images, _: real + off))
    assert found["psnr"] == pytest.approx((60 + 40 + 20 + 60) / 4, abs=0.01)
    row = score(observed(real, real, reconstruct=lambda images, _: real + off), load(["pixel_error"]))[1]
    assert row["note"] == "2 of 4 images above 60 dB, counted as 60"
