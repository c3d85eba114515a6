"""What several tests share: a few hundred digits, a tiny run on them, and the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from triptych.spec import RunSpec


def pytest_configure() -> None:
    """One thread, so that tests side by side do not fight for cores and bits do not hang on how many there are."""
    import torch

    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first, so that no worker is left with one at the end: `slow(minutes=5)`, other slow ones, the rest."""

    def minutes(item: pytest.Item) -> float:
        mark = item.get_closest_marker("slow")
        return 0.0 if mark is None else mark.kwargs.get("minutes", 0.1)

    items.sort(key=minutes, reverse=True)


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """The first 700 zeros and ones of MNIST: uint8 images [700, 28, 28] and their labels [700]."""
    from triptych.data.sources import idx

    with resources.as_file(resources.files("triptych.data.sources") / "mnist_idx") as folder:
        train = idx.read_folder(folder).train
    assert train.labels is not None
    chosen = np.flatnonzero(train.labels < 2)[:700]
    return np.concatenate(list(train.read(chosen)))[..., 0], train.labels[chosen]


@pytest.fixture(scope="session")
def digits_file(digits: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An .npz file of 600 training and 100 test digits without labels."""
    file = tmp_path_factory.mktemp("digits") / "digits.npz"
    np.savez(file, x_train=digits[0][:600], x_test=digits[0][600:])
    return file


@pytest.fixture(scope="session")
def prepared(digits_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """These digits, prepared at 16 x 16: a folder that `triptych.data.dataset.open` opens."""
    from triptych.data import dataset

    folder = tmp_path_factory.mktemp("prepared")
    data = {"source": "arrays", "path": str(digits_file), "size": 16}
    dataset.prepare(RunSpec.model_validate({"framework": "vae", "data": data}).data, folder)
    return folder


@pytest.fixture(scope="session")
def tiny_run() -> Callable[..., RunSpec]:
    """`tiny_run("vaegan", seed=1, training={"images": 640})`: a run of a second; parts are laid over its own."""

    def tiny_run(framework: str, **parts: Any) -> RunSpec:
        values: dict[str, Any] = {
            "data": {"source": "arrays", "size": 16},
            "network": {"width": 0.03, "latent": 8},
            "training": {"images": 320, "batch_size": 16, "log_images": 64},
        }
        for name, part in parts.items():
            values[name] = {**values.get(name, {}), **part} if isinstance(part, dict) else part
        return RunSpec.model_validate({"framework": framework, **values})

    return tiny_run


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def triptych() -> Command:
    """`triptych("run", "study.toml", cwd=folder)`: the command in a process of its own, with what it said."""

    def triptych(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "triptych.cli", *map(str, arguments)]
        environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)

    return triptych
