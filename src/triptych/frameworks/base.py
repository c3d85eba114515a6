"""The framework contract: which networks there are, what the terms are, who minimises what, and what can be asked.

A framework is a game. Each player owns networks of its own and minimises its own weighted sum of shared terms. Data
order, noise, initial weights, optimisers, budget and logging belong to the trainer, so that they are the same for all
frameworks. A framework is one file that defines `FRAMEWORK`, a subclass of `Framework`;
`docs/how-to/add-a-framework/README.md` builds several, and `triptych check` tests one against this contract.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from triptych import networks
from triptych.rng import stream
from triptych.spec import Frozen, NetworkSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

Cut = Callable[[Tensor], Tensor]
"""`cut(images)`: the same images as a place where the graph may be cut; gradients pass as if it were not there."""

Ability = Literal["sample", "decode", "encode", "posterior", "reconstruct", "discriminator_features", "likelihood"]


class Noise:
    """The random numbers of one update by name: the same for every framework at one seed, on every device."""

    def __init__(self, seed: int, step: int, like: Tensor, latent: int, draw: int = 0) -> None:
        """`like` gives the batch size, type and device; `draw` tells several draws of one step apart."""
        self.seed, self.step, self.like, self.latent, self.draw = seed, step, like, latent, draw

    def __call__(self, name: str, *shape: int, law: Literal["normal", "uniform"] = "normal") -> Tensor:
        """Numbers [B, *shape], or [B, L] without a shape: standard normal, or uniform in [0, 1)."""
        draw = {"normal": torch.randn, "uniform": torch.rand}[law]
        return draw(len(self.like), *(shape or (self.latent,)), generator=self.generator(name)).to(self.like)

    def generator(self, name: str) -> torch.Generator:
        """A CPU generator of that name for this update, for any other law."""
        return stream(self.seed, f"noise/{name}/{self.draw}" if self.draw else f"noise/{name}", self.step)


@dataclass(frozen=True)
class Batch:
    """What terms see: images [B, C, S, S] in [-1, 1], and labels [B] (int64) if the data have any.

    `active` are the players that this update moves, `progress` is the share of the budget used so far, 0 to 1.
    """

    images: Tensor
    noise: Noise
    cut: Cut
    active: tuple[str, ...]
    labels: Tensor | None = None
    progress: float = 0.0


class Turn(NamedTuple):
    """Players that move at once; with `fresh` they see a batch of their own, else that of the turn before."""

    players: tuple[str, ...]
    fresh: bool = True


@dataclass
class Context:
    """What a framework builds its networks from. `classes` is 0 for data without labels."""

    size: int
    channels: int
    classes: int
    latent: int
    seed: int
    network: NetworkSpec
    device: Literal["cpu", "meta"] = "cpu"
    _families: dict[tuple[int, int], nn.ModuleDict] = field(default_factory=dict, repr=False)

    def shared(self, name: str, *, latent: int | None = None, channels: int | None = None) -> nn.Module:
        """The study's network of that name ("enc", "dec" or "dis"), with the weights of this seed.

        A conditional framework may ask for one with more latent dimensions or image channels. Every call with the
        same arguments returns the same module.
        """
        key = latent or self.latent, channels or self.channels
        if key not in self._families:
            spec = self.network.model_copy(update={"latent": key[0]})
            self._families[key] = networks.build(spec, self.size, key[1], self.seed, self.device)
        if name not in self._families[key]:
            known = ", ".join(self._families[key])
            raise ValueError(f"there is no shared network {name!r} (there are {known}): build it with context.own")
        return self._families[key][name]

    def own(self, name: str, make: Callable[[], nn.Module]) -> nn.Module:
        """A network of the framework's own, `make()`: its random weights depend on seed and name alone."""
        with seeded(stream(self.seed, f"weights/{name}")), torch.device(self.device):
            return make()


@contextmanager
def seeded(generator: torch.Generator) -> Iterator[None]:
    """PyTorch's global CPU generator seeded from another one, and put back as it was afterwards.

    PyTorch's layers draw their initial weights from the global generator and take no other. The generators of GPUs are
    left alone: weights are made on the CPU.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(generator.initial_seed())  # torch.manual_seed would seed the GPUs' too
        yield


_USES: dict[str, tuple[str, ...]] = {
    "decode": ("dec",),
    "sample": ("decode",),
    "likelihood": ("decode",),
    "encode": ("posterior",),
    "posterior": ("enc",),
    "reconstruct": ("encode", "decode"),
    "discriminator_features": ("dis",),
}
"""What the default form of each ability uses: shared networks, and other abilities."""
_WITHOUT = {"dec": "no decoder from latents", "enc": "no encoder", "dis": "no discriminator"}
"""What is said where one of these networks is missing."""


class Framework(ABC):
    """A game, and what its networks can be asked for.

    `name` is how people write it ("VAE-GAN"). `presets` are named variants: for each, what to lay over a run's
    options, network, optimiser and training. `defaults` replaces values there that a study leaves at the project's
    default. `conditional` frameworks need labels. `unused` names parameters of shared networks
    that the framework has no use for, by prefix ("enc.log_variance"): no player owns them. `cannot` gives the reason
    for each ability that the framework lacks, beyond what its networks say.
    """

    Options: ClassVar[type[Frozen]] = Frozen
    name: ClassVar[str] = ""
    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    defaults: ClassVar[dict[str, dict[str, Any]]] = {}
    conditional: ClassVar[bool] = False
    unused: ClassVar[tuple[str, ...]] = ()
    cannot: ClassVar[dict[Ability, str]] = {}

    def __init__(self, options: Any) -> None:
        self.options = options

    # The game.

    @property
    @abstractmethod
    def players(self) -> dict[str, tuple[str, ...]]:
        """Each player's networks; no network has two owners. A network without an owner is never trained."""

    @property
    @abstractmethod
    def losses(self) -> dict[str, dict[str, float]]:
        """Each player's loss: the weight of each term in it. A term in no loss is logged only."""

    @abstractmethod
    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        """The terms, scalars, on one graph: at least those of the players that move."""

    def build(self, context: Context) -> dict[str, nn.Module]:
        """The networks by name, with their initial weights: by default the players' networks, all shared ones."""
        return {name: context.shared(name) for name in self.networks}

    def active_players(self, progress: float) -> tuple[str, ...]:
        """The players that are trained after that share (0 to 1) of the budget; all of them by default."""
        return tuple(self.players)

    def skipped_players(self, terms: dict[str, float]) -> tuple[str, ...]:
        """The players that skip this update, given the values of its terms; none by default."""
        return ()

    @property
    def turns(self) -> tuple[Turn, ...] | None:
        """Who moves after whom within a step, where the game itself says so (several critic updates, say).

        None leaves it to the study's `training.updates`.
        """
        return None

    def noise_draw(self, turn: int, players: tuple[str, ...]) -> int:
        """Which draw of the step's noise a turn sees.

        By default all turns of a study's making see the first draw, and the framework's own `turns` one each.
        """
        return 0 if self.turns is None else turn

    def after_update(self, nets: nn.ModuleDict, players: tuple[str, ...]) -> None:  # noqa: B027
        """Called without gradients after players have moved: moving averages, weight clipping. Nothing by default."""

    @property
    def batchnorm_mode(self) -> Literal["running", "batch"]:
        """BatchNorm's statistics in evaluation: the running ones by default."""
        return "running"

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks that the players own, in the order of the players."""
        return tuple(name for owned in self.players.values() for name in owned)

    # What it can be asked for. Networks are in evaluation mode; all are pure functions of their arguments.

    @property
    def lacks(self) -> dict[Ability, str]:
        """The abilities that this framework does not have, each with the reason in a few words.

        An ability whose method a framework overrides, or inherits from one that does, is there. The others depend on
        what their default methods call: other abilities, and in the end the shared networks.
        """
        reasons: dict[Ability, str] = {name: why for name in get_args(Ability) if (why := self._missing(name))}
        return reasons | self.cannot

    def _missing(self, name: str) -> str:
        """Why there is no ability or shared network of this name, "" where there is one."""
        if name in _WITHOUT:
            return "" if name in self.networks else _WITHOUT[name]
        default = getattr(Framework, name, None)  # the likelihood has no method of its own: it uses `decode`
        if default is not None and getattr(type(self), name) is not default:
            return ""
        return next((reason for used in _USES[name] if (reason := self._missing(used))), "")

    def latent_size(self, context: Context) -> int:
        """The number of latent dimensions D that `sample` takes; the study's by default."""
        return context.latent

    def sample(self, nets: nn.ModuleDict, latents: Tensor, labels: Tensor | None) -> Tensor:
        """Images [B, C, S, S] in [-1, 1] from standard normal latents [B, D], and labels [B] if conditional.

        A sampler that needs random numbers makes them from the latents, so that equal latents give equal images.
        """
        return self.decode(nets, latents, labels)

    def decode(self, nets: nn.ModuleDict, latents: Tensor, labels: Tensor | None) -> Tensor:
        """Images [B, C, S, S] from codes [B, D], differentiable in the codes."""
        return nets["dec"](latents)

    def encode(self, nets: nn.ModuleDict, images: Tensor, labels: Tensor | None) -> Tensor:
        """Codes [B, D] of images [B, C, S, S]: by default the mean of q(z|x)."""
        return self.posterior(nets, images, labels)[0]

    def posterior(self, nets: nn.ModuleDict, images: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and log variance [B, D] of q(z|x)."""
        return nets["enc"](images)

    def reconstruct(self, nets: nn.ModuleDict, images: Tensor, labels: Tensor | None) -> Tensor:
        """Images [B, C, S, S] from images: by default the decoded codes."""
        return self.decode(nets, self.encode(nets, images, labels), labels)

    def discriminator_features(self, nets: nn.ModuleDict, images: Tensor) -> Tensor:
        """Dis_l features [B, F] of images [B, C, S, S]."""
        return nets["dis"](images)[1]
