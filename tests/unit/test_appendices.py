"""The appendices hold the paper's layers, and the objectives are those of the frameworks."""

from __future__ import annotations

from triptych.papers.vae_vs_gan_vs_vaegan.appendices import appendices, objectives
from triptych.spec import NetworkSpec


def test_the_appendices_hold_the_papers_parameter_counts():
    counts = {a.title: a.parameters for a in appendices()}
    assert counts == {
        "Appendix A: the encoder": 35_112_064,
        "Appendix B: the decoder": 5_834_753,
        "Appendix C: the discriminator": 10_953_409,
    }


def test_the_appendices_follow_the_networks():
    *_, dis = appendices(NetworkSpec(width=0.25), size=32, channels=3)
    assert dis.rows[-1][2] == "1" and "64 × 4 × 4" in {row[2] for row in dis.rows}


def test_the_objectives_are_those_of_larsen():
    rows = {(framework, player): loss for framework, player, loss in objectives()}
    assert rows["vae", "vae"] == "prior + reconstruction"
    assert rows["vaegan", "enc"] == "prior + llike"
    assert rows["vaegan", "dec"] == "0.1 llike − gan" and rows["vaegan", "dis"] == "gan"
