"""What training changes: networks, optimisers and the position; and how they become bytes and come back.

The position is the number of steps alone: data order and noise are functions of (seed, step), so there is no other
generator or iterator whose state could be forgotten.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from triptych.directory import STATE_JSON, moments_file, weights_file
from triptych.errors import InputError
from triptych.frameworks import Context, Framework, framework_of
from triptych.frameworks.base import seeded
from triptych.plugins import suggest
from triptych.rng import stream
from triptych.spec import OptimiserSpec, RunSpec
from triptych.store import sha256, to_json


@dataclass
class State:
    """A run in memory. `nets` holds just the networks that its framework uses."""

    framework: Framework
    nets: nn.ModuleDict
    optimisers: dict[str, torch.optim.Optimizer]
    step: int = 0

    def parameters(self, player: str) -> list[nn.Parameter]:
        """One player's parameters, in the order of its networks."""
        return [parameter for _, parameter in self._owned(player)]

    def parameter_names(self, player: str) -> list[str]:
        """The names of `parameters`, such as "enc.mean.weight"."""
        return [name for name, _ in self._owned(player)]

    def _owned(self, player: str) -> Iterator[tuple[str, nn.Parameter]]:
        unused = tuple(self.framework.unused)
        for network in self.framework.players[player]:
            for name, parameter in self.nets[network].named_parameters(network):
                if not (unused and name.startswith(unused)):
                    yield name, parameter


def initial(spec: RunSpec, channels: int, device: str = "cpu", classes: int = 0) -> State:
    """The state in which a run starts, which its seed decides. `classes` is 0 for data without labels.

    Raises InputError for a framework whose networks do not fit its players.
    """
    framework = framework_of(spec)
    context = context_of(spec, channels, classes, "meta" if device == "meta" else "cpu")
    with seeded(stream(spec.seed_of("initial"), "weights/own")):  # for networks that were not made with context.own
        built = framework.build(context)
    _check_networks(spec, framework, built)
    order = dict.fromkeys([*framework.networks, *built])
    nets = nn.ModuleDict({name: built[name] for name in order}).to(device)
    for name in built.keys() - set(framework.networks):  # no player owns it, so no loss is minimised over it
        nets[name].requires_grad_(False)
    state = State(framework, nets, {})
    state.optimisers = optimisers(spec.optimiser, {player: state.parameters(player) for player in framework.players})
    return state


def context_of(spec: RunSpec, channels: int, classes: int, device: Literal["cpu", "meta"] = "cpu") -> Context:
    """What a run's framework builds its networks from."""
    return Context(
        size=spec.data.size,
        channels=channels,
        classes=classes,
        latent=spec.network.latent,
        seed=spec.seed_of("initial"),
        network=spec.network,
        device=device,
    )


def _check_networks(spec: RunSpec, framework: Framework, built: dict[str, nn.Module]) -> None:
    where = f"framework {spec.framework}"
    owners: dict[str, str] = {}
    for player, names in framework.players.items():
        for name in names:
            if name not in built:
                what = f"player {player!r} owns a network that build() does not return"
                raise InputError(what, where=where, value=name, hint=f"It builds {', '.join(built)}.")
            if name in owners:
                what = f"a network has two owners, {owners[name]!r} and {player!r}"
                raise InputError(what, where=where, value=name, hint="Give every network to one player.")
            owners[name] = player
    for player in framework.losses.keys() ^ framework.players.keys():
        raise InputError("players and losses do not name the same players", where=where, value=player)


def optimisers(spec: OptimiserSpec, players: dict[str, list[nn.Parameter]]) -> dict[str, torch.optim.Optimizer]:
    """One optimiser per player, of any class in `torch.optim`; raises InputError for a name or option it lacks."""
    known = {name: kind for name, kind in vars(torch.optim).items() if _is_usable(kind)}
    if spec.name not in known:
        raise InputError("unknown optimiser", where="optimiser.name", value=spec.name, hint=suggest(spec.name, known))
    unknown = set(spec.rates) - set(players)
    if unknown:
        raise InputError(
            "learning rates for unknown players",
            where="optimiser.rates",
            value=sorted(unknown),
            hint=f"Its players: {', '.join(players)}.",
        )
    kind = known[spec.name]
    try:
        return {
            player: kind(
                parameters, lr=spec.rates.get(player, spec.rate), **_in_one_loop(kind, parameters, spec), **spec.options
            )
            for player, parameters in players.items()
        }
    except (TypeError, ValueError) as error:
        raise InputError(f"{spec.name} refuses its options ({error})", where="optimiser.options") from error


def _in_one_loop(kind: Any, parameters: list[nn.Parameter], spec: OptimiserSpec) -> dict[str, bool]:
    """PyTorch's fused form of an optimiser that has one: a single loop over all numbers in place of ten.

    It goes through parameters, gradients and moments as they lie in memory, so all must lie alike: parameters that are
    contiguous, as moments from a checkpoint are (`triptych.training.step` sees to the gradients). Who asks for another
    form gets it.
    """
    asked = {"fused", "foreach", "differentiable", "capturable"} & spec.options.keys()
    known = "fused" in inspect.signature(kind).parameters
    plain = all(p.device.type in ("cpu", "cuda") and p.is_floating_point() and p.is_contiguous() for p in parameters)
    return {"fused": True} if known and plain and not asked else {}


def _is_usable(kind: Any) -> bool:
    """Optimisers that need a closure (LBFGS) or sparse gradients cannot play a game."""
    return (
        isinstance(kind, type)
        and issubclass(kind, torch.optim.Optimizer)
        and kind.__name__ not in {"Optimizer", "LBFGS", "SparseAdam"}
    )


def set_evaluation(nets: nn.ModuleDict, batchnorm: Literal["running", "batch"] = "running") -> None:
    """Put networks into evaluation mode: BatchNorm with its running statistics, or with those of each batch, which
    then leave no trace in the running ones.
    """
    nets.eval()
    for module in nets.modules():
        if isinstance(module, _BatchNorm):
            module.track_running_stats = batchnorm == "running"
            module.train(batchnorm == "batch")


def tensors(network: nn.Module) -> dict[str, Tensor]:
    """A network's parameters and buffers, contiguous, on the CPU."""
    return {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}


def digest(network: nn.Module) -> str:
    """SHA-256 over names and bytes of a network's parameters and buffers."""
    total = hashlib.sha256()
    for name, value in tensors(network).items():
        total.update(name.encode())
        total.update(value.numpy().tobytes())
    return total.hexdigest()


def weights(state: State) -> dict[str, bytes]:
    """Each network as a safetensors file."""
    return {weights_file(name): safetensors.torch.save(tensors(net)) for name, net in state.nets.items()}


def load_weights(network: nn.Module, content: bytes) -> None:
    network.load_state_dict(safetensors.torch.load(content))


def to_files(state: State, extra: dict[str, Any]) -> dict[str, bytes]:
    """Everything that a resumed run needs, `extra` JSON values included."""
    files = weights(state)
    numbers: dict[str, Any] = {}
    for player, optimiser in state.optimisers.items():
        packed = optimiser.state_dict()
        moments = {
            f"{index}/{name}": value.detach().cpu().contiguous()
            for index, entries in packed["state"].items()
            for name, value in entries.items()
            if isinstance(value, Tensor)
        }
        numbers[player] = {
            "groups": packed["param_groups"],
            "state": {
                str(index): {name: value for name, value in entries.items() if not isinstance(value, Tensor)}
                for index, entries in packed["state"].items()
            },
        }
        files[moments_file(player)] = safetensors.torch.save(moments)
    return files | {STATE_JSON: to_json({"step": state.step, "optimisers": numbers, **extra})}


def content_of(files: dict[str, bytes]) -> dict[str, Any]:
    """The content of a checkpoint's `state.json`."""
    return json.loads(files[STATE_JSON])


def from_files(state: State, files: dict[str, bytes]) -> dict[str, Any]:
    """Put a checkpoint into a freshly built state; returns the content of its `state.json`."""
    for name, network in state.nets.items():
        load_weights(network, files[weights_file(name)])
    content = content_of(files)
    for player, optimiser in state.optimisers.items():
        saved = content["optimisers"][player]
        entries: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in saved["state"].items()}
        for key, value in safetensors.torch.load(files[moments_file(player)]).items():
            index, _, name = key.partition("/")
            entries[int(index)][name] = value
        optimiser.load_state_dict({"state": entries, "param_groups": saved["groups"]})
    state.step = content["step"]
    return content


def is_finite(state: State) -> bool:
    """Whether every parameter and buffer is a finite number."""
    values = [*state.nets.parameters(), *(buffer for buffer in state.nets.buffers() if buffer.is_floating_point())]
    if not values:
        return True
    with torch.no_grad():
        # A sum is not finite if one of its numbers is not. It is the fastest look at all of them, and one transfer from
        # a GPU; numbers so large that only their sum is infinite are looked at one by one.
        sums = torch.stack([value.sum() for value in values])
        return bool(sums.isfinite().all()) or all(bool(value.isfinite().all()) for value in values)


def fingerprint(value: Tensor) -> str:
    """SHA-256 of a tensor's bytes."""
    return sha256(value.cpu().contiguous().numpy().tobytes())
