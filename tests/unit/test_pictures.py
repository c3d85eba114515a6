"""The sheets show what they say: the same held-out digits, grey fill where it was published, every variant once."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from triptych import store
from triptych.claims.results import Results, open_results
from triptych.data import dataset
from triptych.directory import RunDirectory
from triptych.evaluation.run import Run
from triptych.papers.vae_vs_gan_vs_vaegan import pictures, sheets
from triptych.papers.vae_vs_gan_vs_vaegan.designs import SCALES, studies
from triptych.papers.vae_vs_gan_vs_vaegan.quirks import BASES
from triptych.spec import to_toml
from triptych.study.plan import runs_of
from triptych.training import loop

pytestmark = pytest.mark.slow

WANTED = {"as_published": ["as_published@vae-translated"], "ablation": ["as_published@vae-translated-fix-fill"]}


@pytest.fixture(scope="module")
def results(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Two real runs out of the reproduction's own studies, cut short: Figure 2b's VAE, and the same with black fill."""
    folder = tmp_path_factory.mktemp("paper")
    for name, wanted in WANTED.items():
        study = studies(SCALES["tiny"])[name]
        (folder / name).mkdir()
        (folder / name / "study.toml").write_text(to_toml(study), encoding="utf-8")
        (folder / name / "data").symlink_to(prepared)
        for run in runs_of(study):
            if run.framework in wanted and run.seed == 0:
                short = run.model_copy(update={"training": run.training.model_copy(update={"images": 256})})
                assert loop.train(folder / name / "runs" / run.id, short, dataset.open(prepared))
                files = RunDirectory(folder / name / "runs" / run.id)
                store.write(files.spec_json, store.to_json(run.model_dump(mode="json")))  # as if it were not cut short
                store.write(files.manifest_json, store.to_json({"files": {}}))
    return open_results(folder)


def drawn(results: Results, name: str, kind: str = "fix") -> dict[str, torch.Tensor]:
    """The rows of a base's quirk sheet, by title."""
    gallery, rows = pictures.Gallery(results), {}
    for line in pictures._quirks(name, kind):  # type: ignore[arg-type]
        record = gallery.run_of(line)
        rows |= {strip.title: strip.images for strip in gallery.strips(line, record)} if record else {}
    return rows


def test_every_line_is_a_run_of_the_studies_and_every_variant_has_one():
    planned = studies(SCALES["small"])
    lines = [*pictures._figure2(), *pictures._figure3()]
    lines += [line for base in BASES for alone in ("fix", "keep") for line in pictures._quirks(base, alone)]
    for line in lines:
        runs = [run for run in runs_of(planned[line.study]) if run.framework == line.framework]
        assert runs, line
        for dotted, value in (line.at or {}).items():
            part, name = dotted.split(".")
            assert any(getattr(getattr(run, part), name) == value for run in runs), (line, dotted)
    assert {line.framework for line in lines if line.study == "ablation"} == set(planned["ablation"].frameworks)


def test_a_line_is_shown_the_fill_that_its_run_was_trained_on():
    """But for the published VAE-GAN, which was shown grey borders that it had never seen: Figure 3b."""
    planned = studies(SCALES["small"])
    for base in ("vae-translated", "vaegan"):
        for line in [*pictures._quirks(base, "fix"), *pictures._quirks(base, "keep")]:
            run = next(run for run in runs_of(planned[line.study]) if run.framework == line.framework)
            if line.framework != "as_published@vaegan":
                assert line.fill == run.training.translate_fill, line


def test_the_digits_are_held_out_and_only_the_fill_differs_between_protocols(results: Results, prepared: Path):
    gallery, test = pictures.Gallery(results), dataset.open(prepared).test
    known = {image.numpy().tobytes() for image in test.images(torch.arange(len(test)))}
    assert len({image.numpy().tobytes() for image in gallery.digits} & known) == pictures.BATCH
    grey, black = gallery.shifted(0.0), gallery.shifted(-1.0)
    freed = grey != black
    assert freed.any() and bool((grey[freed] == 0).all()) and bool((black[freed] == -1).all())
    assert float(freed.float().mean()) < 0.15  # a border of a pixel of 16


def test_rows_are_what_the_networks_make_of_one_batch(results: Results):
    rows = drawn(results, "vae-translated")
    assert set(rows) == {"as published", "fill"}
    record = results.where("as_published", "as_published@vae-translated")[0]
    assert record.directory
    nets = Run(record.directory.path).networks
    shown = pictures.Gallery(results).shifted(0.0)
    latents = pictures.prior_latents(0, pictures.BATCH, 128)
    expected = torch.cat([nets["dec"](nets["enc"](shown)[0])[: pictures.HALF], nets["dec"](latents)[: pictures.HALF]])
    torch.testing.assert_close(rows["as published"], expected, rtol=0, atol=1e-6)
    assert not torch.equal(rows["as published"], rows["fill"])


def test_runs_that_are_not_there_are_left_out_and_counted(results: Results, tmp_path: Path, monkeypatch):
    feet = {}
    monkeypatch.setattr(pictures, "sheet", lambda strips, heads, foot: feet.setdefault(len(strips), foot).encode())
    made = pictures.figures(results, tmp_path)
    assert set(made) == {"figure2", "quirk-vae-translated"} | {"quirk-vae-translated-keep"}
    lines = pictures._quirks("vae-translated", "fix")
    # Two rows of digits shown, grey and black, then the two runs.
    assert feet[4] == f"{len(lines) - 2} lines left out: no such run (yet)."


def test_the_files_are_small_pngs_and_the_same_each_time(results: Results, tmp_path: Path):
    made = pictures.figures(results, tmp_path / "one")
    again = pictures.figures(results, tmp_path / "two")
    for name, path in made.items():
        content = path.read_bytes()
        assert content == again[name].read_bytes() and len(content) <= sheets.LIMIT_BYTES
        with Image.open(io.BytesIO(content)) as image:
            assert image.format == "PNG" and image.width <= 1100


def test_without_weights_nothing_is_drawn(results: Results, tmp_path: Path):
    bare = Results((), results.studies, results.planned)
    assert pictures.figures(bare, tmp_path / "none") == {}


def test_a_sheet_enlarges_by_a_whole_factor_and_keeps_every_pixel():
    images = torch.linspace(-1, 1, 2 * 20 * 20).view(2, 1, 20, 20)
    with Image.open(io.BytesIO(sheets.sheet([sheets.Strip("title", "about", images)]))) as opened:
        page = np.asarray(opened.convert("L"))
    left, top = sheets.MARGIN + sheets.LABEL, sheets.MARGIN
    for place, image in enumerate(images):
        tile = page[top : top + 60, left + place * (60 + sheets.GAP) :][:, :60]
        expected = ((image[0] + 1) * 127.5).round().byte().numpy().repeat(3, 0).repeat(3, 1)
        assert np.array_equal(tile, expected)


def test_a_sheet_that_would_be_large_gets_fewer_greys():
    noise = torch.rand(8, 1, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    content = sheets.sheet([sheets.Strip("", "", noise)] * 12)
    with Image.open(io.BytesIO(content)) as image:
        assert len(image.getcolors() or []) <= 16
    assert Image.open(io.BytesIO(sheets.sheet([sheets.Strip("", "", noise.expand(-1, 3, -1, -1))]))).mode == "RGB"
