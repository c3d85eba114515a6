"""One training step: the same for every framework, whatever its players, terms and networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from triptych.errors import InputError
from triptych.frameworks import Batch, Framework, Noise, Turn
from triptych.plugins import suggest
from triptych.spec import RunSpec
from triptych.training.gradients import Cuts, Unreached, gradients
from triptych.training.state import State


class Diverged(Exception):
    """A loss or a gradient is not a finite number; nothing has been updated with it.

    `is_halfway` says that earlier turns of the same step have already updated players: the networks are then neither
    those before the step nor those after it.
    """

    is_halfway = False


class Examples(NamedTuple):
    """Training images [B, C, S, S] in [-1, 1] with their labels [B], None where the data have none."""

    images: Tensor
    labels: Tensor | None = None


@dataclass
class StepValues:
    """What one step showed: the value of each term, each player's loss and gradient norm, and who was skipped."""

    terms: dict[str, float] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)
    gradient_norms: dict[str, float] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def batches_per_step(framework: Framework) -> int:
    """How many batches of images a step sees: more than one where turns of the framework's own see fresh ones."""
    return 1 + sum(turn.fresh for turn in (framework.turns or ())[1:])


def update_groups(spec: RunSpec, framework: Framework, progress: float) -> list[Turn]:
    """The groups of players that move at once, one after another, and which of them see a batch of their own.

    A framework's own `turns` come first. Otherwise, simultaneous: one group. Sequential: one player at a time, in the
    named order or, without one, from the last player to the first (Dis, Dec, Enc). Only the first sees a new batch.
    Raises InputError for an order that does not fit the players.
    """
    active, own_turns = framework.active_players(progress), framework.turns
    if own_turns is not None:
        if spec.training.updates != "simultaneous":
            raise InputError(
                f"{spec.framework} says itself who is updated when",
                where="training.updates",
                value=spec.training.updates,
                hint='Leave it at "simultaneous" for this framework: [override] in the study.',
            )
        return [turn._replace(players=tuple(name for name in turn.players if name in active)) for turn in own_turns]
    if spec.training.updates == "simultaneous":
        return [Turn(active)]
    players = list(framework.players)
    order = spec.training.order or tuple(reversed(players))
    unknown = [name for name in order if name not in players]
    if unknown:
        raise InputError("no such player", where="training.order", value=unknown[0], hint=suggest(unknown[0], players))
    missing = [name for name in players if name not in order]
    if missing:
        raise InputError("a player never moves", where="training.order", value=missing[0], hint="Name every player.")
    return [Turn((name,), fresh=not index) for index, name in enumerate(name for name in order if name in active)]


def set_modes(state: State, turns: Sequence[Turn]) -> None:
    """Training mode for the networks of the players that move, evaluation mode for all others."""
    training = {name for turn in turns for player in turn.players for name in state.framework.players[player]}
    for name, network in state.nets.items():
        network.train(name in training)


def step(state: State, spec: RunSpec, examples: Sequence[Examples], progress: float) -> StepValues:
    """Move every player once, from as many batches as `batches_per_step`; `progress` is the share of the budget used.

    Raises Diverged before a number that is not finite can touch a parameter. If nobody has moved yet in this step,
    nothing has changed: the buffers are as they were. Otherwise `is_halfway` is set, and only a checkpoint leads back
    (`Training.go_back`): a copy of all weights at every step would cost too much.
    """
    buffers = [(buffer, buffer.clone()) for buffer in state.nets.buffers()]
    measured = StepValues()
    turns = update_groups(spec, state.framework, progress)
    set_modes(state, turns)
    batches = iter(examples)
    current, has_moved = next(batches), False
    try:
        for index, turn in enumerate(turns):
            if index and turn.fresh:
                current = next(batches)
            if turn.players:
                _move(state, batch_of(state, spec, current, turn.players, index, progress), measured)
                has_moved = True
    except Diverged as reason:
        reason.is_halfway = has_moved
        for buffer, before in buffers:
            buffer.copy_(before)
        raise
    state.step += 1
    return measured


def batch_of(
    state: State, spec: RunSpec, examples: Examples, players: tuple[str, ...], turn: int = 0, progress: float = 0.0
) -> Batch:
    """What the terms see in one turn of this step."""
    draw = state.framework.noise_draw(turn, players)
    noise = Noise(spec.seed_of("noise"), state.step, examples.images, spec.network.latent, draw)
    return Batch(
        images=examples.images,
        noise=noise,
        cut=Cuts(),
        active=players,
        labels=examples.labels,
        progress=progress,
    )


def play(state: State, batch: Batch) -> tuple[dict[str, Tensor], dict[str, list[Tensor]]]:
    """The terms of one turn, and the gradients of the players that it moves; moves nobody.

    Raises ValueError for terms that do not fit the players' losses.
    """
    assert isinstance(batch.cut, Cuts)
    terms = state.framework.terms(state.nets, batch)
    losses = {player: state.framework.losses[player] for player in batch.active}
    for player, loss in losses.items():
        for name in loss:
            if name not in terms:
                raise ValueError(f"player {player!r} minimises the term {name!r}, which terms() does not return")
    for name, term in terms.items():
        if not isinstance(term, Tensor) or term.ndim:
            raise ValueError(f"the term {name!r} must be a scalar tensor; take the mean over the batch")
    parameters = {player: state.parameters(player) for player in batch.active}
    try:
        return terms, gradients(terms, losses, parameters, batch.cut)
    except Unreached as error:
        names = state.parameter_names(error.player)
        shown = ", ".join(names[index] for index in error.indices[:4])
        more = f" and {len(error.indices) - 4} more" if len(error.indices) > 4 else ""
        raise ValueError(f"{error}: {shown}{more}") from None


def _move(state: State, batch: Batch, measured: StepValues) -> None:
    """Move the players of one turn together. Of several turns, each term is noted as the last player that minimises
    it saw it.
    """
    terms, gradients_of = play(state, batch)
    players = batch.active
    sizes = [torch.nn.utils.get_total_norm(gradients_of[player]) for player in players]
    # One transfer for all numbers: on a GPU each would wait for the device.
    numbers = torch.stack([value.detach().double() for value in [*terms.values(), *sizes]]).tolist()
    values = dict(zip(terms, numbers[: len(terms)], strict=True))
    norms = dict(zip(players, numbers[len(terms) :], strict=True))
    for kind, found in (("term", values), ("gradient of player", norms)):
        for name, number in found.items():
            if not math.isfinite(number):
                raise Diverged(f"{kind} {name!r} is {number} at step {state.step}")
    skipped = state.framework.skipped_players(values)
    minimised = {name for player in players for name in state.framework.losses[player]}
    measured.terms |= {name: v for name, v in values.items() if name in minimised or name not in measured.terms}
    measured.skipped += [player for player in players if player in skipped]
    for player, norm in norms.items():
        loss = state.framework.losses[player]
        measured.losses[player] = sum(weight * values[name] for name, weight in loss.items())
        measured.gradient_norms[player] = norm
        if player not in skipped:
            _update(state.optimisers[player], state.parameters(player), gradients_of[player])
    with torch.no_grad():
        state.framework.after_update(state.nets, tuple(player for player in players if player not in skipped))


def _update(optimiser: torch.optim.Optimizer, parameters: list[torch.nn.Parameter], gradients: list[Tensor]) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=True):
        # A fused optimiser goes through both as they lie in memory, without a look at their strides.
        is_alike = gradient.stride() == parameter.stride()
        parameter.grad = gradient if is_alike else torch.empty_like(parameter).copy_(gradient)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
