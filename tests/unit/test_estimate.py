"""What a study is predicted to take: every metric counted, in few calls, and said in few lines."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from block_features import EXTRACTOR
from triptych import plugins, topics
from triptych.evaluation import metrics
from triptych.evaluation.likelihood import PILOT_CHAINS
from triptych.evaluation.metrics import Metric, Output
from triptych.evaluation.pricing import ROWS, MeasuredMetric, Prices
from triptych.evaluation.standin import Call, Shape, stand_in
from triptych.spec import StudySpec
from triptych.study import costing, plan
from triptych.study.calibration import Calibration, DataFacts, Paces, pace_of
from triptych.study.costing import RunTime, costed
from triptych.study.plan import planned, runs_of
from triptych.terminal import tables

CLASSIFIER = dataclasses.replace(EXTRACTOR, logits=lambda features: features[:, :3], label_names=("a", "b", "c"))
COUNTS = {"train": 12_000, "validation": 400, "test": 2_000}
SHAPE = Shape(channels=1, size=16, latent=4, classes=3, counts=COUNTS)
SMALL = {
    "likelihood": {"images": 4, "validation_images": 2, "temperatures": 8, "leapfrog": 1, "importance_samples": 4},
    "inversion": {"images": 4, "steps": 6},
}
VAEGAN = frozenset({"encode"})  # its codes are the means of a posterior
STUDY: dict[str, Any] = {
    "name": "many",
    "frameworks": ["vae", "gan"],
    "seeds": list(range(50)),
    "data": {"source": "mnist", "size": 16},
    "network": {"width": 0.0625, "latent": 4},
    "training": {"images": 640, "batch_size": 8},
    "scoring": {"metrics": ["pixel_error"]},
    "grid": {"optimiser.rate": [0.001, 0.002, 0.003]},
}


def prices(asked: list[Metric], snapshots: int = 0) -> Prices:
    return Prices(SHAPE, asked, [CLASSIFIER], COUNTS["test"], SMALL, snapshots)


def calls_only(found: MeasuredMetric) -> MeasuredMetric:
    """The same without its own seconds, which differ from time to time."""
    return dataclasses.replace(found, works=[dataclasses.replace(work, seconds=0.0) for work in found.works])


@pytest.mark.parametrize("name", plugins.names("metrics"))
def test_the_calls_of_a_metric_on_few_images_say_how_many_it_makes_on_all(name: str):
    """In rows, and to a batch: what the line in the images predicts, and what is asked for at their full number."""
    [metric] = metrics.load([name])
    of_prices = prices([metric])
    few = of_prices._measured(metric, CLASSIFIER, VAEGAN)
    assert not of_prices.unknown and few.works[-1].rows <= max(ROWS[1], 1000)
    images = min(COUNTS["test"], metric.max_images or COUNTS["test"])
    full = of_prices._once(metric, CLASSIFIER, VAEGAN, images, MeasuredMetric(images, False))
    predicted, due = calls_only(few).seconds(lambda call: call.rows), dataclasses.replace(full, seconds=0.0)
    if name == "border":  # one part of it is on 600 images at most, which it does not declare: predicted too long
        assert predicted >= due.priced(lambda call: call.rows)
        return
    assert predicted == pytest.approx(due.priced(lambda call: call.rows), rel=0.1, abs=ROWS[0])


def test_annealing_is_counted_with_its_chains_temperatures_and_leapfrog_steps():
    """Two runs forwards and one back on simulated images, with one pilot for each set: decoder gradients by rows."""
    [metric] = metrics.load(["likelihood"])
    options = metrics.options_of(metric, SMALL | {"likelihood": {**SMALL["likelihood"], "simulated_images": 3}})
    observed = stand_in(SHAPE, CLASSIFIER, {"posterior"}, rows=8, share=0.1)
    metric.compute(observed, options)
    moves = 8 - 2  # temperatures but the ends, each with one gradient a leapfrog step
    pilot = max(4, 8 // 4) - 2
    gradients = {call.rows: count for call, count in observed.asked.calls.items() if call.gradient}
    expected: dict[int, int] = {}
    for images, runs in ((2, 1), (4, 1), (3, 2)):  # validation, test, and simulated ones forwards and back
        expected[2 * images] = expected.get(2 * images, 0) + runs * (1 + moves)
        pilots = PILOT_CHAINS * images
        expected[pilots] = expected.get(pilots, 0) + 1 + pilot
    assert gradients == expected


def test_what_one_framework_has_measured_is_not_measured_again_for_the_next():
    computed: list[int] = []

    def compute(observed: Any) -> dict[str, float]:
        computed.append(len(observed.real))
        return {"own": float(observed.samples.mean())}  # ValueError where there are none

    of_prices = prices([made(compute)])
    for lacks in (frozenset(), frozenset({"reconstruct", "posterior", "encode"}), frozenset({"sample"})):
        of_prices._all(lacks, lambda call: 0.0)
    assert computed == [*ROWS, *ROWS]  # again only where it has no samples


def made(compute: Any) -> Metric:
    output = Output(
        metric="own",
        label="Own",
        unit="",
        better="none",
        smallest_effect=0.0,
        role="secondary",
        about="",
        topic=topics.SAMPLES,
    )
    return Metric(name="own", outputs=(output,), compute=compute)


def test_a_metric_that_cannot_be_measured_is_said_and_the_others_are_counted():
    def compute(observed: Any) -> dict[str, float]:
        raise KeyError("no such thing")

    of_prices = prices([made(compute), *metrics.load(["pixel_error"])])
    _, shared = of_prices._all(frozenset(), lambda call: 0.0)
    assert "KeyError" in of_prices.unknown["own"] and ("reconstruct", "") in shared
    convergence = prices(metrics.load(["convergence"]), snapshots=5)
    convergence._all(frozenset(), lambda call: 0.0)
    assert "every moment" in convergence.unknown["convergence"]


def test_a_call_that_takes_long_is_made_once():
    of_prices = prices([])
    ticks = iter(range(100))
    of_prices.clock = lambda: float(next(ticks))
    assert of_prices.timed(lambda: None) == 1 and next(ticks) == 2


@pytest.fixture(scope="module")
def many() -> costing.CostedPlan:
    facts = DataFacts(channels=1, classes=0, size=1, counts=COUNTS)
    return costed(planned(StudySpec.model_validate(STUDY)), facts, preparing=1.0)


def paces_for(study: costing.CostedPlan) -> Paces:
    kinds = {pace_of(run) for run in study.runs}
    return Paces(dict.fromkeys(kinds, 0.0), dict.fromkeys(kinds, 2.0), shared=3.0, fitting=5.0, start=7.0)


def test_the_time_is_that_of_the_worker_that_ends_last(many: costing.CostedPlan):
    study = dataclasses.replace(many, execution=dataclasses.replace(many.execution, workers=7))
    estimate = study.estimate(paces=paces_for(study))
    rounds = -(-len(study.runs) // 7)
    assert estimate.seconds == 1 + 5 + 7 + 3 / 2 + rounds * 2
    assert estimate.runs[study.runs[0].id] == RunTime(0.0, 2.0)
    assert (estimate.scoring, estimate.once) == (2 * len(study.runs), 1 + 5 + 7 + 3)


def test_300_runs_are_planned_once_for_each_framework_and_condition(monkeypatch: pytest.MonkeyPatch):
    made_runs: list[str] = []
    real = plan._run
    monkeypatch.setattr(plan, "_run", lambda *given: made_runs.append(given[1]) or real(*given))
    runs = runs_of(StudySpec.model_validate(STUDY))
    assert (len(runs), len(made_runs), len({run.id for run in runs})) == (300, 6, 300)


def test_a_plan_has_a_row_for_each_framework_and_condition_whatever_the_seeds(many: costing.CostedPlan):
    console = Console(file=io.StringIO(), width=160)
    tables.runs(console, many, many.estimate(paces=paces_for(many)))
    rows = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(rows) == 1 + 2 * 3 and all(" 50 " in row for row in rows[1:])


def test_paces_are_measured_once_for_each_kind_of_run_and_kept(
    many: costing.CostedPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    timed: list[str] = []
    monkeypatch.setattr(Calibration, "_start", lambda self: 0.0)
    real = Calibration._seconds_per_image
    monkeypatch.setattr(
        Calibration,
        "_seconds_per_image",
        lambda self, run, *rest: timed.append(run.framework) or real(self, run, *rest),
    )
    notes: list[str] = []
    first = costing.kept_paces(many, tmp_path, [EXTRACTOR], notes.append)
    assert sorted(timed) == ["gan", "gan", "vae"] and len(notes) == 1  # the dearer one in bf16, too
    assert first.bf16_gain is not None and first.bf16_gain > 0
    assert costing.kept_paces(many, tmp_path, [EXTRACTOR], notes.append) == first and len(notes) == 1
    assert all(pace > 0 for pace in (*first.flop.values(), *first.scoring.values())) and not first.unknown


@pytest.mark.parametrize(("gain", "proposed"), [(1.8, True), (1.1, False), (None, False)])
def test_bf16_is_proposed_where_it_pays(many: costing.CostedPlan, gain: float | None, proposed: bool):
    estimate = many.estimate(paces=dataclasses.replace(paces_for(many), bf16_gain=gain))
    console = Console(file=io.StringIO(), width=160)
    tables.plan(console, many, estimate)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert ("1.8 times as fast here in bf16: --precision bf16" in said) == proposed


def test_what_is_trained_in_bf16_is_timed_in_bf16_and_not_compared(many: costing.CostedPlan):
    [run, *_] = many.runs
    low = run.model_copy(update={"training": run.training.model_copy(update={"precision": "bf16"})})
    calibration = Calibration(many.spec, many.facts, "cpu", 1, [EXTRACTOR])
    assert pace_of(low) != pace_of(run)
    assert calibration._bf16_gain(low, 1.0, 1) is None
    assert calibration._seconds_per_image(low, 1) > 0


def test_an_extractor_that_cannot_be_had_here_leaves_scoring_uncounted(many: costing.CostedPlan):
    spec = many.spec.model_copy(update={"scoring": many.spec.scoring.model_copy(update={"features": ("classifier",)})})
    spec = spec.model_copy(update={"data": spec.data.model_copy(update={"source": "arrays"})})
    unknown: dict[str, str] = {}
    calibration = Calibration(spec, many.facts, "cpu", 1)
    assert calibration._on_noise(unknown) == ([], 0.0) and "labels" in unknown["all scores"]


def test_a_stand_in_answers_with_the_shapes_of_a_run():
    observed = stand_in(SHAPE, CLASSIFIER, VAEGAN, rows=10, share=0.005)
    assert observed.samples.shape == observed.reconstructions.shape == (10, 1, 16, 16)
    assert observed.codes.shape == observed.log_variances.shape == (10, 4)
    assert len(observed.features("training")) == 60 and len(observed.training_images(1000)[0]) == 5
    assert observed.decoded(torch.zeros(3, 4)).shape == (3, 1, 16, 16)
    assert observed.asked.calls == {Call("decode", 250): 1}
    assert observed.asked.shared >= {("sample", ""), ("blocks", "training")}


def test_a_framework_that_does_not_work_in_bf16_is_timed_all_the_same(
    many: costing.CostedPlan, monkeypatch: pytest.MonkeyPatch
):
    def refuse(self: Calibration, run: Any, *rest: Any) -> float:
        if run.training.precision == "bf16":
            raise RuntimeError("index_add_(): self (Float) and source (BFloat16)")
        return 1.0

    monkeypatch.setattr(Calibration, "_seconds_per_image", refuse)
    monkeypatch.setattr(Calibration, "_start", lambda self: 0.0)
    paces = many.paces(extractors=[EXTRACTOR])
    assert paces.bf16_gain is None and all(paces.flop.values())
