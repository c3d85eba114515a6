"""The framework contract as checks; `triptych.frameworks.base` says what it is.

They play the framework on tiny networks, 16 pixels and a batch of four, at the seeds 0 and 1, on images of noise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from triptych import networks
from triptych.contracts.base import Broken, Check, NotApplicable, global_generator_untouched
from triptych.frameworks import Ability, Batch
from triptych.rng import stream
from triptych.spec import RunSpec, StudySpec, checked
from triptych.study.plan import runs_of, validate
from triptych.training.model import Model
from triptych.training.state import State, digest, from_files, initial, set_evaluation, to_files
from triptych.training.step import Examples, batch_of, batches_per_step, play, set_modes, step, update_groups

CLASSES = 3
OPPOSED = 0.5
"""Cosine above which a player's term counts as pulling the same way as the critic's loss."""


@dataclass(frozen=True)
class Subject:
    """A framework under test, at one size and channel count."""

    name: str
    size: int = 16
    channels: int = 1

    def spec(self, seed: int = 0) -> RunSpec:
        study = {
            "frameworks": [self.name],
            "seeds": [seed],
            "data": {"size": self.size, "channels": self.channels},
            "network": {"width": 0.03, "latent": 3},
        }
        return runs_of(checked(StudySpec, study, "triptych check"))[0]

    def state(self, seed: int = 0) -> State:
        return initial(self.spec(seed), self.channels, classes=CLASSES)

    def examples(self, count: int = 4, number: int = 0, dtype: torch.dtype = torch.float32) -> Examples:
        """Images of noise with labels; another set for another number."""
        generator = stream(0, "check/images", number)
        shape = (count, self.channels, self.size, self.size)
        images = torch.rand(shape, generator=generator, dtype=torch.float64).mul(2).sub(1).to(dtype)
        return Examples(images, torch.randint(0, CLASSES, (count,), generator=generator))

    def model(self, state: State) -> Model:
        set_evaluation(state.nets, state.framework.batchnorm_mode)
        return Model.of(self.spec(), state, self.channels, CLASSES)


def checks(name: str) -> list[Check]:
    """The checks of one framework, the cheap ones first."""
    subject = Subject(name)
    parts: dict[str, Callable[[Subject], None]] = {
        "networks, players, terms and losses fit": fits,
        "every player reaches all of its parameters": reaches,
        "own random weights differ between seeds": weights_differ_between_seeds,
        "weights depend on the seed alone": weights_depend_on_the_seed_alone,
        "shared networks start from the shared weights": shared_weights,
        "nothing uses the global random generator": no_global_generator,
        "gradients are left nowhere": no_leaked_gradient,
        "gradients are each player's own": gradients_are_the_players_own,
        "no player helps a critic that it should fool": signs,
        "one seed gives the same bits": same_bits,
        "a resumed run gives the same bits": resumes,
        "declared abilities work": abilities,
        "samples depend on their latents, and on nothing else": sampler,
    }
    return [Check(label, partial(part, subject)) for label, part in parts.items()]


def phases(state: State) -> Iterator[tuple[float, tuple[str, ...]]]:
    """The first moment at which each group of active players is trained."""
    first: dict[tuple[str, ...], float] = {}
    for percent in range(100):
        first.setdefault(state.framework.active_players(percent / 100), percent / 100)
    for players, progress in first.items():
        yield progress, players


def turns(subject: Subject, state: State) -> Iterator[Batch]:
    """A batch for each turn of each phase, with the networks in the modes of training."""
    spec = subject.spec()
    for progress, _ in phases(state):
        groups = update_groups(spec, state.framework, progress)
        set_modes(state, groups)
        for place, turn in enumerate(groups):
            if turn.players:
                yield batch_of(state, spec, subject.examples(), turn.players, place, progress)


def whole(batch: Batch) -> Batch:
    """The same batch with a graph that is cut nowhere."""
    return dataclasses.replace(batch, cut=lambda images: images)


def fits(subject: Subject) -> None:
    validate([subject.spec()])
    state = subject.state()
    moved = {player for _, players in phases(state) for player in players}
    if idle := [player for player in state.framework.players if player not in moved]:
        raise Broken(f"the player {idle[0]!r} is never active", "active_players() leaves it out at every moment")


def reaches(subject: Subject) -> None:
    state = subject.state()
    for batch in turns(subject, state):
        try:
            _, found = play(state, batch)
        except ValueError as error:
            raise Broken(
                str(error), "a term that does not use that network or layer; list layers in `unused`"
            ) from None
        for player, gradients in found.items():
            if not any(bool(gradient.any()) for gradient in gradients):
                raise Broken(f"the loss of player {player!r} has a gradient of zero", "detach() on its way")


def _is_constant(network: nn.Module) -> bool:
    """Whether nothing in a network is random: every tensor in it has one value throughout."""
    return all(value.unique().numel() <= 1 for value in network.state_dict().values())


def weights_differ_between_seeds(subject: Subject) -> None:
    first, second = subject.state(0).nets, subject.state(1).nets
    for name, network in first.items():
        if digest(network) == digest(second[name]) and not _is_constant(network):
            raise Broken(
                f"the network {name!r} has the same random weights at seeds 0 and 1, so its seeds are one run",
                "a generator or torch.manual_seed with a fixed seed in build(); make it with context.own(name, ...)",
            )


def weights_depend_on_the_seed_alone(subject: Subject) -> None:
    digests = []
    for entropy in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(entropy)
            digests.append({name: digest(network) for name, network in subject.state().nets.items()})
    for name, one in digests[0].items():
        if one != digests[1][name]:
            raise Broken(
                f"the network {name!r} has other weights each time that it is built at one seed",
                "random numbers from numpy, random or the clock in build()",
            )


def shared_weights(subject: Subject) -> None:
    spec, state = subject.spec(), subject.state()
    shared = networks.build(spec.network, subject.size, subject.channels, spec.seed)
    for name, network in state.nets.items():
        if name not in shared:
            continue
        ours, theirs = network.state_dict(), shared[name].state_dict()
        alike = ours.keys() == theirs.keys() and all(ours[key].shape == theirs[key].shape for key in ours)
        if alike and digest(network) != digest(shared[name]):
            raise Broken(
                f"the network {name!r} does not start from the weights that all frameworks share",
                "weights drawn again in build(); return context.shared(name) as it is",
            )


def no_global_generator(subject: Subject) -> None:
    with global_generator_untouched("build()"):
        state = subject.state()
    with global_generator_untouched("a training step"):
        step(state, subject.spec(), _step_examples(subject, state), 0.0)
    model = subject.model(state)
    for ability, use in uses(subject, model, 4).items():
        if model.can(ability):
            with global_generator_untouched(f"{ability}()"), torch.no_grad():
                _skip_labels(use)


def _step_examples(subject: Subject, state: State, number: int = 0) -> list[Examples]:
    count = batches_per_step(state.framework)
    return [subject.examples(number=number * count + place) for place in range(count)]


def no_leaked_gradient(subject: Subject) -> None:
    state = subject.state()
    before = {name: value.clone() for name, value in state.nets.named_parameters()}
    for batch in turns(subject, state):
        play(state, batch)
        for name, parameter in state.nets.named_parameters():
            if parameter.grad is not None:
                raise Broken(
                    f"terms() leaves a gradient in {name}, which another player's update would pick up",
                    "backward() inside terms(); use torch.autograd.grad, which returns the gradient",
                )
            if not torch.equal(parameter, before[name]):
                raise Broken(f"terms() changes {name}", "an update in terms(); updates belong to after_update()")


def gradients_are_the_players_own(subject: Subject) -> None:
    """Each gradient against plain autograd of that player's own loss on a fresh forward, in float64."""
    state = subject.state()
    state.nets.double()
    spec = subject.spec()
    for progress, _ in phases(state):
        groups = update_groups(spec, state.framework, progress)
        set_modes(state, groups)
        for place, turn in enumerate(groups):
            if not turn.players:
                continue
            examples = subject.examples(dtype=torch.float64)
            _, found = play(state, batch_of(state, spec, examples, turn.players, place, progress))
            for player, gradients in found.items():
                terms = state.framework.terms(
                    state.nets, whole(batch_of(state, spec, examples, turn.players, place, progress))
                )
                loss = sum(weight * terms[name] for name, weight in state.framework.losses[player].items())
                own = torch.autograd.grad(loss, state.parameters(player), allow_unused=True)  # type: ignore[arg-type]
                largest = max((float(g.abs().max()) for g in own if g is not None), default=0.0)
                for name, ours, theirs in zip(state.parameter_names(player), gradients, own, strict=True):
                    expected = torch.zeros_like(ours) if theirs is None else theirs
                    if not torch.allclose(ours, expected, rtol=1e-6, atol=1e-9 * max(largest, 1)):
                        raise Broken(
                            f"player {player!r} does not descend the gradient of its own loss at {name}",
                            "batch.cut() around something that its own parameters are in, or terms that are random",
                        )


def signs(subject: Subject) -> None:
    """No term of a player that makes images pulls the way that a critic of these images pulls.

    Where a framework computes each player's terms by itself, the critic's loss does not reach the maker. There, the
    maker takes a small step down its term, and the critic's loss must not fall.
    """
    state = subject.state()
    makers, critics = _makers_and_critics(subject, state)
    if not critics:
        raise NotApplicable("no player is only a critic")
    for progress, players in phases(state):
        set_modes(state, update_groups(subject.spec(), state.framework, progress))
        for critic in critics & set(players):
            for maker in makers & set(players):
                for name in state.framework.losses[maker]:
                    if _helps(subject, state, progress, critic, maker, name):
                        raise Broken(
                            f"the term {name!r} of player {maker!r} lowers the loss of {critic!r}: it helps the critic "
                            "instead of fooling it",
                            "a wrong sign, labels the wrong way round in the generator's loss, or the critic's own "
                            "gradient left in the generator's update",
                        )


def _helps(subject: Subject, state: State, progress: float, critic: str, maker: str, name: str) -> bool:
    """Whether one term of the maker pulls the way of the critic's loss."""
    parameters, spec = state.parameters(maker), subject.spec()

    def loss(player: str, moving: tuple[str, ...], only: str = "") -> Tensor:
        batch = whole(batch_of(state, spec, subject.examples(), moving, 0, progress))
        terms, weights = state.framework.terms(state.nets, batch), state.framework.losses[player]
        chosen = {only: weights[only]} if only else weights
        return sum((weight * terms[term] for term, weight in chosen.items()), torch.zeros(()))

    def slope(player: str, moving: tuple[str, ...], only: str = "") -> Tensor:
        return _flat(loss(player, moving, only), parameters)

    active = state.framework.active_players(progress)
    try:
        ours, theirs = slope(maker, active, name), slope(critic, active)
    except KeyError:
        ours, theirs = slope(maker, (maker,), name), torch.zeros(())
    if not ours.any() or _independent(state, critic, loss(maker, (maker,), name)):
        return False
    if theirs.any():
        return float(ours @ theirs) / float(ours.norm() * theirs.norm()) > OPPOSED
    before = loss(critic, (critic,)).item()
    steps = (-1e-3 * ours / ours.norm()).split([p.numel() for p in parameters])
    _shift(parameters, steps)
    after = loss(critic, (critic,)).item()
    _shift(parameters, [-part for part in steps])
    return after < before


@torch.no_grad()
def _shift(parameters: list[nn.Parameter], steps: Sequence[Tensor]) -> None:
    for parameter, part in zip(parameters, steps, strict=True):
        parameter.add_(part.view_as(parameter))


def _independent(state: State, critic: str, term: Tensor) -> bool:
    """Whether a term does not look at the critic's networks."""
    return not _flat(term, state.parameters(critic)).any()


def _flat(loss: Tensor, parameters: list[nn.Parameter]) -> Tensor:
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    parts = zip(parameters, found, strict=True)
    return torch.cat([torch.zeros(p.numel()) if g is None else g.flatten() for p, g in parts])


def _makers_and_critics(subject: Subject, state: State) -> tuple[set[str], set[str]]:
    """The players whose networks make samples, codes or reconstructions, and those none of whose networks does."""
    called: set[str] = set()

    def noting(name: str) -> Callable[..., None]:
        return lambda module, inputs: called.add(name)

    handles = [network.register_forward_pre_hook(noting(name)) for name, network in state.nets.items()]
    model = subject.model(state)
    for ability, use in uses(subject, model, 2).items():
        if ability != "features" and model.can(ability):
            with torch.no_grad():
                _skip_labels(use)
    for handle in handles:
        handle.remove()
    players = state.framework.players
    makers = {player for player, owned in players.items() if called & set(owned)}
    return makers, set(players) - makers


def same_bits(subject: Subject) -> None:
    results = []
    for entropy in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(entropy)
            state = subject.state()
            for number in range(3):
                step(state, subject.spec(), _step_examples(subject, state, number), number / 3)
            results.append({name: digest(network) for name, network in state.nets.items()})
    if results[0] != results[1]:
        name = next(name for name in results[0] if results[0][name] != results[1][name])
        raise Broken(f"two runs at one seed differ in {name!r}", "random numbers that are not from batch.noise")


def resumes(subject: Subject) -> None:
    spec, state = subject.spec(), subject.state()
    for number in range(2):
        step(state, spec, _step_examples(subject, state, number), number / 4)
    files = to_files(state, {})
    resumed = subject.state()
    from_files(resumed, files)
    for number in range(2, 4):
        for one in (state, resumed):
            step(one, spec, _step_examples(subject, one, number), number / 4)
    for name, network in state.nets.items():
        if digest(network) != digest(resumed.nets[name]):
            raise Broken(
                f"a run that is stopped and resumed differs in {name!r}",
                "a counter or a moving average kept on the framework object; keep it in a network's buffer",
            )


def uses(subject: Subject, model: Model, count: int) -> dict[Ability, Callable[[], Any]]:
    """How to ask for each ability that has an output of its own, for so many images."""
    images, labels = subject.examples(count)
    latents = torch.randn(count, model.latent, generator=stream(0, "check/latents"))
    return {
        "sample": lambda: model.sample(latents, labels),
        "decode": lambda: model.decode(latents, labels),
        "encode": lambda: model.encode(images, labels),
        "posterior": lambda: model.posterior(images, labels),
        "reconstruct": lambda: model.reconstruct(images, labels),
        "features": lambda: model.features(images),
    }


def _skip_labels(use: Callable[[], Any]) -> Any:
    """What an ability gives; None where it says by ValueError that it has no answer to this."""
    try:
        return use()
    except ValueError:
        return None


def abilities(subject: Subject) -> None:
    for sized in (subject, Subject(subject.name, 32, 3)):
        state = sized.state()
        model = sized.model(state)
        image = (sized.channels, sized.size, sized.size)
        # With the statistics of a batch in BatchNorm, one image alone has none.
        for count in (1, 64) if state.framework.batchnorm_mode == "running" else (2, 64):
            shapes: dict[Ability, tuple[int, ...]] = {
                "sample": (count, *image),
                "decode": (count, *image),
                "reconstruct": (count, *image),
                "encode": (count, model.latent),
            }
            for ability, use in uses(sized, model, count).items():
                if model.can(ability):
                    where = f"{ability}() of {count} at {sized.size} pixels and {sized.channels} channels"
                    _check_output(where, _used(where, use), shapes.get(ability))


def _used(where: str, use: Callable[[], Any]) -> Any:
    try:
        with torch.no_grad():
            return use()
    except Exception as error:
        raise Broken(
            f"{where} raises {type(error).__name__}: {error}",
            "a size or channel count that is fixed, or an ability that `cannot` should name",
        ) from error


def _check_output(where: str, output: Any, shape: tuple[int, ...] | None) -> None:
    for tensor in output if isinstance(output, tuple) else (output,):
        if not isinstance(tensor, Tensor) or not bool(tensor.isfinite().all()):
            raise Broken(f"{where} gives something that is not a finite tensor", "NaN, or another type")
        if shape and tuple(tensor.shape) != shape:
            raise Broken(f"{where} gives {list(tensor.shape)} instead of {list(shape)}", "a reshape or a wrong default")
    if shape and len(shape) == 4 and isinstance(output, Tensor) and float(output.abs().max()) > 1 + 1e-4:
        raise Broken(f"{where} gives pixels beyond [-1, 1]", "no tanh or clamp at the end")


def sampler(subject: Subject) -> None:
    state = subject.state()
    model = subject.model(state)
    if not model.can("sample"):
        raise NotApplicable(model.framework.lacks["sample"])
    labels = torch.zeros(8, dtype=torch.int64)
    one, other = (torch.randn(8, model.latent, generator=stream(seed, "check/latents")) for seed in (0, 1))
    with torch.no_grad():
        first, again, second = model.sample(one, labels), model.sample(one, labels), model.sample(other, labels)
        pairs = torch.cat([model.sample(rows, labels[:2]) for rows in one.split(2)])
    if not torch.equal(first, again):
        raise Broken("equal latents give other samples each time", "random numbers inside sample(); use the latents")
    if torch.equal(first, second):
        raise Broken("other latents give the same samples: the sampler ignores its seed", "latents that are not used")
    if state.framework.batchnorm_mode == "running" and not torch.allclose(first, pairs, atol=1e-4):
        raise Broken(
            "a sample depends on which others are drawn with it", "a network in training mode, or a mean over the batch"
        )
    if model.framework.conditional:
        with torch.no_grad():
            if torch.equal(first, model.sample(one, labels + 1)):
                raise Broken("another class gives the same samples", "labels that sample() does not use")
