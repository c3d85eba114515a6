"""The drawings say what the code does: they change with the framework, and are whole."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from triptych.errors import InputError
from triptych.frameworks import framework_of
from triptych.papers.vae_vs_gan_vs_vaegan import diagrams
from triptych.papers.vae_vs_gan_vs_vaegan.tracing import spec_of, trace
from triptych.spec import NetworkSpec

SVG = "{http://www.w3.org/2000/svg}"
FRAMEWORKS = ["vae", "gan", "vaegan", "vae_disl", "as_published@vae", "as_published@gan", "as_published@vaegan"]


def words(svg: str) -> list[str]:
    """Every line of text in a drawing, plain."""
    return ["".join(element.itertext()) for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def arrows(svg: str) -> int:
    return sum(path.get("fill") != "none" for path in ElementTree.fromstring(svg).iter(f"{SVG}path"))


def terms_of(framework: str, **options: object) -> dict[str, list[tuple[str, str]]]:
    return trace(spec_of(framework, options)).terms


def test_vaegan_is_wired_as_algorithm_1_says():
    found = trace(spec_of("vaegan"))
    assert found.calls == [
        ("enc", ("image", "x")),
        ("dec", ("latent", "z")),
        ("dec", ("latent", "z_p")),
        ("dis", ("image", "x")),
        ("dis", ("image", "x~")),
        ("dis", ("image", "x_p")),
    ]
    assert found.terms == {
        "prior": [("code", "x")],
        "llike": [("features", "x"), ("features", "x~")],
        "gan": [("logit", "x"), ("logit", "x~"), ("logit", "x_p")],
    }


def test_vae_and_gan_see_what_they_should():
    assert terms_of("vae") == {"prior": [("code", "x")], "reconstruction": [("image", "x"), ("image", "x~")]}
    assert terms_of("as_published@gan") == {"gan": [("logit", "x"), ("logit", "x_p")], "recognised": [("logit", "x_p")]}


def test_a_dis_that_does_not_see_reconstructions_has_no_arrow_from_them():
    """In joined batches too, where all images go through Dis at once."""
    for how in ("separate", "joint"):
        whole = diagrams.wiring("vaegan", {"dis_batches": how})
        without = diagrams.wiring("vaegan", {"dis_batches": how, "dis_sees_reconstructions": False})
        assert terms_of("vaegan", dis_batches=how, dis_sees_reconstructions=False)["gan"] == [
            ("logit", "x"),
            ("logit", "x_p"),
        ]
        assert arrows(without) == arrows(whole) - 1
        assert words(without).count("Dis") == words(whole).count("Dis") - 1


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_term_player_and_weight_stands_in_the_drawing(framework: str):
    told, spec = words(diagrams.wiring(framework)), spec_of(framework)
    game = framework_of(spec)
    assert set(trace(spec).terms) <= set(told)
    for player, loss in game.losses.items():
        name = diagrams.SHORT[player]
        assert any(line.startswith(f"{name} descends") and all(term in line for term in loss) for line in told)
        for term, weight in loss.items():
            verb = "descends" if weight > 0 else "climbs"
            assert f"{name} {verb} × {abs(weight):g}" in told, (player, term)


def test_weights_and_the_order_of_updates_are_the_runs_own():
    course, ours = words(diagrams.wiring("vaegan@course-code")), words(diagrams.wiring("vaegan"))
    assert "Dec descends × 15" in course and "Dec descends × 15" not in ours
    assert "One after another: Dis, Dec, Enc." in course and "All move at once, on the same networks." in ours
    assert "One after another: Dis, Dis, Dec." in words(diagrams.wiring("as_published@gan"))
    assert "Dec descends recognised." in words(diagrams.wiring("as_published@gan"))


@pytest.mark.parametrize(("network", "parameters"), [("enc", "35112064"), ("dec", "5834753"), ("dis", "10953409")])
def test_the_appendices_hold_the_papers_parameter_counts(network, parameters: str):
    told = [line.replace("\N{NARROW NO-BREAK SPACE}", "") for line in words(diagrams.appendix(network))]
    assert parameters in told


def test_the_appendix_follows_the_networks():
    small = words(diagrams.appendix("dis", NetworkSpec(width=0.25), size=32, channels=3))
    assert "3 × 32 × 32" in small and "64 × 4 × 4" in small
    tapped = NetworkSpec(options={"tap_layer": 2, "tap_point": "norm"})
    lines = words(diagrams.appendix("dis", tapped))
    assert lines.index("Disl is read here") > lines.index("convolutions.1.norm")
    assert lines.index("Disl is read here") < lines.index("convolutions.1.activation")


def test_figure_1_says_which_part_is_the_vae_and_which_the_gan():
    told = words(diagrams.figure1())
    assert {"VAE", "GAN", "Enc", "Dec", "Dis", "z", "zp", "x", "xp", "Disl"} <= set(told)


@pytest.mark.parametrize("name", ["figure1", "vaegan", "enc"])
def test_a_drawing_stands_alone_and_is_the_same_each_time(name: str):
    makers = {"figure1": diagrams.figure1, "vaegan": lambda: diagrams.wiring("vaegan")}
    make = makers.get(name, lambda: diagrams.appendix("enc"))
    svg = make()
    assert svg == make()
    assert "href" not in svg and "url(" not in svg and svg.count("http") == 1  # the namespace
    assert all(int(size) >= 12 for size in re.findall(r'font-size="(\d+)"', svg))
    root = ElementTree.fromstring(svg)
    assert int(root.get("width", "")) <= 900 and root.get("aria-label")
    assert all(", #" in variable for variable in re.findall(r"var\([^)]*\)", svg))  # a colour without the page


def test_a_network_that_has_no_place_is_refused():
    with pytest.raises(InputError, match="Enc, Dec and Dis alone"):
        diagrams.wiring("vae_disl", {"discriminator": "pretrained"})
