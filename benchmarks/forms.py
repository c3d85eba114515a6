"""One VAE-GAN training step in several forms: ours, and the ways in which others write it.

All forms get the same networks, the same initial weights, the same batch and the same optimisers. Three of them have
the same losses, and so the same gradients:

- `ours`: `triptych.training.step.step` and the check of the weights after it, as training calls them.
- `minimal`: by hand: the fewest forward and backward passes, no checks, no log, and the same layers as ours.
- `three-gradients`: plain PyTorch as one would write it first: one graph, and each player's gradient through all of it.

All but `minimal` have PyTorch's own convolutions, as others have. Two have losses and an order of their own:

- `course`: what the code of "VAE vs GAN vs VAE-GAN" (University of Toronto, 2021) computes: one player after another,
  each after a backward pass through everything. `course-anomaly` has PyTorch's anomaly detection on, as published.
- `pythae`: the step of the package pythae (`benchmarks/pythae_form.py`).

A new form, or a new mode of ours, is one more entry in `OURS` or `OTHERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy, softplus

from benchmarks import pythae_form
from triptych.errors import InputError
from triptych.networks.convolution import as_pytorch
from triptych.plugins import suggest
from triptych.spec import Precision, RunSpec
from triptych.training.precision import train_in
from triptych.training.state import State, initial, is_finite
from triptych.training.step import Diverged, Examples, step

Step = Callable[[], None]


@dataclass(frozen=True)
class Setting:
    """What all forms share: the run, whose seed decides the initial weights, and one batch [B, C, S, S] in [-1, 1].

    `draw(name)` gives the noise "z" or "z_p" [B, L] to the forms in plain PyTorch; None: a new draw at every call.
    """

    spec: RunSpec
    images: Tensor
    draw: Callable[[str], Tensor] | None = None

    def state(self) -> State:
        """Networks with the initial weights of the run's seed, and an optimiser for each player."""
        return initial(self.spec, self.images.shape[1], str(self.images.device))

    def noise(self, name: str) -> Tensor:
        if self.draw is not None:
            return self.draw(name)
        return torch.randn(len(self.images), self.spec.network.latent, device=self.images.device)


@dataclass(frozen=True)
class Prepared:
    """A form that is ready: `step()` moves all players of `state` once."""

    state: State
    step: Step


@dataclass(frozen=True)
class Form:
    """`make` prepares the form; `missing()` says why it cannot be made here, or None.

    `dtype` is the type of its matrix products and convolutions.
    """

    title: str
    make: Callable[[Setting], Prepared]
    dtype: torch.dtype = torch.float32
    missing: Callable[[], str | None] = lambda: None


def ours(setting: Setting, precision: Precision = "float32") -> Prepared:
    """The step as `triptych.training.loop.Training.advance` makes it, without the data and the log."""
    state = setting.state()
    train_in(precision, state.nets)
    examples = [Examples(setting.images)]

    def play() -> None:
        step(state, setting.spec, examples, 0.0)
        if not is_finite(state):
            raise Diverged("a weight is not finite")

    return Prepared(state, play)


def _descend(state: State, gradients: dict[str, Sequence[Tensor]]) -> None:
    """Give each player's optimiser its gradients, in the order of the player's parameters."""
    for player, found in gradients.items():
        for parameter, gradient in zip(state.nets[player].parameters(), found, strict=True):
            parameter.grad = gradient
        state.optimisers[player].step()


def _parameters(state: State) -> tuple[list[nn.Parameter], list[nn.Parameter], list[nn.Parameter]]:
    return tuple(list(state.nets[name].parameters()) for name in ("enc", "dec", "dis"))  # type: ignore[return-value]


def _kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    return (0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)).sum(1).mean()


def minimal(setting: Setting) -> Prepared:
    """One forward pass for each image and network: 1 Enc, 2 Dec, 3 Dis. L_GAN is swept through Dis once, for Dis and
    Dec together, the Dis_l error once, for Enc and Dec together, both only as far as the generated images. From there
    Dec's share goes to its weights, and Enc's through Dec and Enc.
    """
    state = setting.state()
    enc, dec, dis = (state.nets[name] for name in ("enc", "dec", "dis"))
    enc_parameters, dec_parameters, dis_parameters = _parameters(state)
    gamma = state.framework.options.gamma

    def play() -> None:
        mean, log_variance = enc(setting.images)
        x_tilde = dec(mean + (0.5 * log_variance).exp() * setting.noise("z"))
        x_p = dec(setting.noise("z_p"))
        rec_leaf, fake_leaf = x_tilde.detach().requires_grad_(), x_p.detach().requires_grad_()
        real, target = dis(setting.images)
        rec, features = dis(rec_leaf)
        fake, _ = dis(fake_leaf)
        gan = (softplus(-real) + softplus(rec) + softplus(fake)).mean()
        llike = 0.5 * (target - features).square().sum(1).mean()

        (of_llike,) = torch.autograd.grad(llike, [rec_leaf], retain_graph=True)
        gan_rec, gan_fake, *of_dis = torch.autograd.grad(gan, [rec_leaf, fake_leaf, *dis_parameters])
        shares = [gamma * of_llike - gan_rec, -gan_fake]
        of_dec = torch.autograd.grad([x_tilde, x_p], dec_parameters, shares, retain_graph=True)
        of_enc = torch.autograd.grad([x_tilde, _kl(mean, log_variance)], enc_parameters, [of_llike, None])
        _descend(state, {"enc": of_enc, "dec": of_dec, "dis": of_dis})

    return Prepared(state, play)


def with_pytorchs_layers(make: Callable[[Setting], Prepared], setting: Setting) -> Prepared:
    """A form whose convolutions are PyTorch's own, as those of others are."""
    with as_pytorch():
        prepared = make(setting)

    def play() -> None:
        with as_pytorch():
            prepared.step()

    return Prepared(prepared.state, play)


def three_gradients(setting: Setting) -> Prepared:
    """One graph, and for each player the gradient of its own loss, through all that lies between."""
    state = setting.state()
    enc, dec, dis = (state.nets[name] for name in ("enc", "dec", "dis"))
    enc_parameters, dec_parameters, dis_parameters = _parameters(state)
    gamma = state.framework.options.gamma

    def play() -> None:
        mean, log_variance = enc(setting.images)
        x_tilde = dec(mean + (0.5 * log_variance).exp() * setting.noise("z"))
        x_p = dec(setting.noise("z_p"))
        real, target = dis(setting.images)
        rec, features = dis(x_tilde)
        fake, _ = dis(x_p)
        gan = (softplus(-real) + softplus(rec) + softplus(fake)).mean()
        llike = 0.5 * (target - features).square().sum(1).mean()

        of_enc = torch.autograd.grad(_kl(mean, log_variance) + llike, enc_parameters, retain_graph=True)
        of_dec = torch.autograd.grad(gamma * llike - gan, dec_parameters, retain_graph=True)
        of_dis = torch.autograd.grad(gan, dis_parameters)
        _descend(state, {"enc": of_enc, "dec": of_dec, "dis": of_dis})

    return Prepared(state, play)


COURSE_GAMMA = 15.0
COURSE_ENCODER = 5.0


def course(setting: Setting) -> Prepared:
    """The course code's arithmetic: 10 Dis, 3 Dec and 2 Enc forward passes, three backward passes through everything.

    Dis moves; Dis is computed again for L_GAN and again for the Dis_l error, and Dec moves; Enc, Dec and Dis are
    computed again, and Enc moves. Reductions are means. Before each backward pass the moving player's gradients are
    cleared; the others' add up, unused. It is written from the description of that code, not copied.
    """
    state = setting.state()
    enc, dec, dis = (state.nets[name] for name in ("enc", "dec", "dis"))

    def generated() -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = enc(setting.images)
        return mean, log_variance, dec(mean + (0.5 * log_variance).exp() * setting.noise("z"))

    def cross_entropy(x_tilde: Tensor, x_p: Tensor) -> Tensor:
        real, rec, fake = (torch.sigmoid(dis(images)[0]) for images in (setting.images, x_tilde, x_p))
        ones, zeros = torch.ones_like(real), torch.zeros_like(real)
        generated = binary_cross_entropy(rec, zeros) + binary_cross_entropy(fake, zeros)
        return binary_cross_entropy(real, ones) + generated

    def feature_error(x_tilde: Tensor) -> Tensor:
        return (dis(x_tilde)[1] - dis(setting.images)[1]).square().mean()

    def move(player: str, loss: Tensor) -> None:
        state.optimisers[player].zero_grad()
        loss.backward(retain_graph=True)
        state.optimisers[player].step()

    def play() -> None:
        _, _, x_tilde = generated()
        x_p = dec(setting.noise("z_p"))
        move("dis", cross_entropy(x_tilde, x_p))
        gan = cross_entropy(x_tilde, x_p)
        move("dec", COURSE_GAMMA * feature_error(x_tilde) - gan)
        mean, log_variance, x_tilde = generated()
        prior = (0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)).mean()
        move("enc", prior + COURSE_ENCODER * feature_error(x_tilde))

    return Prepared(state, play)


def course_anomaly(setting: Setting) -> Prepared:
    """The same under PyTorch's anomaly detection, which the published code switches on for the whole of training."""
    prepared = course(setting)

    def play() -> None:
        with torch.autograd.set_detect_anomaly(True):
            prepared.step()

    return Prepared(prepared.state, play)


def pythae(setting: Setting) -> Prepared:
    """pythae's forward pass and updates around the same networks."""
    state = setting.state()
    return Prepared(state, pythae_form.step_of(state, setting.images, setting.spec.network.latent))


OURS: dict[str, Form] = {
    "float32": Form("Triptych", ours),
    "bf16": Form("Triptych, bf16", partial(ours, precision="bf16"), torch.bfloat16),
}
"""Our step by precision. A mode that training gains is one more entry."""

OTHERS: dict[str, Form] = {
    "minimal": Form("minimal, by hand", minimal),
    "three-gradients": Form("three gradients, plain PyTorch", partial(with_pytorchs_layers, three_gradients)),
    "pythae": Form("pythae 0.1.2", partial(with_pytorchs_layers, pythae), missing=pythae_form.missing),
    "course": Form("course code's arithmetic", partial(with_pytorchs_layers, course)),
    "course-anomaly": Form("course code's, anomaly detection on", partial(with_pytorchs_layers, course_anomaly)),
}


PREFIX = "ours-"


def chosen(precisions: Sequence[str], others: Sequence[str]) -> dict[str, Form]:
    """The forms to measure by name, ours first: "ours-float32" and so on. Raises InputError for an unknown name."""
    for where, names, known in (("--precision", precisions, OURS), ("--forms", others, OTHERS)):
        for name in names:
            if name not in known:
                hint = suggest(name, known)
                raise InputError("unknown form", where=where, value=name, hint=hint)
        if len(set(names)) < len(names):
            raise InputError("a name is given twice", where=where, value=",".join(names), hint="Name each once.")
    if not precisions:
        raise InputError("no precision of our step", where="--precision", hint=f"Known: {', '.join(OURS)}.")
    names = [*(f"{PREFIX}{name}" for name in precisions), *others]
    return {name: by_name(name) for name in names}


def by_name(name: str) -> Form:
    """A form by the name that `chosen` gives it."""
    return OURS[name.removeprefix(PREFIX)] if name.startswith(PREFIX) else OTHERS[name]
