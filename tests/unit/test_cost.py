"""Counted costs at the paper's size: parameters, FLOPs of real steps, and what the shared graph saves."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from triptych.frameworks import Noise
from triptych.frameworks.losses import (
    cross_entropy_fake,
    cross_entropy_real,
    gaussian_kl,
    reparameterise,
    squared_error,
)
from triptych.spec import RunSpec
from triptych.study.presets import PRESETS
from triptych.training import cost
from triptych.training.state import initial
from triptych.training.step import Examples, step

BATCH = 2
# GFLOP an image: the most that a step may take, and what it takes.
CASES = [
    ("vae", {}, 4.6, 4.496),
    ("gan", {"adversarial": "minimax"}, 9.1, 8.819),
    ("gan", {"adversarial": "non-saturating"}, 9.7, 9.674),
    ("vaegan", {}, 18.4, 17.961),
    ("vaegan", {"adversarial": "non-saturating"}, 19.9, 19.673),
]


def paper(framework: str, options: dict | None = None, optimiser: str = "Adam") -> RunSpec:
    """A run at the paper's size."""
    scale = {part: PRESETS["paper"][part] for part in ("data", "network")}
    return RunSpec.model_validate(
        {"framework": framework, "options": options or {}, "optimiser": {"name": optimiser}, **scale}
    )


def test_the_papers_networks_have_the_papers_number_of_parameters():
    assert cost.parameters(paper("vaegan"), 1) == {"enc": 35_112_064, "dec": 5_834_753, "dis": 10_953_409}
    assert cost.parameters(paper("gan"), 1) == {"dec": 5_834_753, "dis": 10_953_409}
    assert cost.parameters(paper("vae", {"sigma": "learned"}), 1)["likelihood"] == 1


@pytest.mark.parametrize(("framework", "options", "most", "expected"), CASES)
def test_a_step_at_the_papers_size_takes_no_more_than_one_graph_needs(
    framework: str, options: dict, most: float, expected: float
):
    counted = cost.flops_per_image(paper(framework, options), 1) / 1e9
    assert counted <= most
    assert counted == pytest.approx(expected, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("framework", "options"), [("vae", {}), ("gan", {}), ("vaegan", {})])
def test_what_is_counted_without_numbers_is_what_a_real_step_takes(framework: str, options: dict):
    spec = paper(framework, options, "SGD")
    state = initial(spec, 1)
    with FlopCounterMode(display=False) as counter:
        measured = step(state, spec, [Examples(torch.zeros(BATCH, 1, 64, 64))], 0.0)
    assert round(counter.get_total_flops() / BATCH) == cost.flops_per_image(spec, 1)
    assert all(norm > 0 for norm in measured.gradient_norms.values())


@pytest.mark.parametrize(("framework", "options"), [("vae", {}), ("gan", {}), ("vaegan", {}), ("as_published@gan", {})])
def test_counting_with_numbers_and_without_gives_the_same(
    framework: str, options: dict, monkeypatch: pytest.MonkeyPatch
):
    spec = paper(framework, options)
    small = spec.model_copy(update={"data": spec.data.model_copy(update={"size": 16})})
    counted = []
    for largest in (small.data.size, 0):
        monkeypatch.setattr(cost, "SMALL", largest)
        monkeypatch.setattr(cost, "_counted", {})
        counted.append(cost.flops_per_image(small, 1))
    assert counted[0] == counted[1] > 0


@pytest.mark.parametrize(
    ("part", "changes", "same"),
    [
        ("optimiser", {"rate": 0.1}, True),
        ("training", {"images": 64, "translate": 0.1, "snapshots": 2}, True),
        ("optimiser", {"rates": {"dis": 0.1}}, False),
        ("training", {"batch_size": 8}, False),
        ("training", {"updates": "sequential"}, False),
        ("network", {"width": 0.5}, False),
        ("data", {"size": 32}, False),
    ],
)
def test_runs_of_one_kind_are_those_whose_steps_take_the_same_arithmetic(part: str, changes: dict, same: bool):
    one = paper("vaegan")
    other = one.model_copy(update={part: getattr(one, part).model_copy(update=changes), "seed": 3})
    assert (cost.kind(one) == cost.kind(other)) == same


def test_three_separate_gradients_would_take_a_tenth_more():
    """VAE-GAN as one would write it first: one graph, and each player's own gradient through all of it."""
    spec = paper("vaegan")
    nets = initial(spec, 1, "meta").nets
    x = torch.empty(BATCH, 1, 64, 64, device="meta")
    noise = Noise(spec.seed, 0, x, spec.network.latent)
    with FlopCounterMode(display=False) as counter:
        mean, log_variance = nets["enc"](x)
        x_tilde, x_p = nets["dec"](reparameterise(mean, log_variance, noise("z"))), nets["dec"](noise("z_p"))
        (real, target), (rec, features), (fake, _) = (nets["dis"](images) for images in (x, x_tilde, x_p))
        llike = squared_error(target, features).mean()
        gan = (cross_entropy_real(real) + cross_entropy_fake(rec) + cross_entropy_fake(fake)).mean()
        losses = {"enc": gaussian_kl(mean, log_variance).mean() + llike, "dec": llike - gan, "dis": gan}
        for player, loss in losses.items():
            torch.autograd.grad(loss, list(nets[player].parameters()), retain_graph=True)
    assert counter.get_total_flops() / BATCH / 1e9 == pytest.approx(19.7, abs=0.05)


def test_a_framework_in_phases_costs_their_average():
    flops = {share: cost.flops_per_image(_pretrained(share), 1) for share in (0.25, 0.5, 0.75)}
    assert flops[0.5] == pytest.approx((flops[0.25] + flops[0.75]) / 2, abs=1)
    assert flops[0.25] != flops[0.75]


def _pretrained(share: float) -> RunSpec:
    return paper("vae_disl", {"discriminator": "pretrained", "pretraining": share})


def test_the_layers_forward_flops_are_those_of_their_shapes():
    """Two a multiply-add: a convolution's outputs, times its kernel, times its input channels."""
    layers = cost.layers(paper("vae").network, 64, 1)
    flops = {name: [row["flops"] for row in rows if row["flops"]] for name, rows in layers.items()}
    assert flops["enc"][:2] == [2 * 64 * 32**2 * 25, 2 * 128 * 16**2 * 25 * 64]
    assert flops["enc"][3:] == [2 * 16384 * 2048, 2 * 2048 * 128, 2 * 2048 * 128]
    assert flops["dis"][0] == 2 * 32 * 64**2 * 25
    assert flops["dec"][1] == 2 * 256 * 8**2 * 36 * 256  # a transposed convolution is counted at its input
    weights = {name: sum(row["parameters"] for row in rows) for name, rows in layers.items()}
    assert weights == {"enc": 35_112_064, "dec": 5_834_753, "dis": 10_953_409}
