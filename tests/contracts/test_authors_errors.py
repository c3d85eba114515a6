"""Whatever the author of a framework gets wrong is an input error with its place, before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from triptych.errors import InputError
from triptych.spec import StudySpec
from triptych.study.plan import runs_of, validate

HEAD = """
import torch
from torch import nn

from triptych.frameworks.gan import GAN
from triptych.frameworks.vae import VAE

"""
WRONG: dict[str, tuple[str, str, str]] = {
    # what is wrong: the class, the line that raises ("" where it is a field), and what the message has to say
    "missing network": (
        "class Wrong(VAE):\n    def terms(self, nets, batch):\n        return {'prior': nets['encoder'](batch.images)}",
        "nets['encoder']",
        "raised KeyError: 'encoder'",
    ),
    "missing term": (
        "class Wrong(VAE):\n    def terms(self, nets, batch):\n"
        "        return {'prior': super().terms(nets, batch)['kl']}",
        "['kl']",
        "raised KeyError: 'kl'",
    ),
    "type error": (
        "class Wrong(VAE):\n    def terms(self, nets, batch):\n        return {'prior': batch.images + None}",
        "batch.images + None",
        "raised TypeError: ",
    ),
    "shapes": (
        "class Wrong(VAE):\n    def terms(self, nets, batch):\n        x = batch.images.flatten(1)\n"
        "        return {'prior': (x @ x).mean()}",
        "x @ x",
        "raised RuntimeError: ",
    ),
    "term that is not returned": (
        "class Wrong(VAE):\n    def terms(self, nets, batch):\n"
        "        return {'prior': super().terms(nets, batch)['prior']}",
        "",
        "player 'vae' minimises the term 'reconstruction', which terms() does not return",
    ),
    "term that is no scalar": (
        "class Wrong(VAE):\n    def terms(self, nets, batch):\n        terms = super().terms(nets, batch)\n"
        "        return {**terms, 'prior': terms['prior'].expand(4)}",
        "",
        "the term 'prior' must be a scalar tensor; take the mean over the batch",
    ),
    "term for the log that is no tensor": (
        "class Wrong(VAE):\n    def terms(self, nets, batch):\n"
        "        return {**super().terms(nets, batch), 'logged': 1.0}",
        "",
        "the term 'logged' must be a scalar tensor",
    ),
    "defaults that are no table": ("class Wrong(VAE):\n    defaults = 3", "", "must be a table of parts of a run"),
    "presets that are no table": ("class Wrong(VAE):\n    presets = ['fast']", "", "must be a table of presets"),
    "term that is no tensor": (
        "class Wrong(VAE):\n    def terms(self, nets, batch):\n"
        "        return {**super().terms(nets, batch), 'prior': 1.0}",
        "",
        "the term 'prior' must be a scalar tensor; take the mean over the batch",
    ),
    "network that is not built": (
        "class Wrong(VAE):\n    def build(self, context):\n        return {'enc': context.shared('enc')}",
        "",
        "player 'vae' owns a network that build() does not return (got 'dec'). It builds enc.",
    ),
    "two owners": (
        "class Wrong(GAN):\n    players = {'dec': ('dec',), 'dis': ('dis', 'dec')}",
        "",
        "a network has two owners, 'dec' and 'dis' (got 'dec'). Give every network to one player.",
    ),
    "loss of nobody": (
        "class Wrong(GAN):\n    losses = {'dec': {'gan': -1.0}, 'dis': {'gan': 1.0}, 'judge': {'gan': 1.0}}",
        "",
        "players and losses do not name the same players (got 'judge')",
    ),
    "unknown shared network": (
        "class Wrong(VAE):\n    def build(self, context):\n        return {'enc': context.shared('encoder')}",
        "",
        "there is no shared network 'encoder' (there are enc, dec, dis): build it with context.own",
    ),
}


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """`written(module, text)`: a file that can be imported from."""
    monkeypatch.syspath_prepend(tmp_path)

    def written(module: str, text: str) -> Path:
        file = tmp_path / f"{module}.py"
        file.write_text(HEAD + text + "\n", encoding="utf-8")
        return file

    return written


@pytest.mark.slow
@pytest.mark.parametrize("fault", WRONG)
def test_what_an_author_gets_wrong_is_an_input_error_with_its_place(fault: str, written: Callable[[str, str], Path]):
    text, line, said = WRONG[fault]
    module = f"wrong_{fault.replace(' ', '_')}"
    file = written(module, text)
    study = StudySpec.model_validate(
        {"frameworks": [f"{module}:Wrong"], "seeds": 1, "data": {"size": 16}, "network": {"width": 0.03, "latent": 3}}
    )
    with pytest.raises(InputError) as caught:
        validate(runs_of(study))
    assert said in str(caught.value)
    assert f"{module}:Wrong" in str(caught.value), "it names the framework"
    if line:
        number = next(n for n, each in enumerate(file.read_text().splitlines(), 1) if line in each)
        assert caught.value.where == f"{file}, line {number}"
        assert f"triptych check {module}:Wrong" in str(caught.value)


def test_a_plain_value_error_has_its_place_too(written: Callable[[str, str], Path]):
    file = written(
        "hasty", "class Wrong(VAE):\n    def terms(self, nets, batch):\n        raise ValueError('no gamma')"
    )
    study = StudySpec.model_validate({"frameworks": ["hasty:Wrong"], "seeds": 1, "network": {"width": 0.03}})
    with pytest.raises(InputError) as caught:
        validate(runs_of(study))
    number = next(n for n, line in enumerate(file.read_text().splitlines(), 1) if "no gamma" in line)
    assert caught.value.where == f"options of hasty:Wrong ({file}, line {number})"
    assert "no gamma" in str(caught.value)
