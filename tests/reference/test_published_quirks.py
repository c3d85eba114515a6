"""The published quirks beside the arithmetic: grey frames, no evaluation mode, initial weights, and their page.

What a training step computes is in `test_as_published.py`.
"""

from __future__ import annotations

import itertools
import math
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from triptych.data import dataset
from triptych.data.transforms import random_translate
from triptych.evaluation import run
from triptych.frameworks import framework_of
from triptych.frameworks.as_published import AsPublished
from triptych.papers.vae_vs_gan_vs_vaegan.quirks import QUIRKS
from triptych.spec import RunSpec, load_study
from triptych.study.plan import runs_of
from triptych.training import grids, loop
from triptych.training.model import Model
from triptych.training.state import initial

# Grey boxes.


def moved(picture: np.ndarray, right: int, down: int) -> np.ndarray:
    """A picture [S, S] moved pixel by pixel, grey (0) where nothing comes from."""
    made = np.full_like(picture, 0.0)
    for row, column in itertools.product(*map(range, picture.shape)):
        if 0 <= row - down < len(picture) and 0 <= column - right < len(picture):
            made[row, column] = picture[row - down, column - right]
    return made


@pytest.mark.slow
def test_translated_training_images_are_framed_in_exact_mid_grey(prepared: Path, tiny_run, tmp_path: Path):
    images = dataset.open(prepared)
    parts = {"translate": 0.1, "translate_fill": 0.0}
    plain, shifted = (
        loop.Training(tmp_path, tiny_run("as_published", training=training), images)
        .next_examples()[0]
        .images.numpy()[:, 0]
        for training in ({}, parts)
    )
    most = int(0.1 * 16)
    shifts = list(itertools.product(range(-most, most + 1), repeat=2))
    found = [[s for s in shifts if np.array_equal(moved(a, *s), b)] for a, b in zip(plain, shifted, strict=True)]
    assert all(len(matches) == 1 for matches in found)
    assert len({matches[0] for matches in found}) > 4


def test_at_the_papers_size_shifts_are_uniform_over_whole_pixels_up_to_a_tenth():
    picture = torch.linspace(-1, 0.9, 64 * 64).view(1, 1, 64, 64).expand(2000, -1, -1, -1)
    moved_pictures = random_translate(picture, 0.1, torch.Generator().manual_seed(0), 0.0).numpy()[:, 0]
    freed = moved_pictures == 0
    down = np.array([(mask[:32].all(1).sum() - mask[32:].all(1).sum()) for mask in freed])
    assert set(down) == set(range(-6, 7))
    assert stats.chisquare(np.unique(down, return_counts=True)[1]).pvalue > 1e-3
    for index in range(20):
        right = freed[index][:, :32].all(0).sum() - freed[index][:, 32:].all(0).sum()
        assert np.array_equal(moved(picture[0, 0].numpy(), right, down[index]), moved_pictures[index])


# No evaluation mode.


@pytest.fixture(scope="module")
def finished(prepared: Path, tiny_run, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], run.Run]:
    """A published VAE-GAN after some steps, to be looked at with these statistics."""

    def finished(statistics: str) -> run.Run:
        folder = tmp_path_factory.mktemp(statistics)
        options, training = {"statistics": statistics}, {"batch_size": 32}
        spec = tiny_run("as_published", options=options, training=training, network={"options": {"momentum": 0.9}})
        loop.train(folder, spec, dataset.open(prepared))
        return run.Run(folder)

    return finished


@pytest.mark.slow
def test_pictures_as_published_are_made_in_training_mode_and_leave_the_buffers_alone(
    finished: Callable[[str], run.Run], prepared: Path
):
    ours, fixed = finished("batch"), finished("running")
    latents = torch.randn(50, 8, generator=torch.Generator().manual_seed(1))
    images = dataset.open(prepared).test.images(torch.arange(50))
    before = {name: value.clone() for name, value in ours.networks.state_dict().items()}
    state = initial(ours.spec, 1)
    state.nets.load_state_dict(before)
    during = grids.pictures(Model.of(ours.spec, state, 1, 0), latents, images)
    assert all(torch.equal(value, before[name]) for name, value in state.nets.state_dict().items())
    enc, dec, dis = (state.nets[name].train() for name in ("enc", "dec", "dis"))
    with torch.no_grad():
        codes, log_variance = enc(images)
        samples, reconstructions, features = dec(latents), dec(codes), dis(images)[1]
    for made, expected in (
        (during[0], samples),
        (during[1], reconstructions),
        (ours.render(latents), samples),
        (ours.posterior(images)[1], log_variance),
        (ours.discriminator_features(images), features),
        (ours.decode(latents), samples),
        (ours.encode(images), codes),
        (ours.reconstruct(images), reconstructions),
    ):
        torch.testing.assert_close(made, expected, rtol=1e-5, atol=1e-6)
    assert all(torch.equal(value, before[name]) for name, value in ours.networks.state_dict().items())
    # Whichever statistics are looked at, the weights are the same; the pictures are not.
    assert all(torch.equal(value, before[name]) for name, value in fixed.networks.state_dict().items())
    assert not torch.allclose(fixed.decode(latents), samples, atol=1e-3)


# Initial weights.


def layers(init: str, name: str) -> Iterator[tuple[nn.Module, nn.Module]]:
    """Every layer of a network at 32 pixels and a quarter of the width, and PyTorch's own of the same shape."""
    values = {"data": {"size": 32}, "network": {"width": 0.25, "options": {"init": init}}}
    state = initial(RunSpec.model_validate({"framework": "as_published", **values}), 1)
    for layer in state.nets[name].modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            kind = type(layer)
            yield layer, kind(layer.in_channels, layer.out_channels, layer.kernel_size[0])
        elif isinstance(layer, nn.Linear):
            yield layer, nn.Linear(layer.in_features, layer.out_features)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            yield layer, layer


def is_normal(weights: Tensor, mean: float) -> bool:
    return stats.kstest(weights.detach().flatten().numpy(), stats.norm(mean, 0.02).cdf).pvalue > 1e-4


def is_uniform(weights: Tensor, bound: float) -> bool:
    flat = weights.detach().flatten().numpy()
    return (
        abs(flat).max() <= bound * (1 + 1e-6) and stats.kstest(flat, stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-4
    )


@pytest.mark.parametrize("name", ["enc", "dec", "dis"])
@pytest.mark.parametrize("init", ["notebook", "notebook-vaegan"])
def test_initial_weights_are_the_notebooks(init: str, name: str):
    """Convolutions N(0, 0.02) and BatchNorm N(1, 0.02); all else, and in VAE-GAN all of Dis, PyTorch's own: uniform
    up to 1 / sqrt(fan in), as its documentation says of `nn.Linear` and `nn.Conv2d`.
    """
    drawn = not (init == "notebook-vaegan" and name == "dis")
    seen = set()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pairs = list(layers(init, name))
    for layer, fresh in pairs:
        seen.add(type(layer))
        weight, bias = (typed(layer, part) for part in ("weight", "bias"))
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            assert is_normal(weight, 1.0) if drawn else (weight == 1).all()
            assert (bias == 0).all()
            continue
        # Transposed convolutions keep [in, out, k, k]; PyTorch takes the second for the fan in.
        bound = 1 / math.sqrt(weight[0].numel())
        assert is_uniform(bias, bound)
        if drawn and not isinstance(layer, nn.Linear):
            assert is_normal(weight, 0.0)
        else:
            assert is_uniform(weight, bound)
        # PyTorch's own layer of that shape is within the same bound, and near it.
        assert 0.9 * bound < typed(fresh, "weight").abs().max().item() <= bound * (1 + 1e-6)
    assert {nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d} < seen


def typed(layer: nn.Module, name: str) -> Tensor:
    value = getattr(layer, name)
    assert isinstance(value, Tensor)
    return value


# The page.

ROOT = Path(__file__).resolve().parents[2]
RUNS = {"VAE": "vae-translated", "GAN": "gan", "VAE-GAN": "vaegan"}


def rows() -> list[list[str]]:
    """The cells of the page's table of quirks: quirk, trainers, key, published, fixed, what it does."""
    page = (ROOT / "docs" / "reference" / "as-published.md").read_text("utf-8")
    table = page.partition("## The quirks")[2].partition("\n## ")[0]
    return [[c.strip() for c in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("|")][2:]


def value_of(cell: str) -> Any:
    """What a cell says in TOML, or None if it says something in words."""
    return tomllib.loads(f"value = {cell[1:-1]}")["value"] if re.fullmatch("`[^`]*`", cell) else None


def values() -> dict[str, dict[str, Any]]:
    """Every setting of a published run, by the trainer's name on the page."""
    runs = {r.framework.partition("@")[2]: r for r in runs_of(load_study(ROOT / "studies" / "as_published.toml"))}
    return {
        trainer: runs[name].model_dump() | {"options": framework_of(runs[name]).options.model_dump()}
        for trainer, name in RUNS.items()
    }


def test_the_page_says_what_the_published_runs_are():
    settings, checked = values(), set()
    for _, trainers, key, published, *_ in rows():
        for trainer in RUNS if trainers == "all" else trainers.split(", "):
            found: Any = settings[trainer]
            for part in key.strip("`").split("."):
                found = found[part]
            said = value_of(published)
            if said is not None:
                assert (list(found) if isinstance(found, tuple) else found) == said, (trainer, key)
                checked.add(key.strip("`"))
    assert AsPublished.Options.model_fields.keys() - {"game"} == {
        key.removeprefix("options.") for key in checked if key.startswith("options.")
    }


def test_the_page_says_what_the_ablation_fixes():
    fixed = {key.strip("`"): value_of(cell) for _, _, key, _, cell, _ in rows() if value_of(cell) is not None}
    done = {key: value for quirk in QUIRKS for key, value in quirk.fixed.items() if "." in key}
    assert fixed == done
