"""What comes from outside the package and is not what it should be is refused in one sentence, before anything runs."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from triptych import networks, plugins
from triptych.data import dataset
from triptych.data.sources import load
from triptych.errors import InputError
from triptych.evaluation import metrics
from triptych.spec import DataSpec, NetworkSpec
from triptych.study import presets

Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """`write(name, code)` puts a module where it can be imported."""
    monkeypatch.syspath_prepend(tmp_path)

    def put(name: str, code: str) -> None:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(code), encoding="utf-8")

    return put


FAMILY = """
    import torch
    from torch import nn
    from triptych.spec import Frozen

    class Options(Frozen):
        layers: int = 1

    def build(spec, options, size, channels):
        return {name: nn.Linear(size, options.layers) for name in ("enc", "dec", "dis")}

    def initialise(network, options, generator):
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, generator=generator)
"""


@pytest.fixture
def package(tmp_path: Path) -> str:
    """A package "mine_PATH", since a dotted name needs one, with a family in its module `flow`."""
    name = f"mine_{abs(hash(tmp_path))}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "flow.py").write_text(textwrap.dedent(FAMILY), encoding="utf-8")
    return name


def test_a_family_from_outside_is_a_module(write: Write, package: str) -> None:
    spec = NetworkSpec(family=f"{package}.flow", options={"layers": 3})
    first, again, other = (networks.build(spec, 16, 1, seed) for seed in (0, 0, 1))
    assert first["enc"].weight.shape == (3, 16)
    assert torch.equal(first["enc"].weight, again["enc"].weight)  # pyright: ignore[reportArgumentType]
    assert not torch.equal(first["enc"].weight, other["enc"].weight)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match=r"network.options: layers: Input should be a valid integer"):
        networks.options_of(NetworkSpec(family=f"{package}.flow", options={"layers": "x"}))
    with pytest.raises(InputError, match=rf"a network family is a module.*Write \"{package}.flow\""):
        networks.options_of(NetworkSpec(family=f"{package}.flow:build"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("def initialise", "def initialize", "flow.py does not define `initialise`, which a network family needs"),
        ("def build", "def make", "flow.py does not define `build`"),
        ("class Options", "class Settings", "flow.py does not define `Options`"),
        ("class Options(Frozen)", "class Options", "`Options` of the network family is no class of options"),
        ('"dec", "dis"', '"dec"', r"returned \{'enc': Linear, 'dec': Linear\}, not the three networks"),
        ("return {", "return 1 or {", "returned a int, not the three networks"),
        ("import torch\n", "import torch\n    oops\n", "NameError: name 'oops' is not defined"),
    ],
)
def test_a_family_that_lacks_something_is_refused(
    old: str, new: str, message: str, tmp_path: Path, write: Write, package: str
) -> None:
    file = tmp_path / package / "flow.py"
    file.write_text(textwrap.dedent(FAMILY.replace(old, new, 1)), encoding="utf-8")
    with pytest.raises(InputError, match=f"network.family: .*{message}"):
        networks.describe(NetworkSpec(family=f"{package}.flow"), 16, 1)


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("metrics", "frechett", r"unknown metric \(got 'frechett'\). Did you mean 'frechet'"),
        ("networks", "no.such", r"cannot load 'no.such' \(No module named 'no'\)\. Run the command from the folder"),
        ("sources", "json:", "no name after the colon"),
        ("sources", "..:x", "cannot load"),
        ("features", "json:absent", "does not define `absent`, which a feature space needs"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused(kind: str, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        plugins.find(kind, name, where="here")


def test_what_is_no_function_and_no_metric_is_refused(write: Write) -> None:
    write("odd_objects", "load = 3")
    with pytest.raises(InputError, match=r"data.source: `load` of the data source is a int, not a function"):
        load(DataSpec(source="odd_objects:load"))
    with pytest.raises(InputError, match="not a Metric"):
        metrics.load(["odd_objects:load"])


SOURCE = """
    import numpy as np
    from pydantic import Field
    from triptych.data.sources import Raw, array_split
    from triptych.spec import Frozen

    path_is_file = False

    class Options(Frozen):
        level: int = Field(ge=0, le=255)

    def load(spec, options):
        assert spec.path == "collection/of mine", spec.path
        return Raw(array_split(np.full((60, 16, 16, 1), options.level, np.uint8), None))

    def broken(spec, options):
        return spec.missing

    def nothing(spec, options):
        pass
"""


def test_a_source_from_outside_takes_options_and_a_path_that_is_none(write: Write, tmp_path: Path) -> None:
    write("plain_source", SOURCE)
    study = tmp_path / "study.toml"
    study.write_text(
        "frameworks = ['vae']\n[data]\nsource = 'plain_source:load'\npath = 'collection/of mine'\nsize = 16\n"
        "options = { level = 255 }\n",
        encoding="utf-8",
    )
    spec = presets.from_file(study).data
    assert (spec.path, spec.options) == ("collection/of mine", {"level": 255})
    dataset.prepare(spec, tmp_path / "data")
    assert float(dataset.open(tmp_path / "data").train.images(torch.arange(2)).min()) == 1.0
    for options, message in (
        ({}, r"data.options: level: Field required"),
        ({"level": 300}, r"data.options: level: .* less than or equal to 255 \(got 300\)"),
        ({"levle": 3}, "unknown key 'levle'. Did you mean 'level'"),
    ):
        with pytest.raises(InputError, match=message):
            load(spec.model_copy(update={"options": options}))
    for name, message in (("broken", "loading raised AttributeError"), ("nothing", "returned a NoneType, not a")):
        with pytest.raises(InputError, match=message):
            load(spec.model_copy(update={"source": f"plain_source:{name}"}))


def test_options_are_in_a_specification_only_where_there_are_any() -> None:
    assert "options" not in DataSpec().model_dump()
    assert DataSpec(options={"level": 3}).model_dump()["options"] == {"level": 3}
    with pytest.raises(InputError, match=r"data.options: the source 'mnist' has no options"):
        load(DataSpec(options={"level": 3}))


def test_a_file_path_is_taken_from_where_the_study_lies(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text("frameworks = ['vae']\n[data]\nsource = 'images'\npath = 'photos'\n")
    assert presets.from_file(tmp_path / "study.toml").data.path == str((tmp_path / "photos").resolve())
