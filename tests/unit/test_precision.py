"""bf16 is in the networks alone: losses, weights, gradients, statistics and moments stay float32."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from triptych import plugins
from triptych.errors import InputError
from triptych.spec import RunSpec, TrainingSpec, checked
from triptych.training.precision import train_in
from triptych.training.state import State, initial
from triptych.training.step import Examples, batch_of, batches_per_step, play, step, update_groups

SIZE, CLASSES = 16, 3


def stepped(spec: RunSpec, precision: str, steps: int = 1) -> tuple[State, list[torch.dtype]]:
    """A state after some steps, and the types of what its convolutions gave."""
    state = initial(spec, 1, classes=CLASSES)
    train_in(precision, state.nets)
    seen: list[torch.dtype] = []
    for module in state.nets.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    x = torch.rand(16, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    examples = Examples(x, torch.arange(16) % CLASSES)
    for _ in range(steps):
        step(state, spec, [examples] * batches_per_step(state.framework), 0.0)
    return state, seen


@pytest.mark.parametrize("framework", plugins.names("frameworks"))
def test_only_what_happens_inside_the_networks_is_bf16(framework, tiny_run):
    spec = tiny_run(framework)
    state, seen = stepped(spec, "bf16")
    assert set(seen) == {torch.bfloat16}
    assert {value.dtype for value in state.nets.state_dict().values()} <= {torch.float32, torch.int64}
    moments = [value for o in state.optimisers.values() for own in o.state.values() for value in own.values()]
    assert {value.dtype for value in moments if isinstance(value, Tensor)} == {torch.float32}
    x = torch.zeros(16, 1, SIZE, SIZE)
    turn = update_groups(spec, state.framework, 0.0)[0]
    terms, gradients = play(state, batch_of(state, spec, Examples(x, torch.arange(16) % CLASSES), turn.players))
    assert {term.dtype for term in terms.values()} == {torch.float32}
    assert {slope.dtype for slopes in gradients.values() for slope in slopes} == {torch.float32}


@pytest.mark.parametrize("framework", ["vae", "gan", "vaegan"])
def test_the_terms_are_those_of_float32_but_for_rounding(framework, tiny_run):
    spec = tiny_run(framework)
    x = torch.rand(16, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1

    def terms_in(precision: str) -> dict[str, Tensor]:
        state = initial(spec, 1, classes=CLASSES)
        train_in(precision, state.nets)
        turn = update_groups(spec, state.framework, 0.0)[0]
        terms, _ = play(state, batch_of(state, spec, Examples(x, torch.arange(16) % CLASSES), turn.players))
        return {name: term.detach() for name, term in terms.items()}

    low, full = terms_in("bf16"), terms_in("float32")
    for name, value in full.items():
        assert float(low[name]) == pytest.approx(float(value), rel=0.03, abs=0.01)  # bf16 has 8 bits of mantissa
    assert any(float(low[name]) != float(value) for name, value in full.items())


def test_float32_is_what_it_was(tiny_run):
    spec = tiny_run("vaegan")
    plain, seen = stepped(spec, "float32")
    assert set(seen) == {torch.float32}
    again, _ = stepped(spec, "float32")
    assert all(torch.equal(a, again.nets.state_dict()[name]) for name, a in plain.nets.state_dict().items())


def test_precision_is_part_of_a_runs_identity_and_its_default_is_not(tiny_run):
    plain = tiny_run("vae")
    low = tiny_run("vae", training={**plain.training.model_dump(), "precision": "bf16"})
    assert "precision" not in plain.training.model_dump(mode="json")
    assert low.id != plain.id
    with pytest.raises(InputError, match="precision"):
        checked(TrainingSpec, {"precision": "fp16"}, "the study")


def test_a_deep_copy_of_a_network_computes_with_its_own_weights(tiny_run):
    state = initial(tiny_run("gan"), 1)
    train_in("bf16", state.nets)
    copied = copy.deepcopy(state.nets["dec"])
    with torch.no_grad():
        for value in copied.parameters():
            value.zero_()
    latents = torch.randn(4, 8)
    assert not copied(latents).any() and state.nets["dec"](latents).any()
    assert type(state.nets["dec"]).__name__ == "Decoder"
