"""Latent inversion against least squares, against images that the decoder made, and against itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from triptych.evaluation.features import Extractor
from triptych.evaluation.inversion import invert
from triptych.evaluation.metrics import load, score
from triptych.evaluation.metrics.pixel_error import squared_errors
from triptych.evaluation.observations import Observations
from triptych.rng import stream

LATENT = 6


def normals(*shape: int, purpose: str = "test") -> Tensor:
    return torch.randn(shape, generator=stream(0, purpose))


WEIGHTS, BIAS = normals(LATENT, 64, purpose="weights") / 8, normals(64, purpose="bias") / 8


def linear(latents: Tensor) -> Tensor:
    return (latents @ WEIGHTS + BIAS).reshape(-1, 1, 8, 8)


@pytest.fixture(scope="module")
def curved():
    """A small network with random weights, as a decoder of images [B, 1, 8, 8]."""
    network = nn.Sequential(
        nn.Linear(LATENT, 32), nn.LeakyReLU(0.2), nn.Linear(32, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8))
    )
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0, 0.3, generator=stream(0, "network"))
    return network.requires_grad_(False)


def test_of_a_linear_decoder_it_is_least_squares():
    images = normals(20, 1, 8, 8)
    target = (images.flatten(1) - BIAS).double()
    exact = torch.linalg.lstsq(WEIGHTS.T.double(), target.T).solution.T
    found = invert(linear, images, LATENT, 0, steps=300)
    assert torch.allclose(found.double(), exact, atol=2e-2)
    best = squared_errors(images, linear(exact.float()))
    assert torch.allclose(squared_errors(images, linear(found)), best, rtol=1e-4)


@pytest.mark.parametrize("decoder", ["linear", "curved"])
def test_what_a_decoder_made_it_can_make_again(decoder, curved):
    decode = linear if decoder == "linear" else curved
    images = decode(normals(30, LATENT))
    found = squared_errors(images, decode(invert(decode, images, LATENT, 0)))
    assert found.mean() < 1e-4 * squared_errors(images, images.mean(0, keepdim=True).expand_as(images)).mean()


def test_more_starts_find_what_one_does_not():
    """Of a decoder that winds, the nearest start of all is not the nearest in the end."""

    def winding(latents: Tensor) -> Tensor:
        return torch.cat([latents / 2, (5 * latents).sin()], 1).reshape(-1, 1, 3, 4)

    images = winding(normals(60, LATENT))
    one, many = (squared_errors(images, winding(invert(winding, images, LATENT, 0, restarts=n))).mean() for n in (1, 8))
    assert many < one / 1.5


def test_images_do_not_see_each_other_and_chance_is_seeded(curved):
    images = normals(70, 1, 8, 8).clamp(-1, 1)
    whole = invert(curved, images, LATENT, 0, steps=30)
    assert torch.equal(invert(curved, images, LATENT, 0, steps=30), whole)
    assert torch.allclose(invert(curved, images[40:50], LATENT, 0, steps=30), whole[40:50], atol=1e-3)
    assert not torch.allclose(invert(curved, images, LATENT, 1, steps=30), whole, atol=1e-3)


def test_a_larger_budget_is_never_worse_where_there_is_one_optimum():
    images = normals(20, 1, 8, 8)
    errors = [
        float(squared_errors(images, linear(invert(linear, images, LATENT, 0, steps=n))).mean()) for n in (6, 30, 150)
    ]
    assert errors[0] > errors[1] > errors[2]


def test_it_starts_from_the_nearest_of_many_draws():
    images = linear(normals(40, LATENT))
    found = squared_errors(images, linear(invert(linear, images, LATENT, 0, restarts=1, steps=6, rate=1e-6)))
    assert found.mean() < 0.3 * squared_errors(images, images.roll(1, 0)).mean()


def observed(images: Tensor, decode=None, **beside) -> Observations:
    extractor = Extractor(
        name="pixels",
        sha256="0" * 64,
        dimension=256,
        embed=lambda x: x.flatten(1),
        logits=lambda x: x[:, 0:3:2],
        label_names=("a", "b"),
    )
    return Observations(
        real=images, sample=lambda n: images[:n], extractor=extractor, decode=decode, latent=LATENT, **beside
    )


def large(latents: Tensor) -> Tensor:
    """The linear decoder's images at 16 pixels, for SSIM's window."""
    return linear(latents).repeat_interleave(2, 2).repeat_interleave(2, 3)


def rows(given: Observations, **options) -> dict[str, dict]:
    return {row["metric"]: row for row in score(given, load(["inversion"]), options={"inversion": options})}


def test_of_images_that_the_decoder_made_all_inverted_values_are_ideal():
    found = rows(observed(large(normals(30, LATENT)), large))
    ideal = {"inverted_mse": 0, "inverted_ssim": 1, "inverted_feature_error": 0, "inverted_agreement": 1}
    assert {name: row["value"] for name, row in found.items()} == pytest.approx(ideal, abs=1e-3)
    note = found["inverted_mse"]["note"]
    assert note.startswith("30 images, best of 4 starts, 150 steps; |z|^2/L ")
    assert float(note.rpartition(" ")[2]) == pytest.approx(float(normals(30, LATENT).square().mean()), abs=0.02)


def test_the_budget_is_an_option_and_the_encoder_stands_beside():
    given = observed(large(normals(30, LATENT)), large, reconstruct=lambda x, _: x - 0.2)
    note = rows(given, images=10, restarts=2, steps=12)["inverted_mse"]["note"]
    assert note.startswith("10 images, best of 2 starts, 12 steps") and note.endswith("by the encoder 0.0100")


def test_without_a_decoder_or_its_gradient_there_is_a_reason():
    images = large(normals(4, LATENT))
    assert {row["undefined"] for row in rows(observed(images)).values()} == {"no decoder from latents"}
    stuck = observed(images, lambda z: large(z.detach()))
    assert {row["undefined"] for row in rows(stuck).values()} == {"the decoder is not differentiable"}
