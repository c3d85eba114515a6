"""What a framework declares that it can do, asked for at several sizes and counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from triptych.contracts.base import Broken, NotApplicable
from triptych.contracts.subject import Subject, uses
from triptych.frameworks import Ability
from triptych.rng import stream


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
