"""Specifications: what is refused and how it is mended, what is written and read back, and which runs a study has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import toy_frameworks
from triptych.errors import InputError
from triptych.frameworks.vae import VAE
from triptych.frameworks.vaegan import VAEGAN
from triptych.networks import conv
from triptych.spec import (
    DataSpec,
    Frozen,
    NetworkSpec,
    OptimiserSpec,
    RunSpec,
    StudySpec,
    TrainingSpec,
    checked,
    digest,
    load_study,
    to_toml,
)
from triptych.study.defaults import replaced_by_defaults
from triptych.study.plan import runs_of, validate
from triptych.study.presets import comparison

GAME = VAEGAN.Options().model_dump(mode="json")
NETS = conv.Options().model_dump(mode="json")
TINY: dict[str, Any] = {
    "frameworks": ["vae", "vaegan"],
    "seeds": 1,
    "data": {"size": 16},
    "network": {"width": 0.03, "latent": 3},
}


def study(**values: Any) -> StudySpec:
    return checked(StudySpec, {**TINY, **values}, "study.toml")


# What is refused.


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"overide": {}}, "study.toml: unknown key 'overide'. Did you mean 'override'?"),
        ({"data": {"sise": 16}}, "unknown key 'data.sise'. Did you mean 'size'?"),
        ({"scoring": {"metrics": []}}, "scoring.metrics: .*at least 1 item"),
        ({"training": {"bach_size": 4}}, "unknown key 'training.bach_size'. Did you mean 'batch_size'?"),
        ({"seeds": 0}, "seeds: at least 1 seed is needed .got 0"),
        ({"seeds": -3}, "at least 1 seed is needed"),
        ({"seeds": True}, "seeds: "),
        ({"seeds": "three"}, "seeds are a number such as 3, or looks such as 3..12 from 2 seeds on .got 'three'"),
        ({"seeds": "1..4"}, "seeds are a number such as 3, or looks"),
        ({"seeds": "5..3"}, "seeds are a number such as 3, or looks"),
        ({"seeds": 5, "looks": [3, 4]}, "looks are numbers of seeds in ascending order, from 2 to all 5"),
        ({"seeds": 5, "looks": [3, 3, 5]}, "looks are numbers of seeds in ascending order"),
        ({"seeds": "3..8", "looks": [3, 8]}, r"seeds = '3..8' plans the looks \[3, 5, 8\] itself"),
        ({"frameworks": ["vae"], "seeds": "3..8"}, "looks add seeds until .* one framework has nothing to compare"),
        ({"seeds": []}, "seeds: one or more are needed, each once"),
        ({"seeds": [1, 2, 1]}, "seeds: one or more are needed, each once"),
        ({"frameworks": []}, "frameworks: "),
        ({"frameworks": ["vae", "vae"]}, "frameworks: one or more are needed, each once"),
        ({"data": {"size": 12}}, r"data.size: .*equal to 16 .got 12"),
        ({"data": {"size": 8}}, "data.size: .*16"),
        ({"data": {"size": 136}}, "data.size: .*128"),
        ({"data": {"size": "large"}}, "data.size: .*integer.*got 'large'"),
        ({"data": {"channels": 2}}, "data.channels: "),
        ({"data": 3}, "data: .*got 3"),
        ({"network": {"width": 0}}, "network.width: .*greater than 0"),
        ({"optimiser": {"rate": float("inf")}}, "optimiser.rate: .*finite"),
        ({"optimiser": {"rate": float("nan")}}, "optimiser.rate: "),
        ({"training": {"batch_size": 1}}, "training.batch_size: .*2"),
        ({"training": {"translate": 0.6}}, "training.translate: "),
        ({"training": {"updates": "parallel"}}, "training.updates: .*'sequential'"),
        ({"training": {"order": ["dis", "dec"]}}, 'an order needs updates = "sequential"'),
        ({"override": {"vae": {"options": 3}}}, "override.vae.options: .*got 3"),
    ],
)
def test_what_is_wrong_is_named_with_its_field_its_value_and_its_mending(values: dict, message: str):
    with pytest.raises(InputError, match=message):
        study(**values)


def test_every_fault_is_named_at_once():
    with pytest.raises(InputError) as error:
        study(data={"size": 12, "sise": 3}, seeds=0)
    assert all(part in str(error.value) for part in ("data.size", "'data.sise'", "at least 1 seed"))


def test_a_missing_field_is_named():
    with pytest.raises(InputError, match="frameworks: Field required"):
        checked(StudySpec, {}, "study.toml")


def test_a_specification_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        study().name = "other"  # type: ignore[misc]


# What stands for what.


def test_a_count_of_seeds_stands_for_the_first_ones():
    assert study(seeds=3).seeds == (0, 1, 2)
    assert study(seeds=[7, 3]).seeds == (7, 3)


@pytest.mark.parametrize(
    ("values", "options"),
    [
        ({}, {"betas": [0.5, 0.999]}),
        ({"name": "Adam"}, {"betas": [0.5, 0.999]}),
        ({"name": "Adam", "options": {"eps": 1e-6}}, {"eps": 1e-6}),
        ({"name": "SGD"}, {}),
        ({"name": "SGD", "options": {"momentum": 0.9}}, {"momentum": 0.9}),
    ],
)
def test_the_default_betas_belong_to_adam_alone(values: dict, options: dict):
    assert OptimiserSpec.model_validate(values).options == options


# TOML.


FULL: dict[str, Any] = {
    "name": "every kind of value",
    "frameworks": ["vae", "vaegan@larsen-code", "vaegan@mine"],
    "seeds": [3, 1],
    "data": {"source": "images", "path": 'a "quoted" path\\with é', "size": 24, "channels": 3, "fit": "pad"},
    "network": {"width": 0.03, "latent": 3, "options": {"tap_layer": 2, "tap_point": "norm"}},
    "optimiser": {"name": "SGD", "rate": 1e-4, "rates": {"dis": 1e-5}, "options": {"momentum": 0.9}},
    "training": {"images": 100, "updates": "sequential", "order": ["dis", "dec", "enc"], "translate": 0.1},
    "override": {
        "vae": {"options": {"sigma": "learned"}},
        "vaegan@mine": {"training": {"order": ["enc", "dec", "dis"]}},
    },
    "grid": {"optimiser.rate": [1e-4, 2e-4], "options.beta": [1, 0.5]},
    "scoring": {"images": 100, "metrics": ["kid"], "smallest_effect": {"kid": 0.01}},
    "execution": {"device": "cpu", "workers": 2, "threads": 1},
}


@pytest.mark.parametrize("values", [TINY, FULL], ids=["few", "all"])
def test_a_study_written_as_toml_is_read_back_the_same(values: dict, tmp_path: Path):
    spec = checked(StudySpec, values, "here")
    path = tmp_path / "study.toml"
    path.write_text(to_toml(spec), encoding="utf-8")
    assert load_study(path) == spec
    assert digest(load_study(path)) == digest(spec)


@given(
    rate=st.floats(1e-12, 1e6),
    width=st.floats(0.001, 8),
    seeds=st.lists(st.integers(0, 2**62), min_size=1, max_size=4, unique=True),
    name=st.text(st.characters(codec="utf-8"), max_size=20),
)
def test_no_number_or_name_is_lost_on_the_way(rate: float, width: float, seeds: list[int], name: str):
    spec = study(name=name, seeds=seeds, optimiser={"rate": rate}, network={"width": width})
    assert StudySpec.model_validate(tomllib.loads(to_toml(spec))) == spec


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no such file"), (b"a = ", "not a TOML file"), (b"\xff", "not a TOML file")]
)
def test_what_is_no_toml_file_is_refused_with_its_name(content: bytes | None, message: str, tmp_path: Path):
    path = tmp_path / "study.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        load_study(path)
    assert str(path) in str(error.value)


def test_a_directory_is_called_one(tmp_path: Path):
    with pytest.raises(InputError, match="is a directory, not a file"):
        load_study(tmp_path)


def test_a_typo_in_a_table_that_may_be_left_out_gets_its_suggestion():
    class Part(Frozen):
        data: DataSpec | None = None

    with pytest.raises(InputError, match=r"unknown key 'data.sise'. Did you mean 'size'"):
        checked(Part, {"data": {"sise": 16}}, "here")


# Ids.


PARTS = {"data": DataSpec, "network": NetworkSpec, "optimiser": OptimiserSpec, "training": TrainingSpec}
OTHER: dict[str, dict[str, Any]] = {
    "data": {
        "source": "images",
        "path": "x",
        "size": 24,
        "channels": 1,
        "fit": "pad",
        "broken": "skip",
        "dequantise": True,
        "options": {"bars": 3},
    },
    "network": {"family": "mlp", "width": 0.5, "latent": 64, "options": {"init": "torch"}},
    "optimiser": {"name": "SGD", "rate": 2e-3, "rates": {"dis": 1e-4}, "options": {"betas": [0.9, 0.999]}},
    "training": {
        "images": 1,
        "batch_size": 32,
        "updates": "sequential",
        "order": ["dis", "dec", "enc"],
        "translate": 0.1,
        "translate_fill": 0.0,
        "log_images": 1,
        "snapshots": 2,
        "precision": "bf16",
    },
}


def test_any_other_value_anywhere_gives_another_id():
    runs = [
        {},
        {"framework": "gan"},
        {"seed": 1},
        {"options": {"gamma": 2.0}},
        {"condition": {"optimiser.rate": 0.002}},
        {"seeds": {"initial": 1}},
        {"seeds": {"order": 1}},
    ]
    for part, values in OTHER.items():
        assert values.keys() == PARTS[part].model_fields.keys()
        for field, value in values.items():
            extra = {"updates": "sequential"} if field == "order" else {}
            runs.append({part: {**extra, field: value}})
    assert {key for run in runs for key in run} | {"framework"} == set(RunSpec.model_fields)
    ids = [RunSpec.model_validate({"framework": "vaegan", **run}).id for run in runs]
    assert len(set(ids)) == len(ids)
    assert len({i.rpartition("-")[2] for i in ids}) == len(ids)  # it is the hash that differs, beside the name


def test_an_id_is_readable_and_fit_for_a_folder():
    assert RunSpec(framework="vaegan", seed=7).id.startswith("vaegan-s7-")
    name = RunSpec(framework="a.b:C@x/y é").id
    assert name.startswith("a.b-C-x-y-é-s0-")
    assert len(name.rpartition("-")[2]) == 8


def test_an_id_is_the_same_in_another_process_and_after_json_and_needs_no_torch():
    spec = RunSpec(framework="vaegan", options={"gamma": 0.5, "beta": 2.0})
    turned = RunSpec(framework="vaegan", options={"beta": 2.0, "gamma": 0.5})
    assert turned.id == spec.id
    assert RunSpec.model_validate(json.loads(spec.model_dump_json())).id == spec.id
    script = (
        "import sys; from triptych.spec import RunSpec; assert 'torch' not in sys.modules;"
        f"print(RunSpec.model_validate_json({spec.model_dump_json()!r}).id)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert result.stdout.strip() == spec.id


# From a study to its runs.


def test_a_grid_is_run_at_every_point_seed_and_framework_in_order():
    runs = runs_of(study(seeds=2, grid={"optimiser.rate": [1e-3, 2e-3], "training.batch_size": [8, 16]}))
    assert len(runs) == len({run.id for run in runs}) == 2 * 2 * 2 * 2
    points = [(run.optimiser.rate, run.training.batch_size, run.seed, run.framework) for run in runs]
    assert points[:5] == [
        (1e-3, 8, 0, "vae"),
        (1e-3, 8, 0, "vaegan"),
        (1e-3, 8, 1, "vae"),
        (1e-3, 8, 1, "vaegan"),
        (1e-3, 16, 0, "vae"),
    ]
    assert points[-1] == (2e-3, 16, 1, "vaegan")
    assert runs[0].condition == {"optimiser.rate": 0.001, "training.batch_size": 8}


def test_without_a_grid_there_is_one_condition_without_a_name():
    assert [(run.framework, run.condition) for run in runs_of(study())] == [("vae", {}), ("vaegan", {})]


def test_a_grid_reaches_into_options():
    runs = runs_of(
        study(frameworks=["vaegan"], grid={"options.gamma": [0.1, 1.0], "network.options.tap_layer": [2, 3]})
    )
    assert [(run.options["gamma"], run.network.options["tap_layer"]) for run in runs] == [
        (0.1, 2),
        (0.1, 3),
        (1.0, 2),
        (1.0, 3),
    ]


def test_an_override_touches_its_own_framework_and_only_the_fields_it_names():
    override = {
        "vaegan": {"options": {"gamma": 0.5}, "training": {"batch_size": 8}, "network": {"options": {"tap_layer": 3}}}
    }
    network = {**TINY["network"], "options": {"init": "torch"}}
    vae, vaegan = runs_of(study(override=override, network=network, training={"images": 100}))
    assert vae == runs_of(study(network=network, training={"images": 100}))[0]
    assert vaegan.options == {**GAME, "gamma": 0.5}
    assert (vaegan.training.batch_size, vaegan.training.images) == (8, 100)
    assert vaegan.network.options == {**NETS, "init": "torch", "tap_layer": 3}
    assert vaegan.network.width == vae.network.width


def test_a_preset_lies_over_what_all_share_and_an_override_over_the_preset():
    preset = VAEGAN.presets["larsen-code"]
    label = "vaegan@larsen-code"
    plain, larsen = runs_of(
        study(frameworks=["vaegan", label], optimiser={"rate": 0.5, "options": {"betas": [0.1, 0.2]}})
    )
    assert plain.options == GAME  # written out, so that a run means the same when defaults change
    assert plain.optimiser.rate == 0.5
    assert larsen.options == {**GAME, **preset["options"]}
    assert larsen.network.options == {**NETS, **preset["network"]["options"]}
    assert (larsen.optimiser.name, larsen.optimiser.rate) == ("RMSprop", 3e-4)
    assert (larsen.data, larsen.network.width, larsen.base_framework) == (plain.data, plain.network.width, "vaegan")
    (over,) = runs_of(
        study(frameworks=[label], override={label: {"options": {"gamma": 2.0}, "optimiser": {"rate": 0.1}}})
    )
    assert over.options == {**GAME, **preset["options"], "gamma": 2.0}
    assert (over.optimiser.name, over.optimiser.rate) == ("RMSprop", 0.1)
    assert "gamma" in preset["options"]
    assert preset["options"]["gamma"] != 2.0  # the preset itself is not written to


def test_an_optimiser_of_another_name_leaves_the_others_options_behind():
    betas = {"name": "Adam", "options": {"betas": [0.1, 0.2]}}
    sgd, adam = ({"vaegan": {"optimiser": {"name": name}}} for name in ("SGD", "Adam"))
    assert runs_of(study(optimiser=betas, override=sgd))[1].optimiser.options == {}
    assert runs_of(study(optimiser=betas, override=adam))[1].optimiser.options == {"betas": [0.1, 0.2]}
    grid = runs_of(study(frameworks=["vae"], optimiser=betas, grid={"optimiser.name": ["SGD", "Adam"]}))
    assert [run.optimiser.options for run in grid] == [{}, {"betas": [0.1, 0.2]}]


def test_a_variant_that_an_override_defines_is_a_framework_beside_the_plain_one():
    runs = runs_of(study(frameworks=["vaegan", "vaegan@soft"], override={"vaegan@soft": {"options": {"gamma": 0.3}}}))
    assert [(run.base_framework, run.options) for run in runs] == [("vaegan", GAME), ("vaegan", {**GAME, "gamma": 0.3})]
    assert runs[1].id.startswith("vaegan-soft-s0-")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"frameworks": ["vaegn"]}, "frameworks: unknown framework .got 'vaegn'.. Did you mean 'vaegan'"),
        ({"frameworks": ["vaegan@larsen-cod"]}, "unknown preset of vaegan .*Did you mean 'larsen-code'.*Or define it"),
        ({"frameworks": ["no.module:Game"]}, "cannot load 'no.module:Game'"),
        ({"override": {"vaegn": {}}}, "override.vaegn: .*does not run. Did you mean 'vaegan'"),
        ({"override": {"vae": {"options": {"bata": 1}}}}, "options of vae: unknown key 'bata'. Did you mean 'beta'"),
        ({"override": {"vae": {"options": {"beta": "x"}}}}, "options of vae: beta: .*got 'x'"),
        ({"override": {"vae": {"network": {"widht": 1}}}}, "unknown key 'network.widht'. Did you mean 'width'"),
        ({"override": {"vae": {"optimiser": {"name": "Adm"}}}}, "optimiser.name: .*Did you mean 'Adam'"),
        ({"override": {"vae": {"optimiser": {"options": {"bets": 1}}}}}, "optimiser.options: Adam refuses.*bets"),
        ({"override": {"vae": {"optimiser": {"rates": {"dis": 1}}}}}, "optimiser.rates: .*Its players: vae"),
        ({"override": {"vae": {"options": {"sigma": 2, "reduction": "mean"}}}}, "which has no sigma"),
        ({"override": {"vaegan": {"options": {"beta": 0, "encoder_weight": 0}}}}, "player 'enc' does not reach"),
        ({"grid": {"optimiser": [1]}}, 'grid.optimiser: cannot vary in a grid.*"optimiser.rate"'),
        ({"grid": {"data.size": [16, 24]}}, "grid.data.size: cannot vary in a grid"),
        ({"grid": {"optimiser.rat": [1]}}, "unknown key 'optimiser.rat'. Did you mean 'rate'"),
        ({"grid": {"options.gamma": [1.0]}}, "options of vae: unknown key 'gamma'"),
        ({"network": {"family": "cnv"}}, "network.family: unknown network .*Did you mean 'conv'"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_runs(values: dict, message: str):
    with pytest.raises(InputError, match=message):
        validate(runs_of(study(**values)))


def test_a_grid_never_labels_what_a_preset_undoes():
    study = checked(
        StudySpec,
        {"frameworks": ["vaegan@larsen-code"], "grid": {"optimiser.name": ["Adam", "SGD"]}},
        "study.toml",
    )
    with pytest.raises(InputError, match=r"grid\.optimiser\.name: the grid varies what a preset or override"):
        runs_of(study)


def test_a_grid_may_give_options_before_the_optimiser_they_belong_to():
    grid = {"optimiser.options.momentum": [0.5], "optimiser.name": ["SGD"]}
    [run] = runs_of(checked(StudySpec, {"frameworks": ["vae"], "seeds": 1, "grid": grid}, "study.toml"))
    assert (run.optimiser.name, run.optimiser.options) == ("SGD", {"momentum": 0.5})


def test_a_grid_over_options_that_another_optimiser_clears_is_refused():
    """An optimiser of another name has none of the options before it: the grid's field is then not there at all."""
    betas = [[0.5, 0.999], [0.0, 0.9]]
    for values in (
        {"frameworks": ["vaegan@larsen-code"]},
        {"frameworks": ["vae"], "override": {"vae": {"optimiser": {"name": "SGD"}}}},
    ):
        with pytest.raises(
            InputError, match=r"grid\.optimiser\.options\.betas: the grid varies what a preset or override"
        ):
            runs_of(study(**values, grid={"optimiser.options.betas": betas}))


def test_an_option_may_be_called_optimiser():
    """Only the run's own optimiser is a table with a name; a framework's option of that name is a value like others."""
    override = {"toy_frameworks:Inner": {"options": {"optimiser": "adam"}, "network": {"options": {"init": "torch"}}}}
    (run,) = runs_of(study(frameworks=["toy_frameworks:Inner"], override=override))
    assert run.options["optimiser"] == "adam"


def test_a_frameworks_defaults_replace_the_projects_and_nothing_else():
    label = "toy_frameworks:Inner"
    plain = runs_of(study(frameworks=[label]))[0].optimiser
    assert (plain.rate, plain.options) == (0.02, {"betas": (0.0, 0.9)})
    assert runs_of(study(frameworks=[label], optimiser={"rate": 0.001}))[0].optimiser.rate == 0.02  # as if unsaid
    assert runs_of(study(frameworks=[label], optimiser={"rate": 0.5}))[0].optimiser.rate == 0.5
    own = {label: {"optimiser": {"rate": 0.001}}}
    assert runs_of(study(frameworks=[label], override=own))[0].optimiser.rate == 0.001


def test_what_a_frameworks_defaults_replace_is_said_for_each_framework():
    label = "toy_frameworks:Inner"
    both = study(frameworks=["vae", label])
    (line,) = replaced_by_defaults(both, runs_of(both))
    assert line.startswith(
        f"{label} has its own defaults: optimiser.rate = 0.02 instead of 0.001, "
        'optimiser.options = {"betas": [0.0, 0.9]} instead of {"betas": [0.5, 0.999]}, '
        "training.snapshots = 4 instead of 0."
    )
    assert line.endswith(f'[override."{label}"].')
    rated = study(frameworks=[label], optimiser={"rate": 0.5}, grid={"optimiser.options.betas": [[0.0, 0.9]]})
    assert "optimiser" not in replaced_by_defaults(rated, runs_of(rated))[0]
    assert runs_of(rated)[0].training.snapshots == 4  # a field that is not written while it has its default
    over = study(frameworks=[label], override={label: {"optimiser": {"rate": 0.5}}})
    (line,) = replaced_by_defaults(over, runs_of(over))
    assert "optimiser.rate" not in line and "optimiser.options" in line


@pytest.mark.parametrize(
    ("defaults", "message"),
    [
        ({"optimiser": {"rat": 0.1}}, "`defaults` of .*Inner, optimiser: no such field .*Did you mean 'rate'"),
        ({"optimizer": {"rate": 0.1}}, "`defaults` of .*no such part of a run .*Did you mean 'optimiser'"),
        ({"optimiser": 0.1}, "`defaults` of .*must be a table of fields"),
        ({"optimiser": {"rate": 0.1, "learning_rate": 0.1}}, "`defaults` of .*are the same field"),
    ],
)
def test_defaults_that_no_run_has_are_an_input_error(defaults: dict, message: str, monkeypatch):
    monkeypatch.setattr(toy_frameworks.Inner, "defaults", defaults)
    with pytest.raises(InputError, match=message):
        runs_of(study(frameworks=["toy_frameworks:Inner"]))


def test_an_empty_grid_is_refused():
    with pytest.raises(InputError, match="needs one or more values"):
        checked(StudySpec, {"frameworks": ["vae"], "grid": {"optimiser.rate": []}}, "study.toml")


# The learning rate has two names.


def test_learning_rate_is_another_name_of_rate_wherever_a_study_has_one():
    values = {"frameworks": ["vae", "gan"], "seeds": 1, "override": {"gan": {"optimiser": {"rate": 0.02}}}}
    named = {**values, "override": {"gan": {"optimiser": {"learning_rate": 0.02}}}}
    one = checked(StudySpec, {**values, "optimiser": {"rate": 0.01}}, "one")
    other = checked(StudySpec, {**named, "optimiser": {"learning_rate": 0.01}}, "other")
    assert one == other and "learning_rate" not in to_toml(other)
    assert [run.optimiser.rate for run in runs_of(other)] == [0.01, 0.02]
    grids = [{"frameworks": ["vae"], "grid": {f"optimiser.{name}": [0.1, 0.2]}} for name in ("rate", "learning_rate")]
    first, second = (checked(StudySpec, grid, "grid") for grid in grids)
    assert [run.id for run in runs_of(first)] == [run.id for run in runs_of(second)]
    assert runs_of(second)[0].condition == {"optimiser.rate": 0.1}
    assert comparison(learning_rate=0.03).optimiser.rate == comparison(rate=0.03).optimiser.rate == 0.03


@pytest.mark.parametrize(
    "study",
    [
        {"optimiser": {"rate": 0.1, "learning_rate": 0.1}},
        {"override": {"vae": {"optimiser": {"rate": 0.1, "learning_rate": 0.1}}}},
        {"grid": {"optimiser.rate": [0.1], "optimiser.learning_rate": [0.1]}},
    ],
    ids=lambda study: next(iter(study)),
)
def test_both_names_of_the_learning_rate_at_once_are_refused(study):
    with pytest.raises(InputError, match="the same field"):
        checked(StudySpec, {"frameworks": ["vae"], **study}, "study.toml")


def test_a_preset_may_call_it_learning_rate_too(monkeypatch):
    monkeypatch.setattr(VAE, "presets", {"mine": {"optimiser": {"learning_rate": 0.5}}})
    (run,) = runs_of(checked(StudySpec, {"frameworks": ["vae@mine"], "seeds": 1}, "study.toml"))
    assert run.optimiser.rate == 0.5


def test_a_grid_may_vary_a_list():
    orders = [["dis", "dec"], ["dec", "dis"]]
    values = {"frameworks": ["gan"], "seeds": 1, "training": {"updates": "sequential"}}
    runs = runs_of(checked(StudySpec, {**values, "grid": {"training.order": orders}}, "study.toml"))
    assert [run.condition for run in runs] == [{"training.order": order} for order in orders]
    assert [run.training.order for run in runs] == [("dis", "dec"), ("dec", "dis")]
    assert len({run.id for run in runs}) == 2
    assert all(RunSpec.model_validate_json(run.model_dump_json()).id == run.id for run in runs)
