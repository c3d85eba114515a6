"""`triptych claims FILE DIR`: claims of a user's own on a study of a user's own, and what is refused."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from triptych import cli, store
from triptych.spec import StudySpec, checked, to_toml
from triptych.study.plan import runs_of

ROOT = Path(__file__).resolve().parents[2]
MINE = """[[claims]]
id = "A1"
statement = "More latent dimensions help the VAE."

[[claims.parts]]
statement = "The VAE with 32 latent dimensions against the VAE with 8."
quantity = { metric = "reconstruction_mse" }
a = { framework = "vae", at = { network.latent = 32 } }
b = { framework = "vae", at = { network.latent = 8 } }
expects = "lower"

[[claims.parts]]
statement = "The mean over both, which nothing is expected of."
quantity = { metric = "reconstruction_mse" }
a = { framework = "vae", at = { network.latent = [8, 32] } }
"""


def study(folder: Path, name: str = "latents") -> Path:
    """A finished study of one framework with two sizes of the latent space: 8 gives 0.04, 32 gives 0.02."""
    table: dict[str, Any] = {"name": name, "frameworks": ["vae"], "seeds": 3, "grid": {"network.latent": [8, 32]}}
    spec = checked(StudySpec, {**table, "scoring": {"metrics": ["pixel_error"]}}, "study")
    folder.mkdir(parents=True)
    (folder / "study.toml").write_text(to_toml(spec), encoding="utf-8")
    for run in runs_of(spec):
        own = folder / "runs" / run.id
        own.mkdir(parents=True)
        value = {8: 0.04, 32: 0.02}[run.network.latent] + 0.001 * run.seed**2 * (run.network.latent == 8)
        rows = [{"metric": "reconstruction_mse", "value": value, "undefined": None, "better": "lower"}]
        tables = {"spec": run.model_dump(mode="json"), "outcome": {"status": "finished"}, "manifest": {"files": {}}}
        for file, content in tables.items():
            (own / f"{file}.json").write_bytes(store.to_json(content))
        (own / "scores.jsonl").write_bytes(store.to_lines(rows))
    return folder


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """Give the command with this text as its file; its exit code, what it printed and what it complained of."""

    def command(text: str, folder: Path) -> tuple[int, str, str]:
        (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr(sys, "argv", ["triptych", "claims", "mine.toml", str(folder)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capfd.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return command


def test_a_users_claims_on_a_single_study_are_judged_printed_and_written(command, tmp_path):
    folder = study(tmp_path / "latents")
    code, out, err = command(MINE, folder)
    assert (code, err) == (0, "")
    assert "A1 holds: More latent dimensions help the VAE." in out and "The one comparison supports it." in out
    row = next(line for line in out.splitlines() if line.startswith("A1.1"))
    assert "a factor of 0.48" in row and "(0.425 " in out and row.rstrip().endswith("supported")
    first, second = json.loads((folder / "claims.json").read_text("utf-8"))
    assert (first["verdict"], first["claim_verdict"], first["n"], first["p"] < 0.01) == ("supported", "holds", 3, True)
    larger = np.log2([0.04, 0.041, 0.044]).mean()
    assert first["estimate"] == pytest.approx(np.log2(0.02) - larger) and first["unit"] == "doublings"
    assert first["p"] == first["p_support"] and first["p_contradiction"] > 0.9
    assert second["verdict"] == "measured" and second["p"] is None
    assert second["estimate"] == pytest.approx((np.log2(0.02) + larger) / 2)


def test_claims_may_compare_the_studies_of_one_folder(command, tmp_path):
    study(tmp_path / "both" / "one"), study(tmp_path / "both" / "two")
    code, _, err = command(MINE, tmp_path / "both")
    assert code == 2 and "A1.1, side a: names no study, and there are several. Give the side a study: one, two." in err
    named = MINE.replace("[[claims]]", '[protocols.all]\nstudy = ["one", "two"]\n\n[[claims]]')
    code, out, err = command(named.replace("[[claims.parts]]", '[[claims.parts]]\nprotocol = "all"'), tmp_path / "both")
    assert (code, err) == (0, "") and "A1 holds" in out


def test_the_example_of_the_docs_works(command, tmp_path):
    page = (ROOT / "docs" / "how-to" / "test-your-own-claims.md").read_text("utf-8")
    example, protocols = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    code, out, err = command(example, study(tmp_path / "latents"))
    assert (code, err) == (0, "") and "A1 holds: A larger latent space helps the VAE." in out
    text = example.replace("[[claims.parts]]", '[[claims.parts]]\nprotocol = "matched"')
    code, out, err = command(protocols + text, study(tmp_path / "several" / "matched").parent)
    assert (code, err) == (0, "") and "Under matched conditions, the one comparison supports it." in out


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"reconstruction_mse"', '"reconstruction_mze"', ["A1.1, side a", "unknown metric", "'reconstruction_mse'"]),
        ("network.latent = 32", "network.latent = 64", ["A1.1, side a", "network.latent", "got 64", "There: 8, 32"]),
        ("[8, 32]", "[8, 64]", ["A1.2, side a", "network.latent", "got 64", "There: 8, 32"]),
        ("expects =", "expect =", ["A1", "unknown key 'parts.0.expect'", "Did you mean 'expects'"]),
        ('framework = "vae"', 'framework = "vea"', ["A1.1", "does not run this framework", "Did you mean 'vae'"]),
        ("[[claims]]", "[[claim]]", ["mine.toml", "'claim'", "Did you mean 'claims'"]),
        ("id =", "id", ["mine.toml", "not a TOML file"]),
    ],
)
def test_what_is_wrong_with_the_file_is_one_message_and_nothing_is_written(command, tmp_path, old, new, words):
    folder, text = study(tmp_path / "latents"), MINE.replace(old, new)
    if "[[claim]]" in text:
        text = text.replace("[[claims.parts]]", "[[claim.parts]]")
    code, out, err = command(text, folder)
    assert (code, out) == (2, "") and err.startswith("triptych: mine.toml") and len(err.splitlines()) == 1
    for word in words:
        assert word in err
    assert not (folder / "claims.json").exists()


def test_a_folder_without_a_study_is_refused(command, tmp_path):
    code, _, err = command(MINE, tmp_path)
    assert code == 2 and "holds no study" in err
