"""What the framework contract promises to authors, held with the small frameworks of `toy_frameworks.py`."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from triptych import store
from triptych.data.dataset import Dataset, Split, batch_indices
from triptych.errors import InputError
from triptych.evaluation.run import Run
from triptych.frameworks import Noise
from triptych.spec import RunSpec
from triptych.study.plan import check_labels, validate
from triptych.training import cost, grids
from triptych.training.gradients import Cuts
from triptych.training.loop import Training, train
from triptych.training.model import Model
from triptych.training.state import State, digest, initial, set_evaluation
from triptych.training.step import Examples, batch_of, batches_per_step, play, set_modes, step, update_groups

SIZE, BATCH = 16, 4
TINY: dict[str, Any] = {"data": {"size": SIZE}, "network": {"width": 0.03, "latent": 3}}


def spec_of(name: str, **values: Any) -> RunSpec:
    training = {"images": 96, "batch_size": BATCH, "log_images": 1} | values.pop("training", {})
    return RunSpec.model_validate({"framework": f"toy_frameworks:{name}", **TINY, "training": training, **values})


@pytest.fixture(scope="module")
def labelled() -> Dataset:
    """Noise in three classes: 20 training images, and 20 each to validate and to test."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 1, SIZE, SIZE), dtype=np.uint8)
    labels = torch.arange(60) % 7 % 3
    parts = [
        Split(pixels=torch.from_numpy(pixels[a : a + 20].copy()), labels=labels[a : a + 20], device=torch.device("cpu"))
        for a in (0, 20, 40)
    ]
    return Dataset(
        source="noise",
        train=parts[0],
        validation=parts[1],
        test=parts[2],
        channels=1,
        size=SIZE,
        counts={"train": 20, "validation": 20, "test": 20},
        label_names=["a", "b", "c"],
        fingerprint="0" * 64,
        notes=[],
    )


def images(number: int = 0) -> Tensor:
    return torch.rand(BATCH, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(number)) * 2 - 1


def stepped(state: State, spec: RunSpec, steps: int = 1) -> State:
    for number in range(steps):
        examples = [Examples(images(number))] * batches_per_step(state.framework)
        step(state, spec, examples, number / steps)
    return state


def copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def toy_of(state: State) -> Any:
    """The framework, whose own attributes a test looks at."""
    return state.framework


# Networks of a framework's own.


@pytest.mark.parametrize("name", ["Critic", "Unseeded"])
def test_own_weights_differ_between_seeds_and_are_decided_by_the_seed_alone(name: str):
    found: dict[int, set[str]] = {}
    for seed, entropy in ((0, 1), (0, 2), (1, 1), (1, 2)):
        torch.manual_seed(entropy)
        torch.rand(entropy)
        before = torch.random.get_rng_state()
        found.setdefault(seed, set()).add(digest(initial(spec_of(name, seed=seed), 1).nets["critic"]))
        assert torch.equal(torch.random.get_rng_state(), before), "the global generator is as it was"
    assert [len(digests) for digests in found.values()] == [1, 1]
    assert found[0] != found[1]


def test_a_network_of_one_name_is_the_same_in_two_frameworks_whatever_else_they_build():
    one, other = (initial(spec_of(name, seed=3), 1).nets for name in ("Critic", "Twin"))
    assert "first" in other and "first" not in one
    for name in ("critic", "dec"):
        assert digest(one[name]) == digest(other[name])


def test_networks_of_two_names_differ():
    one, other = initial(spec_of("Critic"), 1).nets["critic"], initial(spec_of("Energy"), 1).nets["energy"]
    assert [p.shape for p in one.parameters()] == [p.shape for p in other.parameters()]
    assert digest(one) != digest(other)


def test_noise_of_any_shape_and_law_belongs_to_seed_step_name_and_draw():
    like = torch.empty(4000, 1, 1, 1, dtype=torch.float64)
    noise = Noise(5, 2, like, 3)
    assert noise("z").shape == (4000, 3) and noise("z").dtype == torch.float64
    uniform = noise("mix", 2, 5, law="uniform")
    assert uniform.shape == (4000, 2, 5) and uniform.min() >= 0 and uniform.max() < 1
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.01)
    assert noise("mix", 2, 5).std().item() == pytest.approx(1, abs=0.03)
    assert torch.equal(noise("z"), Noise(5, 2, like, 3)("z"))
    for other in (Noise(6, 2, like, 3), Noise(5, 3, like, 3), Noise(5, 2, like, 3, draw=1)):
        assert not torch.equal(noise("z"), other("z"))
    assert not torch.equal(noise("z"), noise("y"))


# What a framework cannot do.


def test_without_encoder_or_decoder_a_run_trains_and_has_no_grids(labelled: Dataset, tmp_path: Path):
    spec = spec_of("Energy")
    assert train(tmp_path, spec, labelled)
    outcome = store.read_json(tmp_path / "outcome.json")
    assert outcome["status"] == "finished" and outcome["images"] == 96
    written = {path.name for path in tmp_path.iterdir()}
    assert "weights" in written and not written & {"samples", "reconstructions"}
    assert {path.name for path in (tmp_path / "weights").iterdir()} == {"energy.safetensors"}
    run = Run(tmp_path)
    assert digest(run.networks["energy"]) != outcome["certificate"]["initial_weights"]["energy"]
    assert (
        run.lacks
        == outcome["lacks"]
        == {
            "decode": "no decoder from latents",
            "sample": "no decoder from latents",
            "likelihood": "no decoder from latents",
            "encode": "no encoder",
            "posterior": "no encoder",
            "reconstruct": "no encoder",
            "discriminator_features": "no discriminator",
        }
    )
    with pytest.raises(InputError, match=r"this framework cannot sample \(no decoder from latents\)"):
        run.sample(2)
    with pytest.raises(InputError, match=r"this framework cannot reconstruct \(no encoder\)"):
        run.reconstruct(images())
    assert grids.pictures(run.model, torch.zeros(2, 3), images()) == (None, None)


def test_an_ability_whose_method_is_overridden_is_there():
    state = initial(spec_of("Average"), 1)
    model = Model.of(spec_of("Average"), state, 1, 0)
    assert not model.can("reconstruct") and model.can("sample")
    latents = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    for parameter in state.nets["dec"].parameters():
        parameter.data.zero_()
    samples, _ = grids.pictures(model, latents, images())
    assert samples is not None and torch.equal(samples, state.nets["average"].eval()(latents).detach())


@pytest.mark.parametrize("name", ["Blended", "Heir"])
def test_overridden_and_inherited_methods_bring_the_abilities_whose_defaults_call_them(name: str):
    """With `posterior` and `decode`, all but the discriminator's features follow, in a subclass too."""
    state = initial(spec_of(name), 1)
    model = Model.of(spec_of(name), state, 1, 0)
    assert list(model.framework.lacks) == ["discriminator_features"]
    with torch.no_grad():
        set_evaluation(state.nets, "running")
        assert torch.equal(model.encode(images()), state.nets["reader"](images())[0])
        expected = state.nets["writer"](state.nets["reader"](images())[0])
        assert torch.equal(model.reconstruct(images()), expected)
        latents = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
        assert torch.equal(model.sample(latents), state.nets["writer"](latents))


def test_making_weights_leaves_the_generators_of_gpus_alone(monkeypatch):
    """`torch.manual_seed` would seed these too, and only the CPU's generator is put back."""
    monkeypatch.setattr(torch, "manual_seed", lambda seed: pytest.fail("all global generators are seeded"))
    torch.random.default_generator.manual_seed(5)
    before = torch.random.get_rng_state()
    initial(spec_of("Critic"), 1)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_what_a_framework_lacks_is_written_with_its_outcome(labelled: Dataset, tmp_path: Path):
    assert train(tmp_path, spec_of("Autoencoder"), labelled)
    outcome = store.read_json(tmp_path / "outcome.json")
    assert outcome["lacks"] == {"discriminator_features": "no discriminator"}


# Turns.


def test_each_turn_sees_fresh_images_in_the_order_of_the_seed(labelled: Dataset, tmp_path: Path):
    training = Training(tmp_path, spec_of("Critic", seed=2), labelled)
    assert training.batches == 6 and training.step_images == 6 * BATCH
    for _ in range(2):
        training.advance()
    seen = toy_of(training.state).seen
    assert [batch.active for batch in seen] == 2 * [*[("critic",)] * 5, ("generator",)]
    assert training.images == 2 * 6 * BATCH
    for number, batch in enumerate(seen):
        indices = batch_indices(2, number, 20, BATCH)
        assert torch.equal(batch.images, labelled.train.images(indices))
    for one, other in itertools.pairwise(seen):
        assert not torch.equal(one.images, other.images)
        assert not torch.equal(one.noise("z_p"), other.noise("z_p")), "each turn has noise of its own"


def test_a_turn_that_is_not_fresh_sees_the_images_of_the_one_before(labelled: Dataset, tmp_path: Path):
    training = Training(tmp_path, spec_of("Stale"), labelled)
    training.advance()
    training.advance()
    seen = toy_of(training.state).seen
    assert training.batches == 2 and training.images == 4 * BATCH and len(seen) == 6
    for number, batch in zip((0, 1, 1, 2, 3, 3), seen, strict=True):
        assert torch.equal(batch.images, labelled.train.images(batch_indices(0, number, 20, BATCH)))


@pytest.mark.slow
def test_images_of_five_and_one_turns_are_counted_in_budget_log_and_cost(labelled: Dataset, tmp_path: Path):
    spec = spec_of("Critic", training={"images": 50, "log_images": 24})
    assert train(tmp_path, spec, labelled)
    outcome = store.read_json(tmp_path / "outcome.json")
    whole = 3 * 6 * BATCH  # the budget of 50, rounded up to whole steps
    assert outcome["images"] == outcome["certificate"]["budget_images"] == whole
    assert [line["images"] for line in store.read_lines(tmp_path / "log.jsonl")] == [24, 48, 72]
    assert [line["step"] for line in store.read_lines(tmp_path / "log.jsonl")] == [1, 2, 3]
    (found,) = cost.costs([spec], 1).values()
    assert found.images == whole == spec.training.whole_images(6) and spec.training.steps(6) == 3
    assert found.flops_per_image == outcome["flops_per_image"]


def test_a_framework_with_turns_of_its_own_refuses_an_order_of_the_studys():
    for training in ({"updates": "sequential"}, {"updates": "sequential", "order": ("critic", "generator")}):
        with pytest.raises(InputError, match=r"training\.updates: toy_frameworks:Critic says itself"):
            validate([spec_of("Critic", training=training)])


@pytest.mark.slow
def test_a_run_with_turns_of_its_own_is_resumed_to_the_same_bits(labelled: Dataset, tmp_path: Path):
    spec = spec_of("Critic")
    assert train(tmp_path / "whole", spec, labelled)
    asked = iter([False, True])
    assert not train(tmp_path / "cut", spec, labelled, should_stop=lambda: next(asked))
    assert train(tmp_path / "cut", spec, labelled)
    for name in ("weights/critic.safetensors", "weights/dec.safetensors", "log.jsonl", "outcome.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


# Labels.


@pytest.mark.slow
def test_labels_reach_terms_grids_and_samples(labelled: Dataset, tmp_path: Path):
    spec = spec_of("Conditional", seed=1)
    training = Training(tmp_path, spec, labelled)
    for _ in range(7):  # more than an epoch
        training.advance()
    labels = labelled.train.labels
    assert labels is not None
    for number, batch in enumerate(toy_of(training.state).seen):
        indices = batch_indices(1, number, 20, BATCH)
        assert torch.equal(batch.labels, labels[indices]) and batch.labels.dtype == torch.int64
        assert torch.equal(batch.images, labelled.train.images(indices))
    assert train(tmp_path / "run", spec, labelled)
    run = Run(tmp_path / "run")
    dec, classes = run.networks["dec"], torch.eye(3)
    grid, _ = grids.pictures(run.model, training.latents, training.shown, training.shown_labels)
    expected = dec(torch.cat([training.latents, classes[torch.arange(64) % 3]], 1))
    assert grid is not None
    torch.testing.assert_close(grid, expected)
    by_class = [run.sample(3, seed=4, label=label) for label in range(3)]
    assert not torch.equal(by_class[0], by_class[1])
    with pytest.raises(InputError, match="no such class"):
        run.sample(1, label=3)
    for ask in (run.reconstruct, run.encode):
        with pytest.raises(InputError, match="needs labels"):
            ask(images())
    assert run.reconstruct(images(), torch.tensor([0, 1, 2, 0])).shape == images().shape


def test_a_conditional_framework_is_refused_where_the_data_have_no_labels():
    runs = [spec_of("Conditional")]
    validate(runs)
    check_labels(runs, 3)
    with pytest.raises(InputError, match=r"needs labels, and the data have none .got 'toy_frameworks:Conditional'"):
        check_labels(runs, 0)


# Who is trained.


def test_unused_parameters_have_no_owner_and_keep_their_bits():
    spec = spec_of("Autoencoder", optimiser={"name": "AdamW", "rate": 0.1, "options": {"weight_decay": 0.5}})
    state = initial(spec, 1)
    before = copied(state.nets)
    names = state.parameter_names("both")
    left_out = {name for name, _ in state.nets.named_parameters()} - set(names)
    assert left_out == {"enc.log_variance.weight", "enc.log_variance.bias"}
    optimised = [id(p) for group in state.optimisers["both"].param_groups for p in group["params"]]
    known = dict(state.nets.named_parameters())
    assert optimised == [id(known[name]) for name in names]
    stepped(state, spec, 2)
    moved = {name for name, p in state.nets.named_parameters() if not torch.equal(p, before[name])}
    assert moved == set(names)


def test_the_same_framework_without_unused_is_refused_with_the_parameters_names(monkeypatch):
    import toy_frameworks

    monkeypatch.setattr(toy_frameworks.Autoencoder, "unused", ())
    with pytest.raises(InputError) as caught:
        validate([spec_of("Autoencoder")])
    assert "player 'both' does not reach 2 of its" in str(caught.value)
    assert "enc.log_variance.weight, enc.log_variance.bias" in str(caught.value)


@pytest.mark.slow
def test_a_network_without_an_owner_is_not_trained_but_saved_and_restored(labelled: Dataset, tmp_path: Path):
    still = initial(spec_of("Average", options={"decay": 1.0}), 1)
    before = digest(still.nets["average"])
    assert not any(p.requires_grad for p in still.nets["average"].parameters())
    optimised = {id(p) for o in still.optimisers.values() for group in o.param_groups for p in group["params"]}
    assert not optimised & {id(p) for p in still.nets["average"].parameters()}
    stepped(still, spec_of("Average"), 2)
    assert digest(still.nets["average"]) == before != digest(still.nets["dec"])

    spec = spec_of("Average")
    assert train(tmp_path / "whole", spec, labelled)
    asked = iter([*[False] * 4, True])
    assert not train(tmp_path / "cut", spec, labelled, should_stop=lambda: next(asked))
    assert train(tmp_path / "cut", spec, labelled)
    file = "weights/average.safetensors"
    assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    run = Run(tmp_path / "whole")
    initially = run.outcome["certificate"]["initial_weights"]
    assert len({digest(run.networks["average"]), digest(run.networks["dec"]), initially["average"]}) == 3
    assert initially["average"] == initially["dec"]


@pytest.mark.parametrize("updates", ["simultaneous", "sequential"])
def test_after_update_is_called_without_gradients_with_the_players_that_moved(updates: str):
    spec = spec_of("Average", training={"updates": updates})
    state = initial(spec, 1)
    start = copied(state.nets["dec"])
    stepped(state, spec)
    groups = [("dec", "dis")] if updates == "simultaneous" else [("dis",), ("dec",)]
    assert toy_of(state).calls == [(False, group) for group in groups]
    for name, mean in state.nets["average"].named_parameters():
        torch.testing.assert_close(mean, start[name] + (state.nets["dec"].get_parameter(name) - start[name]) / 4)
    assert torch.is_grad_enabled()


def test_after_update_does_not_hear_of_players_that_skipped(monkeypatch):
    spec = spec_of("Average")
    state = initial(spec, 1)
    before = digest(state.nets["average"])
    monkeypatch.setattr(state.framework, "skipped_players", lambda terms: ("dec",))
    stepped(state, spec)
    assert toy_of(state).calls == [(False, ("dis",))]
    assert digest(state.nets["average"]) == before


# Gradients of gradients.


def by_hand(state: State, spec: RunSpec, x: Tensor) -> list[Tensor]:
    """The critic's gradient from the formulae of WGAN-GP, by plain autograd."""
    nets, noise = state.nets, Noise(spec.seed, 0, x, spec.network.latent)
    fake = nets["dec"](noise("z_p")).detach()
    share = noise("mix", 1, 1, 1, law="uniform")
    mixed = (share * x + (1 - share) * fake).requires_grad_()
    slopes = torch.autograd.grad(nets["critic"](mixed).sum(), mixed, create_graph=True)[0].view(BATCH, -1)
    penalty = sum((slope.pow(2).sum().sqrt() - 1) ** 2 for slope in slopes) / BATCH
    loss = nets["critic"](fake).sum() / BATCH - nets["critic"](x).sum() / BATCH + 10 * penalty
    return list(torch.autograd.grad(loss, list(nets["critic"].parameters())))


def test_a_gradient_penalty_has_the_gradient_of_plain_autograd_in_float64():
    spec = spec_of("Critic")
    state = initial(spec, 1)
    state.nets.double()
    x = images().double()
    set_modes(state, update_groups(spec, state.framework, 0.0))
    terms, found = play(state, batch_of(state, spec, Examples(x), ("critic",)))
    assert terms["penalty"].item() > 1e-3
    for ours, theirs in zip(found["critic"], by_hand(state, spec, x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-13)
    assert all(parameter.grad is None for parameter in state.nets.parameters())
    # The penalty has a share in it, or nothing was tested.
    monotone = dict(state.framework.losses["critic"]) | {"penalty": 0.0}
    assert any(
        not torch.allclose(a, b) for a, b in zip(found["critic"], without(state, spec, x, monotone), strict=True)
    )


def without(state: State, spec: RunSpec, x: Tensor, loss: dict[str, float]) -> list[Tensor]:
    """The critic's gradient of another loss."""
    batch = batch_of(state, spec, Examples(x), ("critic",))
    terms = state.framework.terms(state.nets, dataclasses.replace(batch, cut=Cuts()))
    total = sum((weight * terms[name] for name, weight in loss.items()), torch.zeros((), dtype=x.dtype))
    return list(torch.autograd.grad(total, state.parameters("critic")))


def test_a_gradient_penalty_is_counted_product_by_product():
    """Forward, the slope, and the slope's own gradient: 2 FLOPs a multiply-add in each product of the two layers.

    The slope's own gradient has three products of the first layer: two behind the slope, and one that carries the
    second derivative of the LeakyReLU, which is zero, back to the weights. The second layer's slope starts from a
    constant, so that it has one.
    """
    pixels, hidden = SIZE**2, 6
    forward = slope = 2 * pixels * hidden + 2 * hidden
    backward = 3 * 2 * pixels * hidden + 2 * hidden
    assert cost.flops_per_image(spec_of("Slope"), 1) == forward + slope + backward
    validate([spec_of("Slope"), spec_of("Critic")])
