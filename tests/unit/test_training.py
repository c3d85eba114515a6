"""The training loop: what it writes, what is matched between frameworks, what it does when numbers run away.

`python tests/unit/test_training.py` writes the golden log anew; do so only when the numbers are meant to change.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from triptych import plugins, store, train_run
from triptych.data import dataset
from triptych.errors import InputError
from triptych.evaluation import features, scoring
from triptych.evaluation.run import Run
from triptych.spec import DataSpec, OptimiserSpec, RunSpec, ScoringSpec
from triptych.training import grids, loop
from triptych.training import step as engine
from triptych.training.state import initial, is_finite, optimisers
from triptych.training.step import Diverged

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parents[1] / "reference" / "golden_log.json"
FRAMEWORKS = plugins.names("frameworks")


@pytest.fixture(scope="module")
def data(prepared):
    return dataset.open(prepared)


def trained(folder: Path, spec: RunSpec, data: dataset.Dataset, **options: Any) -> dict[str, Any]:
    """Train a run to its end; its outcome."""
    assert loop.train(folder, spec, data, **options)
    return store.read_json(folder / "outcome.json")


GOLDEN_OPTIONS: dict[str, dict[str, Any]] = {
    "as_published": {},
    "gan": {"adversarial": "non-saturating"},
    "vae": {"sigma": 1.0},
    "vae_disl": {"gamma": 1.0},
    "vaegan": {"gamma": 1.0},
}
"""Named, so that a default chosen anew leaves the golden log alone."""


def golden_runs() -> dict[str, list[dict[str, Any]]]:
    """The log of a tiny run of every framework on made-up images, its numbers to 5 significant digits."""
    pixels = np.zeros((100, 16, 16), np.uint8)
    for number, image in enumerate(pixels):  # bars of every place and thickness: no file, no generator
        image[:, number % 12 : number % 12 + 1 + number // 25] = 255 - number
    logs = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "bars.npy", pixels)
        spec = DataSpec(source="arrays", path=str(folder / "bars.npy"), size=16)
        dataset.prepare(spec, folder / "data")
        images = dataset.open(folder / "data")
        for framework in FRAMEWORKS:
            run = RunSpec.model_validate(
                {
                    "framework": framework,
                    "options": GOLDEN_OPTIONS[framework],
                    "data": spec,
                    "optimiser": {"name": "Adam", "rate": 1e-3, "options": {"betas": [0.5, 0.999]}},
                    "network": {"width": 0.03, "latent": 8},
                    "training": {"images": 96, "batch_size": 16, "log_images": 32, "translate": 0.1},
                }
            )
            assert loop.train(folder / framework, run, images)
            logs[framework] = [rounded(line) for line in store.read_lines(folder / framework / "log.jsonl")]
    return logs


def rounded(value: Any) -> Any:
    """Floats to 5 significant digits: the last ones differ between processors."""
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    return float(f"{value:.5g}") if isinstance(value, float) else value


def flat(value: Any, before: str = "") -> dict[str, Any]:
    """{"a.b": 1} of {"a": {"b": 1}}."""
    if not isinstance(value, dict):
        return {before: value}
    return {key: entry for name, part in value.items() for key, entry in flat(part, f"{before}.{name}").items()}


def test_the_log_is_the_golden_log():
    """Refactoring leaves every logged number as it was."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        logs = golden_runs()
    finally:
        torch.set_num_threads(threads)
    golden = json.loads(GOLDEN.read_text())
    for framework, lines in golden.items():
        assert len(logs[framework]) == len(lines) == 3
        for line, expected in zip(logs[framework], lines, strict=True):
            # A unit of the fifth digit for the rounding, one more for another processor.
            assert flat(line) == pytest.approx(flat(expected), rel=2e-4, abs=0), framework
    assert logs.keys() == golden.keys()


def test_a_line_of_the_log_holds_the_means_of_its_interval(data, tiny_run, tmp_path):
    each = trained(tmp_path / "each", tiny_run("vaegan", training={"log_images": 16}), data)
    trained(tmp_path / "fours", tiny_run("vaegan", training={"log_images": 64}), data)
    steps, intervals = (store.read_lines(tmp_path / name / "log.jsonl") for name in ("each", "fours"))
    assert [line["step"] for line in steps] == list(range(1, 21))
    assert [line["images"] for line in intervals] == [64, 128, 192, 256, 320] and each["images"] == 320
    for kind in ("terms", "losses", "gradient_norms"):
        for number, line in enumerate(intervals):
            part = [step[kind] for step in steps[4 * number : 4 * number + 4]]
            assert line[kind] == pytest.approx({key: np.mean([p[key] for p in part]) for key in part[0]}, rel=1e-12)


def test_a_term_of_one_phase_is_averaged_over_the_steps_it_was_in(data, tiny_run, tmp_path):
    parts = {"options": {"discriminator": "pretrained", "pretraining": 0.5}, "seed": 3}
    trained(tmp_path / "each", tiny_run("vae_disl", training={"log_images": 16}, **parts), data)
    trained(tmp_path / "all", tiny_run("vae_disl", training={"log_images": 320}, **parts), data)
    steps = store.read_lines(tmp_path / "each" / "log.jsonl")
    (whole,) = store.read_lines(tmp_path / "all" / "log.jsonl")
    late = [line["terms"]["llike"] for line in steps if "llike" in line["terms"]]
    assert 0 < len(late) < len(steps)
    assert whole["terms"]["llike"] == pytest.approx(np.mean(late), rel=1e-12)


def test_few_test_images_are_shown_all_and_none_is_too_few(tiny_run, tmp_path):
    np.save(tmp_path / "few.npy", np.random.default_rng(0).integers(0, 255, (20, 16, 16), dtype=np.uint8))
    few = dataset.load_images(str(tmp_path / "few.npy"), size=16)
    trained(tmp_path / "run", tiny_run("vae", training={"images": 32, "batch_size": 8}), few)
    assert len(few.test) == 2
    assert list((tmp_path / "run" / "reconstructions").glob("*.png"))


def test_a_budget_that_is_no_whole_number_of_batches_is_filled_up(data, tiny_run, tmp_path):
    outcome = trained(tmp_path, tiny_run("vae", training={"images": 100, "batch_size": 16, "log_images": 64}), data)
    assert outcome["images"] == outcome["certificate"]["budget_images"] == 112
    assert [line["images"] for line in store.read_lines(tmp_path / "log.jsonl")] == [64, 112]


def test_what_is_matched_at_one_seed_is_equal_and_differs_between_seeds(data, tiny_run, tmp_path):
    found = {
        (framework, seed): trained(
            tmp_path / f"{framework}{seed}", tiny_run(framework, seed=seed, training={"images": 32}), data
        )["certificate"]
        for framework in FRAMEWORKS
        for seed in (0, 1)
    }
    for seed in (0, 1):
        mine = [certificate for (_, own), certificate in found.items() if own == seed]
        for key in ("data", "data_order", "latents", "budget_images", "batch_size"):
            assert len({certificate[key] for certificate in mine}) == 1, key
        for network in ("enc", "dec", "dis"):
            digests = {c["initial_weights"][network] for c in mine if network in c["initial_weights"]}
            assert len(digests) == 1, network
    one, other = found["vaegan", 0], found["vaegan", 1]
    assert one["data"] == other["data"]
    for key in ("data_order", "latents", "initial_weights"):
        assert one[key] != other[key], key


def test_grids_come_at_the_start_at_each_doubling_and_at_the_end(data, tiny_run, tmp_path):
    trained(tmp_path, tiny_run("vae", training={"images": 3200, "batch_size": 32}), data)
    expected = [f"{images:09d}.png" for images in (0, 640, 1280, 2560, 3200)]
    for folder in ("samples", "reconstructions"):
        assert sorted(path.name for path in (tmp_path / folder).iterdir()) == expected


@pytest.mark.parametrize(
    ("before", "after", "due"),
    [
        (0, 639, False),
        (0, 640, True),
        (639, 641, True),
        (640, 704, False),
        (1279, 1280, True),
        (1280, 2559, False),
        (600, 5000, True),
        (2559, 2560, True),
    ],
)
def test_when_a_grid_is_due(before, after, due):
    assert grids.is_due(before, after) is due


def test_a_picture_puts_black_at_minus_one_and_white_at_one():
    from io import BytesIO

    from PIL import Image

    images = torch.linspace(-1, 1, 9).view(9, 1, 1, 1).expand(9, 3, 2, 2)
    sheet = np.asarray(Image.open(BytesIO(grids.png(images))))
    assert sheet.shape == (2 * 3 - 1, 8 * 3 - 1, 3)
    assert [sheet[0, 3 * column, 0] for column in range(8)] == [round(255 * k / 8) for k in range(8)]
    assert sheet[3, 0].tolist() == [255] * 3 and not sheet[2].any() and not sheet[3:, 3:].any()


def test_nothing_is_removed_from_a_folder_that_holds_no_run(data, tiny_run, tmp_path):
    mine = tmp_path / "download.partial"
    mine.write_text("mine")
    trained(tmp_path, tiny_run("gan"), data)
    assert mine.read_text() == "mine"


def test_a_finished_run_is_left_alone(data, tiny_run, tmp_path):
    trained(tmp_path, tiny_run("gan"), data)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    trained(tmp_path, tiny_run("gan"), data, progress=lambda images, seconds: pytest.fail("it trains"))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    "optimiser",
    [
        {"name": "SGD", "rate": 1e6},
        {"name": "SGD", "rate": 1e38},
        {"name": "Adam", "rate": 1e6},
        {"name": "Adam", "rate": 1e30},
    ],
    ids=lambda o: f"{o['name']} {o['rate']:g}",
)
@pytest.mark.parametrize("framework", ["vae", "vaegan"])
def test_a_run_that_diverges_ends_with_finite_weights_and_is_scored(framework, optimiser, data, tiny_run, tmp_path):
    """Where finite weights make pixels that are not, the scores say so: each is a number or a reason."""
    outcome = trained(tmp_path / "run", tiny_run(framework, optimiser=optimiser), data)
    assert outcome["status"] == "diverged" and outcome["images"] < 320 and outcome["message"]
    run = Run(tmp_path / "run")
    assert all(bool(value.isfinite().all()) for value in run.networks.state_dict().values())
    asked = ScoringSpec(images=50, metrics=("frechet", "pixel_error"))
    scoring.score_run(run, data, asked, tmp_path / "fitted")
    scores = store.read_lines(tmp_path / "run" / "scores.jsonl")
    described = scoring.describe(asked, features.choose(None, data, tmp_path / "fitted"))
    assert {line["metric"] for line in scores} == {row["metric"] for row in described}
    for line in scores:
        assert (line["value"] is None) != (line["undefined"] is None), line


@pytest.mark.parametrize("checkpoint_seconds", [0, 1e9])
def test_the_weights_a_divergence_leaves_do_not_hang_on_when_checkpoints_were_written(
    checkpoint_seconds, data, tiny_run, tmp_path, monkeypatch
):
    """A step that makes a weight infinite is undone, from however old a checkpoint."""
    expected = trained_up_to_a_break(tmp_path / "a", tiny_run("vaegan"), data, monkeypatch, checkpoint_seconds=0.01)
    found = trained_up_to_a_break(
        tmp_path / "b", tiny_run("vaegan"), data, monkeypatch, checkpoint_seconds=checkpoint_seconds
    )
    assert found == expected
    whole = tmp_path / "c"
    trained(whole, tiny_run("vaegan", training={"images": 112}), data)
    for network in ("enc", "dec", "dis"):
        assert found[f"weights/{network}.safetensors"] == (whole / "weights" / f"{network}.safetensors").read_bytes()


def trained_up_to_a_break(folder: Path, spec: RunSpec, data: dataset.Dataset, monkeypatch, **options: Any):
    """A run whose eighth step, finite in every term and gradient, leaves an infinite weight: its files."""
    step = loop.step

    def breaking(state, *arguments):
        measured = step(state, *arguments)
        if state.step == 8:
            next(state.nets["dec"].parameters()).data.view(-1)[0] = torch.inf
        return measured

    with monkeypatch.context() as patch:
        patch.setattr(loop, "step", breaking)
        outcome = trained(folder, spec, data, **options)
    assert outcome["status"] == "diverged" and outcome["images"] == 112
    names = ("outcome.json", "log.jsonl", *(f"weights/{network}.safetensors" for network in ("enc", "dec", "dis")))
    return {name: (folder / name).read_bytes() for name in names}


def test_a_poisoned_batch_ends_the_run_where_it_stands(data, tiny_run, tmp_path, monkeypatch):
    """Nothing of that step is kept: the run is the one whose budget ended before it, buffers included."""
    next_examples = loop.Training.next_examples

    def poisoned(self):
        factor = float("nan") if self.state.step == 7 else 1
        return [each._replace(images=each.images * factor) for each in next_examples(self)]

    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "next_examples", poisoned)
        outcome = trained(tmp_path / "poisoned", tiny_run("vaegan"), data)
    assert (outcome["status"], outcome["images"]) == ("diverged", 112)
    assert outcome["message"].endswith("at step 7"), "and no word of weights that had to be undone"
    trained(tmp_path / "short", tiny_run("vaegan", training={"images": 112}), data)
    for name in ("enc", "dec", "dis"):
        file = f"weights/{name}.safetensors"
        assert (tmp_path / "poisoned" / file).read_bytes() == (tmp_path / "short" / file).read_bytes()


def test_a_divergence_between_two_turns_takes_the_whole_step_back(data, tiny_run, tmp_path, monkeypatch):
    """The first player of that step has moved already: the weights kept are those before the step, of all players."""
    batch_of = engine.batch_of

    def poisoned(state, spec, examples, players, turn, progress):
        factor = float("nan") if (state.step, turn) == (7, 1) else 1
        examples = examples._replace(images=examples.images * factor)
        return batch_of(state, spec, examples, players, turn, progress)

    training = {"updates": "sequential"}
    with monkeypatch.context() as patch:
        patch.setattr(engine, "batch_of", poisoned)
        outcome = trained(tmp_path / "poisoned", tiny_run("vaegan", training=training), data)
    assert (outcome["status"], outcome["images"]) == ("diverged", 112)
    assert "the weights are those after 112 images" in outcome["message"]
    trained(tmp_path / "short", tiny_run("vaegan", training={**training, "images": 112}), data)
    for name in ("enc", "dec", "dis"):
        file = f"weights/{name}.safetensors"
        assert (tmp_path / "poisoned" / file).read_bytes() == (tmp_path / "short" / file).read_bytes(), name


def test_a_fault_in_the_code_is_no_divergence(data, tiny_run, tmp_path, monkeypatch):
    def broken(*arguments):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(loop, "step", broken)
    assert not issubclass(Diverged, RuntimeError)
    with pytest.raises(RuntimeError, match="out of memory"):
        loop.train(tmp_path, tiny_run("vae"), data)
    assert not (tmp_path / "outcome.json").exists()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("is_finished", [False, True])
def test_a_directory_that_holds_another_run_is_refused_and_left_as_it_is(is_finished, data, tiny_run, tmp_path):
    spec, other = tiny_run("vae"), tiny_run("vae", seed=1)
    assert loop.train(tmp_path, spec, data, should_stop=lambda: not is_finished) == is_finished
    before = contents(tmp_path)
    with pytest.raises(InputError, match=rf"holds another run .got '{spec.id}'.*{other.id}"):
        loop.train(tmp_path, other, data)
    with pytest.raises(InputError, match="holds another run"):
        train_run(other, data, tmp_path)
    assert contents(tmp_path) == before
    assert loop.train(tmp_path, spec, data)


@pytest.mark.parametrize("is_finished", [False, True])
def test_a_run_of_other_images_is_refused_and_left_as_it_is(is_finished, data, tiny_run, tmp_path):
    spec, other = tiny_run("vae"), dataclasses.replace(data, fingerprint="f" * 64)
    assert loop.train(tmp_path, spec, data, should_stop=lambda: not is_finished) == is_finished
    before = contents(tmp_path)
    with pytest.raises(InputError, match=f"trained on other images .got '{data.fingerprint}'"):
        loop.train(tmp_path, spec, other)
    assert contents(tmp_path) == before
    assert loop.train(tmp_path, spec, data)


@pytest.mark.parametrize(
    ("framework", "batch_size", "said"),
    [("toy_frameworks:Conditional", 16, "needs labels"), ("vae", 5000, r"training\.batch_size.*5000")],
)
def test_images_that_a_run_cannot_use_are_refused_before_anything_is_written(
    framework, batch_size, said, data, tiny_run, tmp_path
):
    spec = tiny_run(framework, training={"batch_size": batch_size})
    assert not data.classes
    with pytest.raises(InputError, match=said):
        train_run(spec, data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is that of the process since it started")
def test_the_peak_memory_is_that_of_this_run_and_not_of_one_before_in_its_process():
    cpu, block = torch.device("cpu"), 200 * 2**20
    loop.forget_peak(cpu)
    before = loop.peak_memory(cpu)
    held = torch.ones(block, dtype=torch.uint8)
    assert loop.peak_memory(cpu) >= before + 0.9 * block
    del held
    loop.forget_peak(cpu)
    assert loop.peak_memory(cpu) <= before + 0.1 * block


if __name__ == "__main__":
    torch.set_num_threads(1)
    GOLDEN.write_text(json.dumps(golden_runs(), indent=1) + "\n")


@pytest.mark.parametrize(
    ("numbers", "finite"),
    [
        ((1.0, 2.0), True),
        ((3e38, 3e38), True),  # whose sum is infinite
        ((math.nan, 1.0), False),
        ((math.inf, 1.0), False),
        ((math.inf, -math.inf), False),
    ],
)
@pytest.mark.parametrize("where", ["parameter", "buffer"])
def test_weights_are_finite_if_each_of_them_is(numbers, finite, where, tiny_run):
    state = initial(tiny_run("vaegan"), 1)
    assert is_finite(state)
    values = {"parameter": state.nets.parameters(), "buffer": (b for b in state.nets.buffers() if b.ndim)}[where]
    with torch.no_grad():
        next(v for v in values if v.numel() > 1).view(-1)[:2] = torch.tensor(numbers)
    assert is_finite(state) == finite


@pytest.mark.parametrize("layout", ["contiguous", "channels last", "with gaps"])
@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD", "Adagrad"])
def test_an_optimiser_is_fused_only_where_numbers_lie_in_order(name, layout):
    """Fused loops go through memory, so with another order they would mix up numbers after a resume."""
    weight = torch.randn(4, 3, 5, 5)
    weight = {
        "contiguous": weight,
        "channels last": weight.to(memory_format=torch.channels_last),
        "with gaps": torch.randn(8, 3, 5, 5)[::2],
    }[layout]
    spec = OptimiserSpec(name=name, rate=0.1, options={})
    made = optimisers(spec, {"dec": [torch.nn.Parameter(weight)]})["dec"]
    assert bool(made.defaults["fused"]) == (layout == "contiguous")


def test_who_asks_for_another_form_of_an_optimiser_gets_it():
    spec = OptimiserSpec(name="Adam", options={"foreach": True})
    made = optimisers(spec, {"dec": [torch.nn.Parameter(torch.zeros(3))]})["dec"]
    assert made.defaults["foreach"] and not made.defaults["fused"]
