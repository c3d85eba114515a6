"""Folding BatchNorm changes no output beyond rounding, and only where a network says that it may be done."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from triptych.networks import build
from triptych.networks.folding import fold
from triptych.spec import NetworkSpec
from triptych.training.state import set_evaluation


def trained(batchnorm: str = "running") -> nn.ModuleDict:
    """The three networks with statistics that are not those of an untrained one, in evaluation mode."""
    nets = build(NetworkSpec(width=0.125, latent=8), 16, 1, seed=0)
    torch.manual_seed(0)
    for module in nets.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    set_evaluation(nets, batchnorm)
    return nets.requires_grad_(False)


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


def outputs(nets: nn.ModuleDict) -> list[torch.Tensor]:
    z = torch.randn(5, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
    images = nets["dec"](z)
    (slope,) = torch.autograd.grad(images.square().sum(), z, retain_graph=True)
    return [images, slope, *nets["enc"](images), *nets["dis"](images)]


def test_encoder_and_decoder_give_the_same_without_their_norms() -> None:
    before, nets = outputs(trained()), trained()
    for network in nets.values():
        fold(network)
    assert norms(nets["enc"]) == norms(nets["dec"]) == 0
    assert norms(nets["dis"]) > 0, "its features may be read before a norm, so it does not say that it is foldable"
    for value, right in zip(outputs(nets), before, strict=True):
        torch.testing.assert_close(value, right, rtol=2e-5, atol=2e-5)


def test_statistics_of_each_batch_are_not_folded() -> None:
    nets = trained("batch")
    before = outputs(nets)
    for network in nets.values():
        fold(network)
    assert norms(nets["dec"]) == 4
    assert all(torch.equal(a, b) for a, b in zip(outputs(nets), before, strict=True))


@pytest.mark.parametrize("foldable", [True, False])
def test_a_norm_without_a_layer_before_it_stays(foldable: bool) -> None:
    network = nn.Sequential(nn.BatchNorm1d(3), nn.ReLU(), nn.BatchNorm1d(3), nn.Linear(3, 3), nn.BatchNorm1d(3)).eval()
    network.foldable = foldable
    fold(network)
    assert norms(network) == (2 if foldable else 3)


class Doubled(nn.Module):
    """A layer, an activation that is used twice, and a norm: the norm does not follow the layer."""

    foldable = True

    def __init__(self) -> None:
        super().__init__()
        act = nn.Tanh()
        self.body = nn.Sequential(nn.Linear(3, 3), act, nn.Linear(3, 3), act, nn.BatchNorm1d(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def sequential(*layers: nn.Module) -> nn.Module:
    network = nn.Sequential(*layers)
    network.foldable = True
    return network


@pytest.mark.parametrize(
    "network",
    [
        Doubled(),
        sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3)), nn.BatchNorm1d(3)),
        sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, track_running_stats=False)),
        sequential(nn.Unflatten(1, (3, 1, 1)), nn.ConvTranspose2d(3, 3, 1, groups=3), nn.BatchNorm2d(3), nn.Flatten()),
    ],
    ids=["an activation between", "spectral norm", "no running statistics", "groups"],
)
def test_what_cannot_be_folded_stays_as_it_is(network: nn.Module) -> None:
    network.eval()
    x = torch.randn(4, 3)
    before = network(x)
    fold(network)
    assert norms(network) == 1 and torch.equal(network(x), before)
