"""Every framework of the package with each of its options and presets, tiny, and what a step of it is tested with."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from triptych import plugins
from triptych.data.dataset import Dataset, Split
from triptych.frameworks import Batch, Framework, Noise, framework_of
from triptych.spec import RunSpec, StudySpec
from triptych.study.plan import runs_of
from triptych.training.state import State
from triptych.training.step import Examples, batch_of

NAMES = plugins.names("frameworks")
TINY: dict[str, Any] = {"data": {"size": 16}, "network": {"width": 0.03, "latent": 3}}
SHARED = ("enc", "dec", "dis")


def kind_of(name: str) -> type[Framework]:
    return typing.cast("type[Framework]", plugins.find("frameworks", name, "FRAMEWORK"))


def choices(annotation: Any) -> list[Any]:
    """The values of an option that can be listed."""
    if annotation is bool:
        return [True, False]
    if typing.get_origin(annotation) is Literal:
        return list(typing.get_args(annotation))
    return [value for part in typing.get_args(annotation) for value in choices(part)]


def specs(name: str) -> dict[str, RunSpec]:
    """One framework as it stands, with each listed value of each option, and with each preset."""
    kind = kind_of(name)
    single = {
        f"{name}-{option}-{value}": {option: value}
        for option, field in kind.Options.model_fields.items()
        for value in choices(field.annotation)
        if value != field.default
    }
    study = {"frameworks": [f"{name}@{preset}" for preset in kind.presets], "seeds": 1, **TINY}
    presets = runs_of(StudySpec.model_validate(study)) if kind.presets else []
    return {
        name: spec_of(name),
        **{label: spec_of(name, options=options) for label, options in single.items()},
        **{spec.framework: spec for spec in presets},
    }


def spec_of(name: str, **values: Any) -> RunSpec:
    return RunSpec.model_validate({"framework": name, **TINY, **values})


SPECS = {label: spec for name in NAMES for label, spec in specs(name).items()}
every_framework = pytest.mark.parametrize("name", NAMES)
several_players = pytest.mark.parametrize(
    "name", [name for name in NAMES if len(framework_of(spec_of(name)).players) > 1]
)
every_spec = pytest.mark.parametrize(
    "spec",
    [
        pytest.param(spec, id=label, marks=() if label in NAMES or "@" in label else pytest.mark.slow)
        for label, spec in SPECS.items()
    ],
)
"""The fast suite takes the defaults and the presets; single options are slow because they are many."""


def batch() -> Tensor:
    return torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def examples() -> list[Examples]:
    """The images of one step."""
    return [Examples(batch())]


def seen(state: State, spec: RunSpec, players: tuple[str, ...], turn: int = 0, progress: float = 0.0) -> Batch:
    """What the terms see of `batch` when these players move."""
    return batch_of(state, spec, Examples(batch()), players, turn, progress)


def noise_of(spec: RunSpec, number: int, like: Tensor) -> Noise:
    """The first draw of the noise of one step."""
    return Noise(spec.seed_of("noise"), number, like, spec.network.latent)


def phases(state: State) -> list[tuple[float, tuple[str, ...]]]:
    """The first moment at which each group of players moves."""
    first: dict[tuple[str, ...], float] = {}
    for percent in range(100):
        first.setdefault(state.framework.active_players(percent / 100), percent / 100)
    return [(progress, moving) for moving, progress in first.items()]


def everything(state: State) -> dict[str, Tensor]:
    """A copy of every parameter and buffer."""
    return {name: value.clone() for name, value in state.nets.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Whether the bits are the same, those of NaNs included."""
    return all(torch.equal(a[name].view(-1).view(torch.uint8), b[name].view(-1).view(torch.uint8)) for name in a)


def dataset_of(splits: Sequence[Split], classes: int = 0) -> Dataset:
    """A data set of prepared training, validation and test images, 16 x 16 pixels in grey."""
    train, validation, test = splits
    return Dataset(
        source="made",
        train=train,
        validation=validation,
        test=test,
        channels=1,
        size=16,
        counts={"train": len(train), "validation": len(validation), "test": len(test)},
        label_names=[str(n) for n in range(classes)] or None,
        fingerprint="0" * 64,
        notes=[],
    )
