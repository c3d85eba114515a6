"""A run that was stopped and resumed is the uninterrupted run, bit for bit, whatever plays and whatever optimises."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from triptych import plugins, store
from triptych.data import dataset
from triptych.directory import TIMING_JSONL
from triptych.training.loop import train

pytestmark = pytest.mark.slow

OPTIMISERS = {
    "Adam": {"name": "Adam", "rate": 1e-3},
    "RMSprop": {"name": "RMSprop", "rate": 3e-4},
    "momentum": {"name": "SGD", "rate": 1e-4, "options": {"momentum": 0.9}},
}
OTHER_OPTIMISERS: dict[str, dict] = {
    "ASGD": {},
    "Adadelta": {},
    "Adafactor": {},
    "Adagrad": {},
    "Adamax": {},
    "AdamW": {"amsgrad": True},
    "NAdam": {},
    "RAdam": {},
    "RMSprop": {"momentum": 0.9, "centered": True},
    "Rprop": {},
    "SGD": {},
}


def files_of(folder: Path) -> dict[str, bytes]:
    """Everything in a run directory that a repetition would write again."""
    left_out = {TIMING_JSONL, "environment.json"}
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in left_out and "checkpoints" not in path.parts
    }


def stop_after(steps: int):
    """A `should_stop` that says so after that many steps."""
    asked = iter([*[False] * (steps - 1), True])
    return lambda: next(asked, False)


@pytest.fixture(scope="module")
def data(prepared):
    return dataset.open(prepared)


@pytest.mark.parametrize("updates", ["simultaneous", "sequential"])
@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("framework", plugins.names("frameworks"))
def test_resumed_equals_uninterrupted(framework, optimiser, updates, data, tiny_run, tmp_path):
    spec = tiny_run(
        framework,
        optimiser=OPTIMISERS[optimiser],
        training={"images": 160, "log_images": 48, "updates": updates, "translate": 0.1},
    )
    assert train(tmp_path / "whole", spec, data)
    expected = files_of(tmp_path / "whole")
    assert {"log.jsonl", "outcome.json", "weights/dec.safetensors", "samples/000000160.png"} <= expected.keys()
    stops = random.Random(f"{framework} {optimiser} {updates}")
    for steps in (stops.randint(1, 8), 1):  # it stops twice, the second time right after it was resumed
        assert not train(tmp_path / "cut", spec, data, should_stop=stop_after(steps))
        assert not (tmp_path / "cut" / "outcome.json").exists()
    assert train(tmp_path / "cut", spec, data)
    assert files_of(tmp_path / "cut") == expected


@pytest.mark.parametrize("framework", plugins.names("frameworks"))
def test_a_run_in_bf16_comes_back_whole(framework, data, tiny_run, tmp_path):
    spec = tiny_run(framework, training={"images": 160, "precision": "bf16"})
    assert train(tmp_path / "whole", spec, data)
    assert not train(tmp_path / "cut", spec, data, should_stop=stop_after(4))
    assert train(tmp_path / "cut", spec, data)
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")
    full = tiny_run(framework, training={"images": 160})
    assert train(tmp_path / "full", full, data)
    assert files_of(tmp_path / "full").keys() == files_of(tmp_path / "whole").keys()
    assert files_of(tmp_path / "full")["log.jsonl"] != files_of(tmp_path / "whole")["log.jsonl"]


@pytest.mark.parametrize("name", OTHER_OPTIMISERS)
def test_any_optimiser_comes_back_whole(name, data, tiny_run, tmp_path):
    spec = tiny_run("vae", optimiser={"name": name, "rate": 1e-3, "options": OTHER_OPTIMISERS[name]})
    assert train(tmp_path / "whole", spec, data)
    assert not train(tmp_path / "cut", spec, data, should_stop=stop_after(7))
    assert train(tmp_path / "cut", spec, data)
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


@pytest.mark.parametrize("stop", [1, 5, 11])
def test_a_kill_after_any_step_costs_that_step_alone(stop, data, tiny_run, tmp_path):
    """As SIGKILL would: no checkpoint of that moment, and a line of the log that is half written."""
    spec = tiny_run("vaegan", training={"images": 192, "log_images": 16})
    assert train(tmp_path / "whole", spec, data)

    class Killed(BaseException):
        pass

    def die(images: int, seconds: float) -> None:
        if images >= stop * 16:
            raise Killed

    with pytest.raises(Killed):
        train(tmp_path / "cut", spec, data, checkpoint_seconds=0, progress=die)
    with open(tmp_path / "cut" / "log.jsonl", "ab") as log:
        log.write(b'{"images": 16, "st')
    first: list[int] = []
    assert train(tmp_path / "cut", spec, data, progress=lambda images, seconds: first.append(images))
    assert first[0] == stop * 16, "the step that was not saved, and none before it, is done again"
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


def test_a_torn_newest_checkpoint_gives_the_same_bits(data, tiny_run, tmp_path):
    spec = tiny_run("vae")
    assert train(tmp_path / "whole", spec, data)
    for steps in (3, 4):
        assert not train(tmp_path / "cut", spec, data, should_stop=stop_after(steps))
    newest = max((tmp_path / "cut" / "checkpoints").iterdir())
    (newest / "enc.safetensors").write_bytes((newest / "enc.safetensors").read_bytes()[:-1])
    assert train(tmp_path / "cut", spec, data)
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


def test_all_checkpoints_lost_means_from_the_start_to_the_same_bits(data, tiny_run, tmp_path):
    spec = tiny_run("vae")
    assert train(tmp_path / "whole", spec, data)
    assert not train(tmp_path / "cut", spec, data, should_stop=stop_after(15))
    store.drop_checkpoints(tmp_path / "cut")
    assert train(tmp_path / "cut", spec, data)
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


def test_timing_goes_on_where_it_stood(data, tiny_run, tmp_path):
    spec = tiny_run("vae")
    assert not train(tmp_path, spec, data, should_stop=stop_after(9))
    stopped = store.read_lines(tmp_path / TIMING_JSONL)
    assert train(tmp_path, spec, data)
    timing = store.read_lines(tmp_path / TIMING_JSONL)
    assert timing[: len(stopped)] == stopped
    assert [line["images"] for line in timing] == [line["images"] for line in store.read_lines(tmp_path / "log.jsonl")]
    seconds = [line["seconds"] for line in timing]
    assert seconds == sorted(seconds) and seconds[0] > 0


@pytest.mark.parametrize("framework", ["gan", "vaegan"])
def test_the_global_generator_is_neither_read_nor_written(framework, data, tiny_run, tmp_path):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    assert train(tmp_path / "one", tiny_run(framework), data)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert train(tmp_path / "two", tiny_run(framework), data)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
