"""The paper's networks: their layers, their shapes at any size, their taps and their first weights."""

from __future__ import annotations

import copy
import itertools
import math

import pytest
import torch
from torch import nn

from triptych import networks
from triptych.errors import InputError
from triptych.spec import NetworkSpec
from triptych.study.presets import PRESETS
from triptych.training import cost
from triptych.training.state import digest

pytestmark = pytest.mark.slow

TINY = NetworkSpec(width=0.03, latent=3)
PAPER = NetworkSpec(**PRESETS["paper"]["network"])
NORMS = nn.modules.batchnorm._BatchNorm


def block(kind: str, *shape: int, norm: str | None = "BatchNorm2d") -> list[tuple[str, list[int]]]:
    """A layer, its BatchNorm if it has one, LeakyReLU."""
    kinds = [kind, norm, "LeakyReLU 0.2"] if norm else [kind, "LeakyReLU 0.2"]
    return [(kind, list(shape)) for kind in kinds]


TABLE = {
    "enc": [
        *block("Conv2d 5x5, stride 2, padding 2", 64, 32, 32),
        *block("Conv2d 5x5, stride 2, padding 2", 128, 16, 16),
        *block("Conv2d 5x5, stride 2, padding 2", 256, 8, 8),
        ("Flatten", [16384]),
        *block("Linear", 2048, norm="BatchNorm1d"),
        ("Linear", [128]),
        ("Linear", [128]),
    ],
    "dec": [
        *block("Linear", 16384, norm="BatchNorm1d"),
        ("Unflatten", [256, 8, 8]),
        *block("ConvTranspose2d 6x6, stride 2, padding 2", 256, 16, 16),
        *block("ConvTranspose2d 6x6, stride 2, padding 2", 128, 32, 32),
        *block("ConvTranspose2d 6x6, stride 2, padding 2", 32, 64, 64),
        ("ConvTranspose2d 5x5, stride 1, padding 2", [1, 64, 64]),
        ("Tanh", [1, 64, 64]),
    ],
    "dis": [
        *block("Conv2d 5x5, stride 1, padding 2", 32, 64, 64, norm=None),
        *block("Conv2d 5x5, stride 2, padding 2", 128, 32, 32),
        *block("Conv2d 5x5, stride 2, padding 2", 256, 16, 16),
        *block("Conv2d 5x5, stride 2, padding 2", 256, 8, 8),
        ("Flatten", [16384]),
        *block("Linear", 512, norm="BatchNorm1d"),
        ("Linear", [1]),
    ],
}


def test_at_the_papers_size_they_are_the_papers_layer_by_layer():
    layers = cost.layers(PAPER, 64, 1)
    found = {name: [(row["kind"], row["shape"]) for row in rows] for name, rows in layers.items()}
    assert found == TABLE
    counts = {name: sum(row["parameters"] for row in rows) for name, rows in layers.items()}
    assert counts == {"enc": 35_112_064, "dec": 5_834_753, "dis": 10_953_409}


@pytest.mark.parametrize("size", range(16, 129, 8))
def test_every_size_width_and_number_of_channels_and_latents_gives_the_shapes_promised(size: int):
    for channels, width, latent in itertools.product((1, 3), (0.03, 0.125, 1.0), (2, 128)):
        nets = networks.describe(NetworkSpec(width=width, latent=latent), size, channels)
        images = torch.empty(2, channels, size, size, device="meta")
        mean, log_variance = nets["enc"](images)
        logits, features = nets["dis"](images)
        assert mean.shape == log_variance.shape == (2, latent)
        assert nets["dec"](mean).shape == images.shape
        assert logits.shape == (2,)
        assert features.shape == (2, round(256 * width) * (size // 8) ** 2)


@pytest.mark.parametrize(("size", "channels"), [(16, 1), (24, 3)])
def test_decoded_images_lie_between_minus_one_and_one_and_reach_far_into_it(size: int, channels: int):
    dec = networks.build(NetworkSpec(width=0.03, latent=3, options={"init": "torch"}), size, channels, 0)["dec"]
    with torch.no_grad():
        dec.body[-2].weight.mul_(100)  # type: ignore[index, union-attr, operator]
        images = dec(torch.randn(16, 3, generator=torch.Generator().manual_seed(0)))
    assert images.min() >= -1
    assert images.max() <= 1
    assert images.min() < -0.9 < 0.9 < images.max()


@pytest.mark.parametrize(
    ("layer", "point"),
    [(n, p) for n in (1, 2, 3, 4) for p in ("convolution", "norm", "activation") if (n, p) != (1, "norm")],
)
def test_the_tap_reads_what_a_hook_on_that_layer_sees(layer: int, point: str):
    options = {"tap_layer": layer, "tap_point": point}
    dis = networks.build(NetworkSpec(width=0.03, latent=3, options=options), 16, 1, 0)["dis"]
    images = torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    seen: list[torch.Tensor] = []
    strided = [module for module in dis.modules() if isinstance(module, nn.Conv2d)]
    modules = list(dis.modules())
    kinds = {"convolution": nn.Conv2d, "norm": nn.BatchNorm2d, "activation": nn.LeakyReLU}
    after = modules[modules.index(strided[layer - 1]) :]
    tapped = next(module for module in after if isinstance(module, kinds[point]))
    tapped.register_forward_hook(lambda module, arguments, output: seen.append(output.clone()))
    logits, features = dis(images)
    assert torch.equal(features, seen[0].flatten(1))
    plain = networks.build(TINY, 16, 1, 0)["dis"]
    assert torch.equal(logits, plain(images)[0])  # where one reads does not change what Dis says


def test_a_tap_after_a_norm_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="no BatchNorm"):
        networks.describe(NetworkSpec(options={"tap_layer": 1, "tap_point": "norm"}), 16, 1)


@pytest.mark.parametrize(("options", "hint"), [({"tap_leyer": 2}, "tap_layer"), ({"init": "xavier"}, "dcgan")])
def test_a_wrong_option_of_the_family_is_refused_with_its_mending(options: dict, hint: str):
    with pytest.raises(InputError, match=hint):
        networks.describe(NetworkSpec(options=options), 16, 1)


def test_an_unknown_family_is_refused_with_the_nearest_name():
    with pytest.raises(InputError, match="Did you mean 'conv'"):
        networks.describe(NetworkSpec(family="convv"), 16, 1)


def digests(nets: nn.ModuleDict) -> dict[str, str]:
    return {name: digest(net) for name, net in nets.items()}


@pytest.mark.parametrize("init", ["dcgan", "torch"])
def test_one_seed_gives_the_same_bits_and_another_seed_gives_others(init: str):
    spec = NetworkSpec(width=0.03, latent=3, options={"init": init})
    first, again, other = (digests(networks.build(spec, 16, 1, seed)) for seed in (3, 3, 4))
    assert first == again
    assert all(first[name] != other[name] for name in first)


@pytest.mark.parametrize("init", ["dcgan", "torch"])
def test_a_networks_weights_depend_on_no_other_network_and_on_no_global_generator(init: str, monkeypatch):
    from triptych.networks import conv

    spec = NetworkSpec(width=0.03, latent=3, options={"init": init})
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = digests(networks.build(spec, 16, 1, 3))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    build = conv.build
    monkeypatch.setattr(conv, "build", lambda *given: dict(reversed(build(*given).items())))
    turned = networks.build(spec, 16, 1, 3)
    assert list(turned) == ["dis", "dec", "enc"]
    assert digests(turned) == first


@pytest.mark.parametrize("init", ["dcgan", "torch"])
def test_the_three_networks_draw_from_streams_of_their_own(init: str):
    nets = networks.build(NetworkSpec(width=0.125, latent=32, options={"init": init}), 16, 1, 0)
    firsts = [next(net.parameters()).detach().flatten()[:100] for net in nets.values()]
    for one, other in itertools.combinations(firsts, 2):
        assert abs(torch.corrcoef(torch.stack([one, other]))[0, 1].item()) < 0.4  # four standard errors


def layers_of(init: str) -> list[nn.Module]:
    nets = networks.build(NetworkSpec(width=0.25, latent=32, options={"init": init}), 16, 1, 0)
    return [module for module in nets.modules() if next(module.parameters(recurse=False), None) is not None]


def is_normal(values: torch.Tensor, mean: float, deviation: float) -> bool:
    """Whether mean and deviation agree to 5 standard errors; for a true draw that fails once in a million layers."""
    error = deviation / math.sqrt(values.numel())
    return abs(values.mean().item() - mean) < 5 * error and abs(values.std().item() - deviation) < 5 * error


def test_dcgan_weights_are_normal_with_deviation_002_and_biases_zero():
    for layer in layers_of("dcgan"):
        assert is_normal(layer.weight, 1.0 if isinstance(layer, NORMS) else 0.0, 0.02)  # type: ignore[arg-type]
        assert not layer.bias.any()  # type: ignore[union-attr, operator]


def test_torch_weights_are_uniform_within_pytorchs_own_bounds():
    for layer in layers_of("torch"):
        weight, bias = layer.weight, layer.bias
        assert isinstance(weight, torch.Tensor)
        assert isinstance(bias, torch.Tensor)
        if isinstance(layer, NORMS):
            assert (weight == 1).all()
            assert not bias.any()
            continue
        limit = 1 / math.sqrt(weight[0].numel())
        assert is_normal(weight, 0.0, limit / math.sqrt(3))
        default = copy.deepcopy(layer)
        default.reset_parameters()  # type: ignore[operator]
        for tensor in (weight, bias, default.weight, default.bias):
            assert tensor.abs().max() <= limit * (1 + 1e-6)  # type: ignore[union-attr, operator]


def test_running_statistics_start_at_the_standard_normal_and_move_by_the_momentum_given():
    nets = networks.build(NetworkSpec(width=0.03, latent=3, options={"momentum": 0.9}), 16, 1, 0)
    norms = [module for module in nets.modules() if isinstance(module, NORMS)]
    assert len(norms) == 4 + 4 + 4
    for norm in norms:
        assert not norm.running_mean.any()  # type: ignore[union-attr]
        assert (norm.running_var == 1).all()  # type: ignore[union-attr]
        assert norm.momentum == 0.9
