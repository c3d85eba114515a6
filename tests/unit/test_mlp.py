"""The fully connected networks of Wu et al.: their layers, shapes, parameters and first weights, in every framework."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from triptych import networks, plugins
from triptych.errors import InputError
from triptych.spec import NetworkSpec, RunSpec
from triptych.training import cost
from triptych.training.state import digest, initial
from triptych.training.step import Examples, step

WU_50 = NetworkSpec(family="mlp", width=1.0, latent=50)
WU_10 = NetworkSpec(family="mlp", width=1.0, latent=10, options={"hidden": [64, 256, 256, 1024]})


def of_layers(*units: int) -> int:
    """The parameters of linear layers between these numbers of units."""
    return sum(before * after + after for before, after in itertools.pairwise(units))


def counts(spec: NetworkSpec, size: int, channels: int) -> dict[str, int]:
    nets = networks.describe(spec, size, channels)
    return {name: sum(p.numel() for p in net.parameters()) for name, net in nets.items()}


def test_the_papers_decoders_at_28_pixels_layer_by_layer():
    kinds = [(row["kind"], row["shape"]) for row in cost.layers(WU_50, 28, 1)["dec"]]
    hidden = [("Linear", [1024]), ("Tanh", [1024])] * 3
    assert kinds == [*hidden, ("Linear", [784]), ("Tanh", [784]), ("Unflatten", [1, 28, 28])]
    assert counts(WU_50, 28, 1)["dec"] == of_layers(50, 1024, 1024, 1024, 784) == 2_955_024
    assert counts(WU_10, 28, 1)["dec"] == of_layers(10, 64, 256, 256, 1024, 784) == 1_149_904


@pytest.mark.parametrize("size, channels, width, latent", [(16, 1, 0.03, 2), (28, 3, 0.5, 7), (45, 1, 1.0, 10)])
def test_shapes_and_parameters_at_any_size_width_and_number_of_channels_and_latents(size, channels, width, latent):
    options = {"hidden": [100, 300], "dis_hidden": [40, 20, 60], "tap_layer": 2}
    spec = NetworkSpec(family="mlp", width=width, latent=latent, options=options)
    nets = networks.describe(spec, size, channels)
    images = torch.empty(3, channels, size, size, device="meta")
    mean, log_variance = nets["enc"](images)
    logits, features = nets["dis"](images)
    first, second, tapped = (max(1, round(units * width)) for units in (100, 300, 20))
    assert mean.shape == log_variance.shape == (3, latent) and nets["dec"](mean).shape == images.shape
    assert logits.shape == (3,) and features.shape == (3, tapped)
    pixels, scaled = channels * size**2, [max(1, round(units * width)) for units in (40, 20, 60)]
    assert counts(spec, size, channels) == {
        "enc": of_layers(pixels, second, first) + 2 * of_layers(first, latent),
        "dec": of_layers(latent, first, second, pixels),
        "dis": of_layers(pixels, *scaled, 1),
    }


def test_dis_l_is_the_last_hidden_layer_unless_the_tap_says_otherwise():
    images = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    dis = networks.build(NetworkSpec(family="mlp", latent=2, options={"hidden": [8, 12, 20]}), 16, 1, seed=0)["dis"]
    logits, features = dis(images)
    last = dis.to_logit[-1]
    assert features.shape == (2, 2) and torch.equal(last(features).squeeze(1), logits)
    assert (features < 0).any() and features.min() > -0.2 * 10  # LeakyReLU(0.2)
    with pytest.raises(InputError, match=r"network.options: .*tap_layer is 3, but Dis has 2 hidden layers"):
        networks.describe(NetworkSpec(family="mlp", options={"dis_hidden": [5, 6], "tap_layer": 3}), 16, 1)
    for wrong in ({"hidden": []}, {"hidden": [0]}, {"activation": "sine"}):
        with pytest.raises(InputError, match=r"network\.options"):
            networks.describe(NetworkSpec(family="mlp", options=wrong), 16, 1)


def test_the_first_weights_are_glorots_and_belong_to_the_seed():
    nets, same, other = (networks.build(WU_50, 28, 1, seed) for seed in (0, 0, 1))
    for name in nets:
        assert digest(nets[name]) == digest(same[name]) != digest(other[name])
    for layer in (m for m in nets.modules() if isinstance(m, nn.Linear)):
        bound = math.sqrt(6 / (layer.in_features + layer.out_features))
        assert layer.weight.abs().max() <= bound and not layer.bias.any()
        if layer.weight.numel() > 10_000:
            assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)


@pytest.mark.parametrize("framework", plugins.names("frameworks"))
def test_every_framework_moves_all_its_players_on_them(framework):
    network = NetworkSpec(family="mlp", width=0.02, latent=3)
    spec = RunSpec.model_validate({"framework": framework, "network": network.model_dump(), "data": {"size": 18}})
    state = initial(spec, 3)
    before = {name: digest(net) for name, net in state.nets.items()}
    x = torch.rand(4, 3, 18, 18, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for progress in (0.0, 0.9):
        step(state, spec, [Examples(x)], progress)
    assert all(digest(net) != before[name] for name, net in state.nets.items())


def test_the_convolutions_refuse_a_side_that_cannot_be_halved_three_times():
    with pytest.raises(InputError, match=r"data.size: the conv networks need a multiple of 8 \(got 28\)"):
        networks.describe(NetworkSpec(width=0.03), 28, 1)
