"""The published trainers, restated: what one iteration of each does to every parameter, in float64.

The restatement below is written from what the notebook does, in plain PyTorch: networks as black boxes, a `backward`
for every update, `torch.optim`, `nn.BCELoss`. It uses nothing of `triptych`'s losses, terms, game or step; it is given
the networks, a batch and the noise, and says what the networks are after the step and what the notebook prints. Every
quirk is a branch of it, on and off.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from triptych.frameworks import Noise as Drawn
from triptych.frameworks import framework_of
from triptych.spec import RunSpec
from triptych.training.state import State, initial, optimisers
from triptych.training.step import Examples, step

pytestmark = pytest.mark.slow

Noise = Callable[[str], Tensor]
PUBLISHED: dict[str, Any] = {
    "game": "vaegan",
    "reduction": "mean",
    "gamma": 15.0,
    "encoder_weight": 5.0,
    "generator": "inverted",
    "dis_batches": "separate",
    "cross_entropy": "sigmoid",
    "redraw": True,
    "statistics": "batch",
}
"""What the framework is without an option."""
ADAM = {"name": "Adam", "options": {"betas": [0.5, 0.999]}}
SGD = {"name": "SGD"}
"""Adam's first step forgets the size of a gradient; plain descent shows it."""


# The restatement.


class Notebook:
    """One published trainer: its networks, its optimisers, and `iterate(x, noise)` for one mini-batch."""

    def __init__(self, nets: nn.ModuleDict, spec: RunSpec) -> None:
        self.o = PUBLISHED | spec.options
        self.spec = spec
        networks: dict[str, Any] = dict(nets.items())
        self.enc, self.dec, self.dis = (networks.get(name, nn.Identity()) for name in ("enc", "dec", "dis"))
        parameters = {name: list(net.parameters()) for name, net in nets.items()}
        if self.o["game"] == "vae":
            parameters = {"vae": parameters["enc"] + parameters["dec"]}
        rates = {name: spec.optimiser.rates.get(name, spec.optimiser.rate) for name in parameters}
        kind, options = getattr(torch.optim, spec.optimiser.name), spec.optimiser.options
        self.optimisers = {name: kind(group, lr=rates[name], **options) for name, group in parameters.items()}
        nets.train()

    def iterate(self, x: Tensor, noise: Callable[[int], Noise]) -> dict[str, float]:
        return {"vae": self.vae, "gan": self.gan, "vaegan": self.vaegan}[self.o["game"]](x, noise)

    def update(self, losses: dict[str, Tensor]) -> None:
        """Move the players, each along its own loss, all from where they stand."""
        found = {}
        for name, loss in losses.items():
            self.forget()
            loss.backward(retain_graph=True)
            found[name] = [[p.grad for p in group["params"]] for group in self.optimisers[name].param_groups]
        for name, gradients in found.items():
            for group, grads in zip(self.optimisers[name].param_groups, gradients, strict=True):
                for parameter, gradient in zip(group["params"], grads, strict=True):
                    parameter.grad = gradient
            self.optimisers[name].step()
        self.forget()

    def forget(self) -> None:
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)

    def entropy(self, logits: Tensor, label: float) -> Tensor:
        labels = torch.full_like(logits, label)
        if self.o["cross_entropy"] == "sigmoid":
            return nn.BCELoss()(torch.sigmoid(logits), labels)
        return nn.BCEWithLogitsLoss()(logits, labels)

    def judge(self, *batches: Tensor) -> list[tuple[Tensor, Tensor]]:
        if self.o["dis_batches"] == "separate":
            return [self.dis(batch) for batch in batches]
        logits, features = self.dis(torch.cat(batches))
        return list(zip(logits.chunk(len(batches)), features.chunk(len(batches)), strict=True))

    def encode(self, x: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.enc(x)
        z = mean + torch.exp(log_variance / 2) * epsilon
        inside = -(1 + log_variance - mean * mean - torch.exp(log_variance)) / 2
        return z, inside.mean() if self.o["reduction"] == "mean" else inside.sum() / len(x)

    def difference(self, a: Tensor, b: Tensor) -> Tensor:
        """The mean of squares; mended, what a Gaussian of unit variance has: half their sum, per image."""
        squares = (a - b) ** 2
        return squares.mean() if self.o["reduction"] == "mean" else squares.sum() / 2 / len(a)

    def vae(self, x: Tensor, noise: Callable[[int], Noise]) -> dict[str, float]:
        z, prior = self.encode(x, noise(0)("z"))
        reconstruction = self.difference(x, self.dec(z))
        self.update({"vae": prior + reconstruction})
        return {"prior": prior.item(), "reconstruction": reconstruction.item()}

    def gan(self, x: Tensor, noise: Callable[[int], Noise]) -> dict[str, float]:
        training, printed = self.spec.training, {}
        together = training.updates == "simultaneous"
        for number, turn in enumerate(("both",) if together else training.order or ()):
            z = noise(number if self.o["redraw"] else 0)("z_p")
            (real, _), (fake, _) = self.judge(x, self.dec(z))
            cost = self.entropy(real, 1.0) + self.entropy(fake, 0.0)
            # As published the generator wants its images called fake; minimax is the opposite.
            wrong = self.entropy(fake, 0.0)
            descends = wrong if self.o["generator"] == "inverted" else -cost
            losses = {"dis": cost, "dec": descends}
            self.update(losses if turn == "both" else {turn: losses[turn]})
            if turn != "dec" or self.o["generator"] == "minimax":
                printed["gan"] = cost.item()
            if turn != "dis" and self.o["generator"] == "inverted":
                printed["judged_fake"] = wrong.item()
        return printed

    def vaegan(self, x: Tensor, noise: Callable[[int], Noise]) -> dict[str, float]:
        def losses(epsilon: Tensor, z_p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            z, prior = self.encode(x, epsilon)
            (real, target), (rec, features), (fake, _) = self.judge(x, self.dec(z), self.dec(z_p))
            cost = self.entropy(real, 1.0) + self.entropy(rec, 0.0) + self.entropy(fake, 0.0)
            return prior, self.difference(features, target), cost

        gamma, weight = self.o["gamma"], self.o["encoder_weight"]
        epsilon, z_p = noise(0)("z"), noise(0)("z_p")
        if self.spec.training.updates == "simultaneous":
            prior, llike, cost = losses(epsilon, z_p)
            self.update({"dis": cost, "dec": gamma * llike - cost, "enc": prior + weight * llike})
            return {"prior": prior.item(), "llike": llike.item(), "gan": cost.item()}
        _, _, cost = losses(epsilon, z_p)
        self.update({"dis": cost})
        _, llike, cost = losses(epsilon, z_p)
        self.update({"dec": gamma * llike - cost})
        # Enc's update has no use for samples; joined batches hold them nevertheless, for BatchNorm to see.
        again = noise(1) if self.o["redraw"] else noise(0)
        prior, llike, _ = losses(again("z"), again("z_p"))
        self.update({"enc": prior + weight * llike})
        return {"prior": prior.item(), "llike": llike.item(), "gan": cost.item()}


# Every quirk on and off.


def product(**choices: Any) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


def spec_of(game: str, options: dict[str, Any], optimiser: dict[str, Any], training: dict[str, Any], **network: Any):
    return RunSpec.model_validate(
        {
            "framework": "as_published",
            "options": {"game": game, **options},
            "data": {"size": 16},
            "network": {"width": 0.03, "latent": 8, "options": network},
            "optimiser": optimiser,
            "training": {"batch_size": 4, **training},
        }
    )


def vaes() -> Iterator[RunSpec]:
    inits, momenta, how = ["notebook", "notebook-vaegan", "dcgan"], [0.9, 0.1], [ADAM, SGD]
    options = product(reduction=["mean", "sum"], statistics=["batch", "running"])
    for option, rate, optimiser, init, momentum in itertools.product(options, [3e-4, 6e-4], how, inits, momenta):
        yield spec_of("vae", option, {**optimiser, "rate": rate}, {}, init=init, momentum=momentum)


TURNS: list[dict[str, Any]] = [
    {"updates": "sequential", "order": ["dis", "dis", "dec"]},
    {"updates": "sequential", "order": ["dis", "dec"]},
    {"updates": "simultaneous"},
]


STARTS = [{"init": "notebook", "momentum": 0.9}, {"init": "dcgan", "momentum": 0.1}]
"""Initial weights and momentum, which a step does not ask about, change with the optimiser."""


def gans() -> Iterator[RunSpec]:
    options = product(
        generator=["inverted", "minimax"],
        redraw=[True, False],
        dis_batches=["separate", "joint"],
        cross_entropy=["sigmoid", "logits"],
    )
    optimisers = [ADAM | {"rate": 0.04, "rates": {"dis": 0.004}}, ADAM | {"rate": 0.04}, SGD | {"rate": 0.04}]
    how = zip(optimisers, itertools.cycle(STARTS), strict=False)
    for option, turns, (optimiser, start) in itertools.product(options, TURNS, how):
        yield spec_of("gan", option, optimiser, turns, **start)


ORDERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"redraw": True}, {"updates": "sequential", "order": ["dis", "dec", "enc"]}),
    ({"redraw": False}, {"updates": "sequential", "order": ["dis", "dec", "enc"]}),
    ({}, {"updates": "simultaneous"}),
]


WEIGHTS = [{"gamma": 15.0, "encoder_weight": 5.0}, {"gamma": 0.1, "encoder_weight": 1.0}]
VAEGAN_STARTS = [{"init": "notebook-vaegan", "momentum": 0.9}, STARTS[1]]


def vaegans() -> Iterator[RunSpec]:
    options = product(reduction=["mean", "sum"], dis_batches=["separate", "joint"], cross_entropy=["sigmoid", "logits"])
    optimisers = [ADAM | {"rate": 3e-4, "rates": {"dis": 3e-5}}, ADAM | {"rate": 3e-4}, SGD | {"rate": 3e-4}]
    how = zip(optimisers, itertools.cycle(VAEGAN_STARTS), strict=False)
    for option, weights, (redraw, turns), (optimiser, start) in itertools.product(options, WEIGHTS, ORDERS, how):
        yield spec_of("vaegan", {**option, **weights, **redraw}, optimiser, turns, **start)


def the_published() -> Iterator[RunSpec]:
    """Each as it was, no option named: the framework's defaults are the notebook's."""
    one = spec_of("vaegan", {}, ADAM | {"rate": 3e-4, "rates": {"dis": 3e-5}}, ORDERS[0][1], init="notebook-vaegan")
    yield one.model_copy(update={"options": {}})
    yield spec_of("gan", {}, ADAM | {"rate": 0.04, "rates": {"dis": 0.004}}, TURNS[0], init="notebook", momentum=0.9)
    yield spec_of("vae", {}, ADAM | {"rate": 3e-4}, {}, init="notebook", momentum=0.9)


def batch(number: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Four pictures, [4, 1, 16, 16]."""
    return torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(number), dtype=dtype) * 2 - 1


@functools.cache
def drawn(whose: str, game: str, network: str) -> tuple[nn.ModuleDict, dict[str, Tensor]]:
    """Networks in float64 and the weights that they start with, drawn once for all that differs in what follows."""
    nets = initial(spec_of(game, {}, ADAM, {}, **json.loads(network)), 1).nets.double()
    return nets, {name: value.clone() for name, value in nets.state_dict().items()}


def start(whose: str, spec: RunSpec, logit: float) -> nn.ModuleDict:
    """A run's networks before its first step, Dis's last bias so much larger."""
    nets, weights = drawn(whose, spec.options.get("game", "vaegan"), json.dumps(spec.network.options))
    nets.load_state_dict(weights)
    if "dis" in nets:
        with torch.no_grad():
            nets["dis"].head[-1].bias.add_(logit)  # type: ignore[index, union-attr, operator]
    return nets


def check(spec: RunSpec, steps: int = 1, logit: float = 0.0) -> None:
    """As many steps of ours and of the restatement from the same start agree in every parameter and printed number."""
    state, nets = State(framework_of(spec), start("ours", spec, logit), {}), start("theirs", spec, logit)
    players = {player: state.parameters(player) for player in state.framework.players}
    state.optimisers, notebook = optimisers(spec.optimiser, players), Notebook(nets, spec)
    for number in range(steps):
        x = batch(number)
        printed = notebook.iterate(x, lambda draw, n=number, x=x: Drawn(spec.seed, n, x, spec.network.latent, draw))
        ours = step(state, spec, [Examples(x)], number / steps).terms
        assert {name: ours[name] for name in printed} == pytest.approx(printed, rel=1e-9, abs=1e-12)
    theirs, idle = dict(nets.named_parameters()), removed(nets)
    for name, parameter in state.nets.named_parameters():
        # Where the gradient is rounding alone, Adam still divides by it: any step up to its rate, and of no effect.
        noise = name in idle and spec.optimiser.name == "Adam"
        most = 1e-3 * spec.optimiser.rate if noise else 1e-12
        torch.testing.assert_close(
            parameter, theirs[name], rtol=1e-9, atol=most, msg=lambda text, n=name: f"{n}: {text}"
        )


def removed(nets: nn.ModuleDict) -> set[str]:
    """The biases just before a BatchNorm, which takes them away again: their gradient is zero."""
    blocks = [name for name, module in nets.named_modules() if hasattr(module, "norm")]
    return {f"{block}.{layer}.bias" for block in blocks for layer in ("convolution", "linear")}


def apart(specs: Iterator[RunSpec], parts: int) -> list[Any]:
    """The specifications dealt into some heaps: a test a heap."""
    dealt = list(specs)
    return [dealt[number::parts] for number in range(parts)]


@pytest.mark.parametrize("specs", [*apart(vaes(), 2), *apart(gans(), 4), *apart(vaegans(), 8)])
def test_one_step_is_the_notebooks_for_every_quirk_on_and_off(specs: list[RunSpec]):
    for spec in specs:
        try:
            check(spec)
        except AssertionError as error:
            raise AssertionError(f"{spec.options} {spec.optimiser} {spec.training} {spec.network.options}") from error


@pytest.mark.parametrize("spec", list(the_published()), ids=["vaegan", "gan", "vae"])
def test_two_steps_of_the_published_trainers_are_the_notebooks(spec: RunSpec):
    check(spec, steps=2)


# Saturated: where a rounded sigmoid and logits part.


def judged_at(cross_entropy: str, logit: float, dtype: torch.dtype) -> tuple[RunSpec, State]:
    """A GAN whose Dis gives this logit, or nearly, to every picture."""
    spec = spec_of("gan", {"cross_entropy": cross_entropy}, SGD | {"rate": 0.01}, TURNS[2], init="notebook")
    state = initial(spec, 1)
    state.nets.to(dtype)
    with torch.no_grad():
        last: Any = state.nets["dis"].head[-1]  # type: ignore[index, union-attr]
        last.weight.mul_(1e-3)
        last.bias.fill_(logit)
    return spec, state


@pytest.mark.parametrize(("dtype", "logit"), [(torch.float32, 50.0), (torch.float64, 800.0), (torch.float64, -800.0)])
def test_a_sure_discriminator_costs_at_most_100_and_teaches_nothing_through_a_rounded_sigmoid(dtype, logit):
    """Real with logit 50 where fake is right: 1 - sigmoid is 0 in float32, and its logarithm is cut off at -100."""
    for cross_entropy, cost in (("sigmoid", 100.0), ("logits", abs(logit))):
        spec, state = judged_at(cross_entropy, logit, dtype)
        measured = step(state, spec, [Examples(batch(dtype=dtype))], 0.0)
        assert measured.terms["gan"] == pytest.approx(cost, rel=1e-3)
        assert (measured.gradient_norms["dis"] == 0) is (cross_entropy == "sigmoid")
        # Where all is called fake, the generator has what it wants, and a rounded 0 is a 0.
        flat = cross_entropy == "sigmoid" or logit < 0
        assert (measured.gradient_norms["dec"] == 0) is flat


@pytest.mark.parametrize("game", ["gan", "vaegan"])
@pytest.mark.parametrize("logit", [-800.0, -60.0, -30.0, 30.0, 60.0, 800.0])
@pytest.mark.parametrize("cross_entropy", ["sigmoid", "logits"])
def test_saturated_steps_are_the_notebooks_too(game: str, logit: float, cross_entropy: str):
    turns = TURNS[0] if game == "gan" else ORDERS[0][1]
    check(spec_of(game, {"cross_entropy": cross_entropy}, SGD | {"rate": 3e-4}, turns, init="notebook"), logit=logit)
