"""The framework contract as checks; `triptych.frameworks.base` says what it is.

They play the framework on tiny networks, 16 pixels and a batch of four, at the seeds 0 and 1, on images of noise.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from triptych import networks
from triptych.contracts.abilities import abilities, sampler
from triptych.contracts.base import Broken, Check, global_generator_untouched
from triptych.contracts.signs import signs
from triptych.contracts.subject import CLASSES, Subject, answer_of, turns, uses, whole
from triptych.study.plan import validate
from triptych.training.cost import count_step, phases
from triptych.training.state import State, digest, from_files, to_files
from triptych.training.step import Examples, batch_of, batches_per_step, play, set_modes, step, update_groups


def checks(name: str) -> list[Check]:
    """The checks of one framework, the cheap ones first."""
    subject = Subject(name)
    parts: dict[str, Callable[[Subject], None]] = {
        "networks, players, terms and losses fit": fits,
        "no step depends on the values of a tensor": needs_no_values,
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


def fits(subject: Subject) -> None:
    validate([subject.spec()])
    state = subject.state()
    moved = {player for players in phases(state.framework) for player in players}
    if idle := [player for player in state.framework.players if player not in moved]:
        raise Broken(f"the player {idle[0]!r} is never active", "active_players() leaves it out at every moment")


def needs_no_values(subject: Subject) -> None:
    """Large networks are counted on PyTorch's meta device, where tensors have shapes and no values."""
    classes = CLASSES if subject.state().framework.conditional else 0
    try:
        count_step(subject.spec(), subject.channels, classes, "meta")
    except (RuntimeError, NotImplementedError) as error:
        what = f"a training step does not work without the values of its tensors: {error}"
        raise Broken(what, "item(), a mask as an index or `if` on a tensor in terms()") from None


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
    """Whether nothing in a network is random: every tensor has one value throughout; a single number is 0 or 1."""
    return all(
        value.unique().numel() <= 1 if value.numel() != 1 else value.item() in (0, 1)
        for value in network.state_dict().values()
    )


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
                answer_of(use)


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
    for progress, _ in phases(state.framework).values():
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
