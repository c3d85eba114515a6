"""The benchmark: its forms compute what they say, the counts are right, and both stay as low as they are today."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import forms, jobs, machine, page
from benchmarks.__main__ import main
from benchmarks.counting import Counts, count
from benchmarks.speed import Turn, images_of, measure, spec_of, summary
from triptych.errors import InputError
from triptych.frameworks import Noise
from triptych.frameworks.vaegan import VAEGAN
from triptych.spec import RunSpec
from triptych.training import cost
from triptych.training.state import initial
from triptych.training.step import Examples, step

SGD = {"name": "SGD", "rate": 1.0, "options": {}}
"""Weights then move by their gradients. Adam would divide gradients that are zero but for rounding by themselves."""
COURSE = {
    "options": {"reduction": "mean", "gamma": forms.COURSE_GAMMA, "encoder_weight": forms.COURSE_ENCODER},
    "training": {"updates": "sequential", "order": ["dis", "dec", "enc"]},
}
TINY = {"data": {"size": 16}, "network": {"width": 0.03, "latent": 8}}
needs_pythae = pytest.mark.skipif(forms.OTHERS["pythae"].missing() is not None, reason="pythae is not installed")


def tiny(**changes: object) -> RunSpec:
    return spec_of("quick", 8, **{**TINY, **changes})


def in_float64(spec: RunSpec, monkeypatch: pytest.MonkeyPatch) -> forms.Setting:
    """A setting in double precision, so that rounding hides nothing, with the noise of our first step."""
    images = images_of(spec).double()
    monkeypatch.setattr(forms.Setting, "state", lambda setting: _doubled(setting.spec))
    return forms.Setting(spec, images, Noise(spec.seed_of("noise"), 0, images, spec.network.latent))


def _doubled(spec: RunSpec):
    state = initial(spec, 1)
    state.nets.double()
    return state


def moved(form: str, setting: forms.Setting) -> dict[str, torch.Tensor]:
    """The weights and buffers after one step of the form."""
    prepared = (forms.OURS | forms.OTHERS)[form].make(setting)
    prepared.step()
    return prepared.state.nets.state_dict()


@pytest.mark.parametrize("form", ["minimal", "three-gradients"])
def test_forms_in_plain_pytorch_leave_the_weights_that_our_step_leaves(form: str, monkeypatch: pytest.MonkeyPatch):
    """To 1e-10 in float64, BatchNorm's buffers included; the weights themselves move by 0.01 to 10."""
    setting = in_float64(tiny(optimiser=SGD), monkeypatch)
    before, own, other = _doubled(setting.spec).nets.state_dict(), moved("float32", setting), moved(form, setting)
    for name, value in own.items():
        torch.testing.assert_close(other[name], value, rtol=1e-10, atol=1e-10)
    assert all((own[f"{net}.{weight}"] - before[f"{net}.{weight}"]).abs().max() > 0.01 for net, weight in WEIGHTS)


WEIGHTS = [("enc", "mean.weight"), ("dec", "body.0.linear.weight"), ("dis", "head.2.weight")]


@pytest.mark.parametrize("form", ["minimal", "three-gradients"])
def test_they_do_so_in_single_precision_too(form: str):
    """To 1e-4 of each tensor's largest step, with Adam's rates left out (see SGD)."""
    spec = tiny(optimiser=SGD | {"rate": 1e-3})
    images = images_of(spec)
    setting = forms.Setting(spec, images, Noise(spec.seed_of("noise"), 0, images, spec.network.latent))
    before = setting.state().nets.state_dict()
    own, other = moved("float32", setting), moved(form, setting)
    for name in (f"{net}.{weight}" for net, weight in WEIGHTS):
        largest = (own[name] - before[name]).abs().max()
        assert (own[name] - other[name]).abs().max() <= 1e-4 * largest


@pytest.mark.parametrize("form", ["course", "course-anomaly"])
def test_the_course_codes_form_moves_the_players_as_our_preset_of_it_does(form: str, monkeypatch: pytest.MonkeyPatch):
    """One after another, each by the gradient of its own loss, means instead of sums: to 1e-9 in float64."""
    setting = in_float64(tiny(optimiser=SGD | {"rate": 0.1}, **COURSE), monkeypatch)
    own, other = moved("float32", setting), moved(form, setting)
    for name in dict(_doubled(setting.spec).nets.named_parameters()):
        torch.testing.assert_close(other[name], own[name], rtol=1e-9, atol=1e-9)


FLOPS = {"minimal": 1.0, "three-gradients": 1.097, "course": 2.44}


@pytest.mark.parametrize("form", FLOPS)
def test_what_other_forms_take_at_the_papers_size(form: str):
    """Multiples of 17.96 GFLOP per image, counted on the meta device."""
    spec = spec_of("paper", 2, optimiser=SGD)
    setting = forms.Setting(spec, torch.empty(2, 1, 64, 64, device="meta"))
    counts = count(forms.OTHERS[form].make(setting).step)
    ours = cost.flops_per_image(spec, 1)
    assert ours / 1e9 == pytest.approx(17.961, abs=0.01)
    assert counts.flops / 2 / ours == pytest.approx(FLOPS[form], abs=0.005)


def test_flops_are_those_of_pytorchs_own_counter():
    spec = tiny(optimiser=SGD)
    prepared = forms.with_pytorchs_layers(forms.ours, forms.Setting(spec, images_of(spec)))
    start = {name: value.clone() for name, value in prepared.state.nets.state_dict().items()}
    with FlopCounterMode(display=False) as counter:
        prepared.step()
    prepared.state.nets.load_state_dict(start)  # so that more steps at this rate do not diverge
    assert count(prepared.step).flops == counter.get_total_flops() > 0


def test_a_lower_precision_is_that_of_products_and_not_of_losses():
    spec = tiny()
    images = images_of(spec)
    low, full = (forms.by_name(f"ours-{name}") for name in ("bf16", "float32"))
    assert (low.dtype, full.dtype) == (torch.bfloat16, torch.float32)
    lower, exact = (form.make(forms.Setting(spec, images)).state.nets["dis"](images)[1] for form in (low, full))
    assert lower.dtype == torch.float32
    assert 0 < (lower - exact).abs().max() < 0.05 * exact.abs().max()


MOST_OPERATORS = 1046
MOST_HOST_READS = 1
MOST_OPERATORS_WITH_CHECK = 1135
MOST_HOST_READS_WITH_CHECK = 2


def _counted(of: Callable[[forms.Setting], forms.Prepared]) -> Counts:
    spec = tiny()
    prepared = of(forms.Setting(spec, images_of(spec)))
    prepared.step()  # in which Adam makes its moments
    return count(prepared.step, prepared.state.optimisers.values())


def test_a_training_step_calls_no_more_operators_and_waits_no_more_often_than_today():
    """Of VAE-GAN with Adam, with the PyTorch of constraints.txt: limits as counted, which changes may only lower. What
    is read is all terms and norms at once, and then whether all weights are finite.
    """

    def bare(setting: forms.Setting) -> forms.Prepared:
        state = setting.state()
        return forms.Prepared(state, lambda: step(state, setting.spec, [Examples(setting.images)], 0.0))

    alone, checked = _counted(bare), _counted(forms.ours)
    assert alone.operators <= MOST_OPERATORS
    assert alone.host_reads <= MOST_HOST_READS
    assert checked.operators <= MOST_OPERATORS_WITH_CHECK
    assert checked.host_reads <= MOST_HOST_READS_WITH_CHECK


@pytest.mark.parametrize(
    ("read", "times"),
    [
        (lambda x: x.sum().item(), 1),
        (lambda x: bool((x > 0).all()), 1),
        (lambda x: [float(value) for value in x], 4),
        (lambda x: (x.tolist(), x.cpu(), x.numpy()), 3),
        (lambda x: torch.equal(x, x), 1),
        (lambda x: x.mul(2).add(1), 0),
    ],
)
def test_every_way_to_read_a_tensors_value_is_counted_once(read: Callable[[torch.Tensor], object], times: int):
    x = torch.arange(4.0)
    assert count(lambda: read(x)).host_reads == times


def test_ratios_are_taken_within_a_round():
    """A machine that slows down tenfold in one round moves no ratio."""
    ours = [Turn(seconds=1.0, processor_seconds=1.0, page_faults=0.0), Turn(10.0, 10.0, 0.0), Turn(1.0, 1.0, 0.0)]
    other = [Turn(2.0, 3.0, 5.0), Turn(20.0, 30.0, 5.0), Turn(2.0, 3.0, 5.0)]
    found = summary(other, ours, Counts(flops=80, operators=1, host_reads=0), batch=8)
    assert found["ratio"] == {"median": 2.0, "low": 2.0, "high": 2.0}
    assert found["processor_ratio"]["median"] == 3.0
    assert found["flops_per_second"] == 40.0
    assert (found["seconds"]["median"], found["images_per_second"]) == (2.0, 4.0)


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns of one step, and a product of small matrices."""
    monkeypatch.setattr("benchmarks.speed.TURN_SECONDS", 0.0)
    monkeypatch.setattr("benchmarks.speed.PRODUCT", 64)


def test_all_forms_are_measured_and_what_cannot_be_is_said(quickly: None):
    absent = forms.Form("not here", forms.minimal, missing=lambda: "it is not installed")
    asked = forms.chosen(["float32"], ["minimal", "course-anomaly"]) | {"absent": absent}
    said: list[str] = []
    found = measure(tiny(), asked, 2, ["one"], said.append)
    assert list(found["forms"]) == list(found["one"]["summary"]) == ["ours-float32", "minimal", "course-anomaly"]
    assert found["left_out"] == {"absent": "it is not installed"}
    assert "left out: absent: it is not installed" in said
    for name in found["forms"]:
        assert len(found["one"]["turns"][name]["seconds"]) == 2
        assert all(seconds > 0 for seconds in found["one"]["turns"][name]["seconds"])
    assert found["forms"]["minimal"]["flops"] == found["forms"]["ours-float32"]["flops"] > 0
    assert found["one"]["products"]["torch.float32"] > 0
    load = {"before": 0.1, "after": 1.0}
    record = {
        "kind": "speed",
        "command": "",
        "date": "",
        "machine": machine.facts(),
        "load": load,
        "presets": {"x": found},
    }
    assert "1 form left out: absent (it is not installed)" in "\n".join(page.speed_part(record))


@pytest.mark.slow
def test_a_form_in_a_process_of_its_own_makes_the_turns_that_it_is_asked_for(quickly: None):
    found = measure(tiny(), forms.chosen(["float32"], ["minimal"]), 2, ["each"], lambda line: None)
    assert "one" not in found
    assert [len(found["each"]["turns"][name]["seconds"]) for name in found["forms"]] == [2, 2]


@pytest.mark.slow
def test_a_process_that_cannot_prepare_its_form_is_named(quickly: None, monkeypatch: pytest.MonkeyPatch):
    known_here_alone = {"here": forms.Form("here", forms.minimal)}
    monkeypatch.setattr(forms, "OTHERS", known_here_alone)
    with pytest.raises(RuntimeError, match="the process of here has ended with exit code 1"):
        measure(tiny(), forms.chosen(["float32"], ["here"]), 1, ["each"], lambda line: None)


def test_from_the_command_to_the_page(
    quickly: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("benchmarks.speed.spec_of", lambda preset, batch: tiny())
    file, out = tmp_path / "speed.json", tmp_path / "speed.md"
    asked = ["speed", "--preset", "quick", "--rounds", "2", "--forms", "minimal,three-gradients"]
    asked += ["--processes", "one", "--json", str(file)]
    threads = torch.get_num_threads()
    try:
        assert main(asked) == 0
    finally:
        torch.set_num_threads(threads)
    record = json.loads(file.read_text())
    assert record["machine"]["threads"] == 1
    assert main(["page", str(file), "--out", str(out)]) == 0
    text, picture = out.read_text(), out.with_suffix(".svg").read_text()
    assert f"python -m benchmarks {' '.join(asked)}" in text
    assert "three gradients, plain PyTorch" in text
    assert picture.startswith("<svg")
    assert "three gradients" in picture
    assert main(["page", str(file), str(file), "--out", str(out)]) == 2
    assert "two files have figures of one preset" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["speed", "--preset", "quik"], "unknown preset"),
        (["speed", "--precision", "float"], "unknown form"),
        (["speed", "--forms", "minimal,minimal"], "given twice"),
        (["speed", "--batch", "1"], "at least two images"),
        (["speed", "--json", "nowhere/at/all.json"], "no such folder"),
        (["page", "nothing.json", "--out", "page.md"], "cannot be read"),
        (["jobs", "--metrics", "frechett"], "frechett"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_the_page_is_that_of_the_committed_figures(tmp_path: Path):
    results = machine.ROOT / "docs" / "results"
    records = [page.read(results / "speed" / f"{name}.json") for name in ("steps", "jobs")]
    page.write(records, tmp_path / "speed.md")
    assert (tmp_path / "speed.md").read_text(encoding="utf-8") == (results / "speed.md").read_text(encoding="utf-8")


def test_short_commands_are_timed_with_their_processor_time(tmp_path: Path):
    rows = {row["job"]: row for row in jobs.short(2, tmp_path)}
    assert all(row["processor_seconds"] > 0 and row["seconds"] > 0 and row["times"] == 2 for row in rows.values())
    assert rows["triptych --help"]["processor_seconds"] > rows["python -c pass"]["processor_seconds"]


def test_a_command_that_fails_is_no_figure(tmp_path: Path):
    with pytest.raises(RuntimeError, match=r"(?s)report failed with exit code 2.*nowhere"):
        jobs.triptych_command("report", tmp_path, "report", "nowhere")


def test_a_file_of_something_else_is_refused(tmp_path: Path):
    file = tmp_path / "other.json"
    file.write_text("[]")
    with pytest.raises(InputError, match="holds no figures"):
        page.read(file)


@needs_pythae
def test_pythaes_form_applies_what_its_trainer_applies(monkeypatch: pytest.MonkeyPatch):
    """Its Dis moves by the gradient of its own loss, its Dec by (1 - s) times that of the Dis_l error plus L_GAN, and
    its Enc by the prior's plus (2 - s) times the error's: what earlier backward passes left is not cleared.
    """
    spec = tiny(
        optimiser=SGD | {"rate": 0.1},
        options={**VAEGAN.presets["pythae"]["options"], "equilibrium": 0.0},
    )
    setting = in_float64(spec, monkeypatch)
    drawn = iter([setting.noise("z"), setting.noise("z_p")])
    monkeypatch.setattr(torch, "randn_like", lambda like, **_: next(drawn))
    own = moved("float32", setting)
    monkeypatch.setattr(torch, "ones", lambda *shape, **_: torch.full(shape, 1.0, dtype=torch.float64))
    monkeypatch.setattr(torch, "zeros", lambda *shape, **_: torch.full(shape, 0.0, dtype=torch.float64))
    other = moved("pythae", setting)
    for name in dict(_doubled(spec).nets.named_parameters()):
        torch.testing.assert_close(other[name], own[name], rtol=1e-9, atol=1e-9)
