"""What every framework owes, with each of its options and presets; a new file there is tested from the start."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from framework_cases import (
    NAMES,
    SHARED,
    SPECS,
    TINY,
    batch,
    dataset_of,
    every_framework,
    every_spec,
    everything,
    examples,
    noise_of,
    phases,
    same,
    seen,
    several_players,
    spec_of,
)
from triptych.data.dataset import Dataset, Split, batch_indices
from triptych.errors import InputError
from triptych.frameworks import Turn, framework_of
from triptych.spec import RunSpec, StudySpec
from triptych.study.plan import runs_of, validate
from triptych.training.gradients import Cuts
from triptych.training.loop import Training
from triptych.training.state import State, digest, initial
from triptych.training.step import Diverged, Examples, play, set_modes, step, update_groups

# The game.


@every_spec
def test_players_are_disjoint_and_own_every_parameter(spec: RunSpec):
    state = initial(spec, 1)
    owned = [id(p) for player in state.framework.players for p in state.parameters(player)]
    assert len(owned) == len(set(owned))
    assert set(owned) == {id(p) for p in state.nets.parameters()}
    assert state.optimisers.keys() == state.framework.players.keys()
    for player, optimiser in state.optimisers.items():
        stepped = [p for group in optimiser.param_groups for p in group["params"]]
        assert list(map(id, stepped)) == list(map(id, state.parameters(player)))


@every_spec
def test_losses_are_sums_of_terms_that_there_are(spec: RunSpec):
    state = initial(spec, 1)
    assert state.framework.losses.keys() == state.framework.players.keys()
    for progress, moving in phases(state):
        assert set(moving) <= state.framework.players.keys()
        set_modes(state, [Turn(moving)])
        terms = state.framework.terms(state.nets, seen(state, spec, moving, progress=progress))
        assert all(term.shape == () and term.isfinite() for term in terms.values())
        for player in moving:
            assert set(state.framework.losses[player]) <= terms.keys()


@every_spec
def test_every_player_moves_some_time(spec: RunSpec):
    state = initial(spec, 1)
    assert {player for _, moving in phases(state) for player in moving} == set(state.framework.players)


@every_spec
def test_gradients_are_returned_and_left_nowhere(spec: RunSpec):
    state = initial(spec, 1)
    for parameter in state.nets.parameters():
        parameter.grad = torch.full_like(parameter, 7)
    parameters = [p.detach().clone() for p in state.nets.parameters()]
    for progress, moving in phases(state):
        set_modes(state, [Turn(moving)])
        _, found = play(state, seen(state, spec, moving, progress=progress))
        assert set(found) == set(moving)
        for player, gradients in found.items():
            assert [g.shape for g in gradients] == [p.shape for p in state.parameters(player)]
            assert any(g.any() for g in gradients)
    for before, after in zip(parameters, state.nets.parameters(), strict=True):
        assert torch.equal(before, after)
        assert after.requires_grad
        assert (after.grad == 7).all()


@every_spec
def test_a_player_alone_and_a_player_among_others_descend_the_same(spec: RunSpec):
    """No gradient holds another player's share, whoever else moves."""
    state = initial(spec, 1)
    for progress, moving in phases(state):
        set_modes(state, [Turn(moving)])
        shown = seen(state, spec, moving, progress=progress)
        _, together = play(state, shown)
        for player in moving:
            _, alone = play(state, dataclasses.replace(shown, active=(player,), cut=Cuts()))
            largest = max(float(g.abs().max()) for g in alone[player])
            for ours, theirs in zip(together[player], alone[player], strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * largest)


@every_framework
def test_a_loss_that_forgets_a_parameter_raises(name: str):
    spec = spec_of(name)
    state = initial(spec, 1)
    for player, networks in state.framework.players.items():
        stray = copy.deepcopy(state)
        stray.nets[networks[0]].register_parameter("stray", nn.Parameter(torch.zeros(1)))
        moving = state.framework.active_players(0.0)
        expected = rf"player '{player}' does not reach 1 of its \d+ parameters: {networks[0]}\.stray$"
        with pytest.raises(ValueError, match=expected):
            play(stray, seen(stray, spec, moving))


@every_framework
def test_an_unknown_option_is_refused_with_those_there_are(name: str):
    with pytest.raises(InputError, match=r"unknown key 'bata'.*Known: "):
        framework_of(spec_of(name, options={"bata": 1.0}))


@pytest.mark.parametrize("name", ["json:JSONDecoder", "json:loads"])
def test_what_is_no_framework_is_refused(name: str):
    with pytest.raises(InputError, match="not a triptych"):
        framework_of(spec_of(name))


# Steps.


@every_spec
def test_one_seed_gives_the_same_bits_whatever_the_global_generator_does(spec: RunSpec):
    results = []
    for entropy in (1, 2):
        torch.manual_seed(entropy)
        before = torch.random.get_rng_state()
        state = initial(spec, 1)
        for number in range(3):
            step(state, spec, examples(), number / 3)
        assert torch.equal(torch.random.get_rng_state(), before)
        results.append(everything(state))
    assert same(*results)


@every_framework
def test_another_seed_gives_other_weights_and_other_noise(name: str):
    first, second = (spec_of(name, seed=seed) for seed in (0, 1))
    nets, others = initial(first, 1).nets, initial(second, 1).nets
    assert all(digest(net) != digest(others[label]) for label, net in nets.items())
    assert not torch.equal(noise_of(first, 0, batch())("z"), noise_of(second, 0, batch())("z"))


def test_noise_is_standard_normal_and_differs_between_steps_and_names():
    x = torch.empty(500, 1, 1, 1)
    spec = spec_of("vae", network={"latent": 100})
    z = noise_of(spec, 0, x)("z")
    assert abs(z.mean().item()) < 4 / 50_000**0.5
    assert abs(z.std().item() - 1) < 4 / 100_000**0.5
    assert torch.equal(z, noise_of(spec, 0, x)("z"))
    for other in (noise_of(spec, 1, x)("z"), noise_of(spec, 0, x)("z_p")):
        assert abs((z * other).mean().item()) < 4 / 50_000**0.5


def descend_by_hand(state: State, spec: RunSpec, groups: list[tuple[str, ...]]) -> None:
    """Plain gradient descent: each group from where the ones before it left the networks."""
    set_modes(state, [Turn(group) for group in groups])
    for turn, group in enumerate(groups):
        _, found = play(state, seen(state, spec, group, turn))
        with torch.no_grad():
            for player in group:
                for parameter, gradient in zip(state.parameters(player), found[player], strict=True):
                    parameter -= spec.optimiser.rate * gradient


def orders(name: str) -> list[tuple[str, ...] | None]:
    """None for simultaneous updates, the players' own order, and one in which the last moves twice."""
    players = tuple(framework_of(spec_of(name)).players)
    return [None, players, (players[-1], *players)]


@pytest.mark.parametrize(("name", "order"), [(name, order) for name in NAMES for order in orders(name)])
def test_players_move_together_or_one_after_another_as_asked(name: str, order: tuple[str, ...] | None):
    training = {"updates": "sequential", "order": order} if order else {}
    spec = spec_of(name, training=training, optimiser={"name": "SGD", "rate": 1e-3})
    stepped, by_hand = initial(spec, 1), initial(spec, 1)
    measured = step(stepped, spec, examples(), 0.0)
    descend_by_hand(
        by_hand, spec, [(player,) for player in order] if order else [by_hand.framework.active_players(0.0)]
    )
    for ours, theirs in zip(stepped.nets.parameters(), by_hand.nets.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    untouched = initial(spec, 1)
    assert all(digest(net) != digest(untouched.nets[label]) for label, net in stepped.nets.items())
    assert all(parameter.grad is None for parameter in stepped.nets.parameters())
    assert stepped.step == 1
    assert measured.losses.keys() == measured.gradient_norms.keys() == stepped.framework.players.keys()


@several_players
def test_who_moves_first_makes_a_difference(name: str):
    players = tuple(framework_of(spec_of(name)).players)
    results = []
    for order in (None, players, tuple(reversed(players))):
        training = {"updates": "sequential", "order": order} if order else {}
        spec = spec_of(name, training=training)
        state = initial(spec, 1)
        step(state, spec, examples(), 0.0)
        results.append(digest(state.nets))
    assert len(set(results)) == 3


@every_framework
def test_without_an_order_the_last_player_moves_first(name: str):
    spec = spec_of(name, training={"updates": "sequential"})
    state = initial(spec, 1)
    groups = [(player,) for player in reversed(state.framework.active_players(0.0))]
    # All of them see the one batch of the step.
    assert update_groups(spec, state.framework, 0.0) == [Turn(group, not place) for place, group in enumerate(groups)]


def sequential(name: str, *order: str) -> StudySpec:
    training = {"updates": "sequential", "order": order}
    return StudySpec.model_validate({"frameworks": [name], "seeds": 1, **TINY, "training": training})


@every_framework
def test_an_order_that_names_a_stranger_is_refused_with_the_nearest_player(name: str):
    players = tuple(framework_of(spec_of(name)).players)
    with pytest.raises(InputError, match=f"training.order: no such player.*Did you mean '{players[0]}'"):
        validate(runs_of(sequential(name, players[0] + "x", *players)))


@several_players
def test_an_order_that_forgets_a_player_is_refused(name: str):
    first, *others = framework_of(spec_of(name)).players
    with pytest.raises(InputError, match=f"a player never moves .got '{first}'"):
        validate(runs_of(sequential(name, *others)))


@every_spec
def test_networks_of_resting_players_keep_their_bits(spec: RunSpec):
    state = initial(spec, 1)
    for progress, moving in phases(state):
        before = {name: digest(net) for name, net in state.nets.items()}
        step(state, spec, examples(), progress)
        moved = {name for name, net in state.nets.items() if digest(net) != before[name]}
        assert moved == {name for player in moving for name in state.framework.players[player]}


@every_framework
def test_a_player_that_skips_an_update_is_measured_and_keeps_its_weights(name: str, monkeypatch):
    spec = spec_of(name)
    state = initial(spec, 1)
    skipped, *others = state.framework.active_players(0.0)
    monkeypatch.setattr(state.framework, "skipped_players", lambda terms: (skipped,))
    before = {player: [p.detach().clone() for p in state.parameters(player)] for player in (skipped, *others)}
    measured = step(state, spec, examples(), 0.0)
    assert measured.skipped == [skipped]
    assert measured.gradient_norms[skipped] > 0
    for player, parameters in before.items():
        moved = [not torch.equal(a, b) for a, b in zip(parameters, state.parameters(player), strict=True)]
        assert any(moved) is (player != skipped)


@every_spec
def test_measured_losses_and_norms_are_those_of_the_gradients(spec: RunSpec):
    order = spec.training.order and tuple(dict.fromkeys(spec.training.order))  # of who moves twice, the last is noted
    spec = spec.model_copy(update={"training": spec.training.model_copy(update={"order": order})})
    state = initial(spec, 1)
    twin = copy.deepcopy(state)
    measured = step(state, spec, examples(), 0.0)
    turns = update_groups(spec, twin.framework, 0.0)
    set_modes(twin, turns)
    terms, found = play(twin, seen(twin, spec, turns[0].players))
    for player in turns[0].players:
        loss = sum(weight * terms[name].item() for name, weight in twin.framework.losses[player].items())
        norm = torch.cat([g.flatten() for g in found[player]]).double().norm().item()
        assert measured.losses[player] == pytest.approx(loss, rel=1e-5)
        assert measured.gradient_norms[player] == pytest.approx(norm, rel=1e-5)


# Divergence.


def poisons(name: str) -> list[str]:
    """Where something that is not finite can come from: the images, or a weight of a network that moves."""
    framework = framework_of(spec_of(name))
    return ["images", *(network for player in framework.active_players(0.0) for network in framework.players[player])]


@pytest.mark.parametrize(("name", "where"), [(name, where) for name in NAMES for where in poisons(name)])
def test_divergence_is_raised_before_anything_has_changed(name: str, where: str):
    spec = spec_of(name)
    state = initial(spec, 1)
    step(state, spec, examples(), 0.0)
    x = batch()
    poisoned = x if where == "images" else next(state.nets[where].parameters()).detach()
    poisoned.view(-1)[0] = torch.inf
    before = everything(state)
    moments = {player: copy.deepcopy(optimiser.state_dict()) for player, optimiser in state.optimisers.items()}
    with pytest.raises(Diverged, match="at step 1"):
        step(state, spec, [Examples(x)], 0.0)
    assert same(before, everything(state))
    assert state.step == 1
    for player, optimiser in state.optimisers.items():
        for index, entries in optimiser.state_dict()["state"].items():
            assert same(moments[player]["state"][index], entries)


def test_a_gradient_that_overflows_is_divergence_though_every_term_is_finite(monkeypatch):
    spec = spec_of("vae")
    state = initial(spec, 1)
    losses = {"vae": {"prior": 1.0, "reconstruction": 1e38}}
    monkeypatch.setattr(type(state.framework), "losses", property(lambda self: losses))
    before = everything(state)
    with pytest.raises(Diverged, match="gradient of player 'vae' is"):
        step(state, spec, examples(), 0.0)
    assert same(before, everything(state))


# Matched.


@pytest.fixture(scope="module")
def small() -> Dataset:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 1, 16, 16), dtype=np.uint8)
    parts = [Split(torch.from_numpy(part.copy()), None, torch.device("cpu")) for part in np.split(pixels, 3)]
    return dataset_of(parts)


def test_at_one_seed_every_framework_starts_alike_and_sees_the_same(small: Dataset, tmp_path: Path):
    training = {"images": 64, "batch_size": 6}
    plain = {label: spec.options for label, spec in SPECS.items() if "@" not in label}
    runs = {
        label: Training(tmp_path, spec_of(label.partition("-")[0], options=options, training=training), small)
        for label, options in plain.items()
    }
    first = runs["vaegan"]
    assert set(first.certificate["initial_weights"]) == set(SHARED)
    for label, run in runs.items():
        ours, theirs = dict(first.certificate), dict(run.certificate)
        weights, others = ours.pop("initial_weights"), theirs.pop("initial_weights")
        assert ours == theirs, label
        assert all(weights[name] == others[name] for name in SHARED if name in others), label
        assert torch.equal(first.latents, run.latents)
        assert torch.equal(first.shown, run.shown)
    for number in range(first.steps):
        indices = batch_indices(0, number, len(small.train), 6)
        for run in runs.values():
            run.state.step = number
            (shown,) = run.next_examples()
            assert torch.equal(shown.images, small.train.images(indices)) and shown.labels is None


def test_at_one_seed_every_framework_draws_the_same_noise():
    for name in NAMES:
        for label in ("z", "z_p"):
            ours, theirs = (noise_of(spec_of(n, seed=5), 3, batch())(label) for n in (name, "vae"))
            assert torch.equal(ours, theirs)


def test_a_network_of_a_frameworks_own_starts_where_it_says():
    nets = initial(spec_of("vae_disl", options={"discriminator": "pretrained"}), 1).nets
    assert digest(nets["gen"]) == digest(nets["dec"])
    assert all(a is not b for a, b in zip(nets["gen"].parameters(), nets["dec"].parameters(), strict=True))
