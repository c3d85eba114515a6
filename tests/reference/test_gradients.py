"""Every player's gradient, against one fresh forward a player in float64, written here from the papers' formulae.

Nothing of `triptych.frameworks.losses`, of the frameworks' terms or of the cuts is used by the oracles: each returns
the scalar that one player descends, as Larsen et al. 2016 (Algorithm 1), Goodfellow et al. 2014 and Kingma and Welling
2014 write it, and plain autograd differentiates it for that player's parameters alone. Central differences check the
same scalars again without autograd.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from triptych import plugins
from triptych.frameworks import Batch, Turn
from triptych.frameworks.vaegan import VAEGAN
from triptych.spec import RunSpec
from triptych.training.gradients import Cuts
from triptych.training.state import State, initial
from triptych.training.step import Examples, play, set_modes, step

WEIGHTS = {"beta": 0.7, "encoder_weight": 1.3, "gamma": 0.4, "adversarial_weight": 0.6}


def product(**choices: list) -> list[dict]:
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


GAMES: dict[str, list[dict]] = {
    "vae": [
        {},
        *product(beta=[0.0, 0.7], sigma=[1.0, 0.25, "learned"]),
        {"reduction": "mean"},
        {"reduction": "mean", "beta": 16.0},
    ],
    "gan": [{}, *product(adversarial=["minimax", "non-saturating"], dis_batches=["separate", "joint"])],
    "vaegan": [
        {},
        WEIGHTS | {"equilibrium": 0.35},
        {"encoder_weight": 0.0},
        {"beta": 0.0},
        {"gamma": 0.0},
        {"adversarial_weight": 0.0},
        {"adversarial": "leaked", "adversarial_weight": 1.0},
        *(p.get("options", {}) | {"network": p.get("network", {}).get("options", {})} for p in VAEGAN.presets.values()),
        *(
            WEIGHTS | point
            for point in product(
                gan_sign=["cross-entropy", "as-printed"],
                adversarial=["minimax", "non-saturating", "leaked"],
                dis_sees_reconstructions=[True, False],
                reduction=["sum", "mean"],
                dis_batches=["separate", "joint"],
                log_epsilon=[0.0, 1e-3],
            )
        ),
    ],
    "vae_disl": [
        {},
        {"beta": 0.7, "gamma": 0.3, "reduction": "mean"},
        {"discriminator": "pretrained", "beta": 0.7, "gamma": 0.3},
    ],
    "as_published": [
        {},
        *product(game=["vae"], reduction=["mean", "sum"]),
        *product(
            game=["gan"],
            generator=["inverted", "minimax"],
            dis_batches=["separate", "joint"],
            cross_entropy=["sigmoid", "logits"],
        ),
        *product(
            game=["vaegan"],
            reduction=["mean", "sum"],
            gamma=[15.0, 0.4],
            encoder_weight=[5.0, 1.3],
            dis_batches=["separate", "joint"],
            cross_entropy=["sigmoid", "logits"],
        ),
    ],
}
CASES = [
    pytest.param(name, options, id=f"{name}-{number}", marks=() if number % 8 == 0 else pytest.mark.slow)
    for name, games in GAMES.items()
    for number, options in enumerate(games)
]
"""Every combination of options; the fast suite takes each eighth."""
PHASES = (0.0, 0.9)


# The oracles.


def log_dis(logits: Tensor, epsilon: float = 0.0) -> Tensor:
    """log(Dis(x) + epsilon)."""
    return (1 / (1 + torch.exp(-logits)) + epsilon).log()


def log_not_dis(logits: Tensor, epsilon: float = 0.0) -> Tensor:
    """log(1 - Dis(x) + epsilon)."""
    return (1 / (1 + torch.exp(logits)) + epsilon).log()


def encode(nets: nn.ModuleDict, x: Tensor, noise: Tensor, reduction: str) -> tuple[Tensor, Tensor]:
    """z and L_prior, as in appendix B of Kingma and Welling: -1/2 sum(1 + log s^2 - m^2 - s^2)."""
    mean, log_variance = nets["enc"](x)
    variance = torch.exp(log_variance)
    inner = -0.5 * (1 + log_variance - mean**2 - variance)
    prior = inner.sum() / len(x) if reduction == "sum" else inner.sum() / inner.numel()
    return mean + variance.sqrt() * noise, prior


def llike(target: Tensor, features: Tensor, reduction: str) -> Tensor:
    """-log N(Dis_l(x) | Dis_l(x~), I) without its constant (Larsen et al., equations 7 and 8), or a plain mean."""
    squares = (target - features) ** 2
    return squares.sum() / (2 * len(target)) if reduction == "sum" else squares.sum() / squares.numel()


def judged(dis: nn.Module, batches: list[Tensor], how: str) -> tuple[list[Tensor], list[Tensor]]:
    """Dis's logits and features of each batch of b images."""
    if how == "joint":
        logits, features = dis(torch.cat(batches))
        b = len(batches[0])
        starts = range(0, len(logits), b)
        return [logits[s : s + b] for s in starts], [features[s : s + b] for s in starts]
    pairs = [dis(batch) for batch in batches]
    return [logits for logits, _ in pairs], [features for _, features in pairs]


def vae_loss(player: str, nets: nn.ModuleDict, x: Tensor, noise: dict[str, Tensor], o) -> Tensor:
    z, prior = encode(nets, x, noise["z"], o.reduction)
    squares = (x - nets["dec"](z)) ** 2
    if o.reduction == "mean":
        return o.beta * prior + squares.mean()
    learned = o.sigma == "learned"
    sigma = next(nets["likelihood"].parameters()).exp() if learned else torch.tensor(o.sigma, dtype=x.dtype)
    density = torch.exp(-0.5 * squares / sigma**2) / (sigma * math.sqrt(2 * math.pi))
    return o.beta * prior - density.log().sum() / len(x)


def gan_loss(player: str, nets: nn.ModuleDict, x: Tensor, noise: dict[str, Tensor], o) -> Tensor:
    (real, fake), _ = judged(nets["dis"], [x, nets["dec"](noise["z_p"])], o.dis_batches)
    value = log_dis(real).mean() + log_not_dis(fake).mean()  # Goodfellow et al., equation 1
    if player == "dis":
        return -value
    return value if o.adversarial == "minimax" else -log_dis(fake).mean()


def vaegan_loss(player: str, nets: nn.ModuleDict, x: Tensor, noise: dict[str, Tensor], o) -> Tensor:
    z, prior = encode(nets, x, noise["z"], o.reduction)
    x_tilde, x_p = nets["dec"](z), nets["dec"](noise["z_p"])
    (real, *generated), (target, features, _) = judged(nets["dis"], [x, x_tilde, x_p], o.dis_batches)
    if not o.dis_sees_reconstructions:
        generated = generated[1:]
    error = llike(target, features, o.reduction)
    printed = log_dis(real, o.log_epsilon).mean()
    printed = printed + sum(log_not_dis(logits, o.log_epsilon).mean() for logits in generated)
    l_gan = printed if o.gan_sign == "as-printed" else -printed
    if player == "enc":
        return o.beta * prior + o.encoder_weight * error
    if player == "dis":
        return l_gan
    if o.adversarial == "non-saturating":
        fooling = -sum(log_dis(logits, o.log_epsilon).mean() for logits in generated)
        backwards = -1 if o.gan_sign == "as-printed" else 1
        return o.gamma * error + backwards * o.adversarial_weight * fooling
    meant = o.gamma * error - o.adversarial_weight * l_gan
    return meant + l_gan if o.adversarial == "leaked" else meant


def vae_disl_loss(player: str, nets: nn.ModuleDict, x: Tensor, noise: dict[str, Tensor], o) -> Tensor:
    if player == "vae":
        z, prior = encode(nets, x, noise["z"], o.reduction)
        _, target = nets["dis"](x)
        _, features = nets["dis"](nets["dec"](z))
        return o.beta * prior + o.gamma * llike(target, features, o.reduction)
    generator = nets["gen" if o.discriminator == "pretrained" else "dec"]
    real, _ = nets["dis"](x)
    fake, _ = nets["dis"](generator(noise["z_p"]))
    return -log_dis(fake).mean() if player == "gen" else -log_dis(real).mean() - log_not_dis(fake).mean()


def as_published_loss(player: str, nets: nn.ModuleDict, x: Tensor, noise: dict[str, Tensor], o) -> Tensor:
    """The course paper's; whole steps of its trainers are in `test_as_published.py`."""
    if o.game == "gan":
        (real, fake), _ = judged(nets["dis"], [x, nets["dec"](noise["z_p"])], o.dis_batches)
        on_fake = -log_not_dis(fake).mean()
        if player == "dec" and o.generator == "inverted":
            return on_fake
        return (1 if player == "dis" else -1) * (on_fake - log_dis(real).mean())
    z, prior = encode(nets, x, noise["z"], o.reduction)
    x_tilde = nets["dec"](z)
    if o.game == "vae":
        return prior + llike(x, x_tilde, o.reduction)
    batches = [x, x_tilde, nets["dec"](noise["z_p"])]
    (real, *generated), (target, features, _) = judged(nets["dis"], batches, o.dis_batches)
    error, l_gan = llike(target, features, o.reduction), -log_dis(real).mean()
    l_gan = l_gan - sum(log_not_dis(logits).mean() for logits in generated)
    return {"enc": prior + o.encoder_weight * error, "dec": o.gamma * error - l_gan, "dis": l_gan}[player]


LOSSES = {
    "vae": vae_loss,
    "gan": gan_loss,
    "vaegan": vaegan_loss,
    "vae_disl": vae_disl_loss,
    "as_published": as_published_loss,
}


# What is compared with them.


def a_state(name: str, options: dict, sureness: float = 4.0) -> State:
    """Tiny networks in float64, off their first weights in every parameter; Dis as sure of itself as asked."""
    network = {"width": 0.03, "latent": 3, "options": {"init": "torch", **options.get("network", {})}}
    options = {key: value for key, value in options.items() if key != "network"}
    spec = RunSpec.model_validate({"framework": name, "options": options, "data": {"size": 16}, "network": network})
    state = initial(spec, 1)
    state.nets.double()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in state.nets.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
        if "dis" in state.nets:
            state.nets["dis"].head[-1].weight.mul_(sureness)  # type: ignore[index, union-attr, operator]
    return state


def inputs() -> tuple[Tensor, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(7)
    x = torch.rand(4, 1, 16, 16, generator=generator, dtype=torch.float64) * 2 - 1
    return x, {n: torch.randn(4, 3, generator=generator, dtype=torch.float64) for n in ("z", "z_p")}


def found(state: State, progress: float) -> dict[str, list[Tensor]]:
    """Each moving player's gradient as a training step finds it."""
    group = state.framework.active_players(progress)
    set_modes(state, [Turn(group)])
    x, noise = inputs()
    drawn: Any = noise.__getitem__
    return play(state, Batch(images=x, noise=drawn, cut=Cuts(), active=group, progress=progress))[1]


def descended(state: State, name: str, player: str) -> Tensor:
    """What the oracle says that the player descends."""
    x, noise = inputs()
    return LOSSES[name](player, state.nets, x, noise, state.framework.options)


def test_every_framework_has_an_oracle():
    assert set(LOSSES) == set(plugins.names("frameworks"))


@pytest.mark.parametrize(("name", "options"), CASES)
def test_each_players_gradient_is_that_of_its_own_fresh_forward(name: str, options: dict):
    state = a_state(name, options)
    for progress in PHASES if options.get("discriminator") == "pretrained" else PHASES[:1]:
        for player, gradient in found(state, progress).items():
            expected = torch.autograd.grad(descended(state, name, player), state.parameters(player))
            scale = max(float(g.abs().max()) for g in expected)
            for ours, theirs in zip(gradient, expected, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-13 * scale)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vae", {"beta": 0.7, "sigma": "learned"}),
        ("gan", {}),
        ("gan", {"adversarial": "minimax", "dis_batches": "joint"}),
        ("vaegan", WEIGHTS),
        ("vaegan", WEIGHTS | {"adversarial": "non-saturating", "dis_batches": "joint", "log_epsilon": 1e-3}),
        ("vaegan", WEIGHTS | {"adversarial": "leaked", "reduction": "mean"}),
        ("vae_disl", {"beta": 0.7, "gamma": 0.3}),
        ("vae_disl", {"discriminator": "pretrained"}),
        ("as_published", {}),
        ("as_published", {"game": "vae"}),
        ("as_published", {"game": "gan"}),
    ],
)
def test_each_players_gradient_is_the_slope_of_its_loss_by_central_differences(name: str, options: dict):
    state, generator, width = a_state(name, options), torch.Generator().manual_seed(11), 1e-6
    for progress in PHASES if options.get("discriminator") == "pretrained" else PHASES[:1]:
        for player, gradient in found(state, progress).items():
            parameters = state.parameters(player)
            count = sum(p.numel() for p in parameters)
            norm = math.sqrt(sum(float(g.square().sum()) for g in gradient))
            for _ in range(3):
                # Half random, half along the gradient, to which a random direction alone is all but orthogonal.
                direction = [
                    torch.randn(g.shape, generator=generator, dtype=g.dtype) / math.sqrt(count) + g / norm
                    for g in gradient
                ]
                ends = []
                with torch.no_grad():
                    for move in (width, -2 * width, width):
                        ends.append(float(descended(state, name, player)))
                        for parameter, towards in zip(parameters, direction, strict=True):
                            parameter.add_(towards, alpha=move)
                slope = sum(float((g * d).sum()) for g, d in zip(gradient, direction, strict=True))
                assert (ends[1] - ends[2]) / (2 * width) == pytest.approx(slope, rel=1e-5)


# The sign test: who helps whom.


def cross_entropy(state: State, sees_reconstructions: bool, generator: str = "dec") -> float:
    """Dis's cost on data and on what the generator makes, as any textbook has it."""
    x, noise = inputs()
    with torch.no_grad():
        made = [state.nets[generator](noise["z_p"])]
        if sees_reconstructions:
            made.append(state.nets["dec"](encode(state.nets, x, noise["z"], "sum")[0]))
        real, fakes = state.nets["dis"](x)[0], [state.nets["dis"](images)[0] for images in made]
        return float(-log_dis(real).mean() - sum(log_not_dis(fake).mean() for fake in fakes))


def change_of_cross_entropy(name: str, options: dict, player: str, generator: str = "dec") -> float:
    """By how much Dis's cross entropy grows when one player alone takes a small step against its gradient."""
    # A Dis that is unsure everywhere: only there is -log Dis of the samples the exact opposite of Dis's cost on them.
    state = a_state(name, options, sureness=0.05)
    gradient = found(state, 0.0)[player]
    norm = math.sqrt(sum(float(g.square().sum()) for g in gradient))
    before = cross_entropy(state, name == "vaegan", generator)
    with torch.no_grad():
        for parameter, direction in zip(state.parameters(player), gradient, strict=True):
            parameter.sub_(direction, alpha=1e-3 / norm)
    return cross_entropy(state, name == "vaegan", generator) - before


PURE = {"gamma": 0.0, "adversarial_weight": 0.6}


@pytest.mark.parametrize(
    ("name", "options", "dis_improves", "dec_resists"),
    [
        ("gan", {}, True, True),
        ("gan", {"adversarial": "minimax"}, True, True),
        ("as_published", {"game": "gan"}, True, False),
        ("as_published", {"game": "gan", "generator": "minimax"}, True, True),
        ("vaegan", PURE, True, True),
        ("vaegan", PURE | {"adversarial": "non-saturating"}, True, True),
        ("vaegan", PURE | {"adversarial": "leaked"}, True, False),
        ("vaegan", PURE | {"gan_sign": "as-printed"}, False, False),
        ("vaegan", PURE | {"gan_sign": "as-printed", "adversarial": "non-saturating"}, False, False),
    ],
)
def test_a_small_step_of_dis_improves_dis_and_one_of_dec_worsens_it(
    name: str, options: dict, dis_improves: bool, dec_resists: bool
):
    """But for "leaked" and the published GAN, which make Dec help Dis, and for the paper's L_GAN by its letter, which
    turns both round.
    """
    assert (change_of_cross_entropy(name, options, "dis") < 0) is dis_improves
    assert (change_of_cross_entropy(name, options, "dec") > 0) is dec_resists


def test_in_vae_disl_dis_improves_and_only_the_pretraining_generator_works_against_it():
    assert change_of_cross_entropy("vae_disl", {}, "dis") < 0
    pretrained = {"discriminator": "pretrained"}
    assert change_of_cross_entropy("vae_disl", pretrained, "dis", "gen") < 0
    assert change_of_cross_entropy("vae_disl", pretrained, "gen", "gen") > 0
    assert change_of_cross_entropy("vae_disl", pretrained, "gen", "dec") == 0


# The number of network calls.


@pytest.mark.parametrize(
    ("name", "options", "calls"),
    [
        ("vae", {}, {"enc": 1, "dec": 1}),
        ("gan", {}, {"dec": 1, "dis": 2}),
        ("gan", {"dis_batches": "joint"}, {"dec": 1, "dis": 1}),
        ("vaegan", {}, {"enc": 1, "dec": 2, "dis": 3}),
        ("vaegan", {"adversarial": "non-saturating"}, {"enc": 1, "dec": 2, "dis": 3}),
        ("vaegan", {"dis_sees_reconstructions": False}, {"enc": 1, "dec": 2, "dis": 3}),
        ("vaegan", {"dis_batches": "joint"}, {"enc": 1, "dec": 2, "dis": 1}),
        ("vae_disl", {}, {"enc": 1, "dec": 2, "dis": 3}),
        ("vae_disl", {"discriminator": "pretrained"}, {"gen": 1, "dis": 2}),
        ("as_published", {}, {"enc": 1, "dec": 2, "dis": 3}),
        ("as_published", {"game": "vae"}, {"enc": 1, "dec": 1}),
        ("as_published", {"game": "gan"}, {"dec": 1, "dis": 2}),
    ],
)
def test_a_step_calls_each_network_no_more_often_than_the_mathematics_asks(name: str, options: dict, calls: dict):
    spec = RunSpec.model_validate(
        {"framework": name, "options": options, "data": {"size": 16}, "network": {"width": 0.03, "latent": 3}}
    )
    state = initial(spec, 1)
    seen = dict.fromkeys(calls, 0)

    def count(network: str) -> None:
        seen[network] = seen.get(network, 0) + 1

    for network, module in state.nets.items():
        module.register_forward_hook(lambda *_, network=network: count(network))
    step(state, spec, [Examples(inputs()[0].float())], 0.0)
    assert seen == calls
