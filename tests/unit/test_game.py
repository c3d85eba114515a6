"""The shared sweep against plain autograd, on toy games where a player is reached in every possible way."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from triptych.frameworks.vaegan import VAEGAN, Options
from triptych.training.gradients import Cuts, Losses, Parameters, gradients, reached


class Toy:
    """maker -> images -> judge, with the maker's parameter `both` in terms behind the cut and before it."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.maker, self.both, self.judge = (
            Parameter(torch.randn(4, 4, generator=generator, dtype=torch.float64)) for _ in range(3)
        )
        self.x, self.noise = (torch.randn(3, 4, generator=generator, dtype=torch.float64) for _ in range(2))

    @property
    def parameters(self) -> Parameters:
        return {"maker": [self.maker, self.both], "judge": [self.judge]}

    def terms(self, cut) -> dict[str, Tensor]:
        first = cut((self.noise @ self.maker @ self.both).tanh())
        second = cut((self.x @ self.maker).tanh())
        return {
            "through": ((first @ self.judge).sigmoid() * (second @ self.judge)).sum(),
            "direct": (self.maker @ self.both).square().sum(),
            "mixed": ((first @ self.judge) * (self.x @ self.both)).sin().sum(),
            "one cut": (first @ self.judge).square().sum(),
            "judge alone": self.judge.square().sum(),
        }


def plain(toy: Toy, losses: Losses) -> dict[str, list[Tensor]]:
    """Each player's gradient from a graph of its own that nothing cuts."""
    found = {}
    for player, loss in losses.items():
        terms = toy.terms(lambda images: images)
        total = torch.stack([weight * terms[name] for name, weight in loss.items()]).sum()
        found[player] = list(torch.autograd.grad(total, toy.parameters[player]))
    return found


GAMES = {
    "reached directly and through a cut": {"maker": {"mixed": 1.5}, "judge": {"mixed": -2.0}},
    "two terms, one of them in common": {"maker": {"through": -1.0, "direct": 0.5}, "judge": {"through": 1.0}},
    "opposite weights of all terms": {
        "maker": {"through": 1.0, "direct": 2.0, "mixed": 3.0, "one cut": 4.0},
        "judge": {"through": -1.0, "mixed": -3.0, "one cut": -4.0, "judge alone": 5.0},
    },
    "one player alone": {"maker": {"through": 1.0, "mixed": 1.0}},
    "the other alone": {"judge": {"one cut": 1.0, "judge alone": 1.0}},
    "a weight of nought": {"maker": {"mixed": 1.0, "through": 0.0}, "judge": {"mixed": 0.0, "one cut": 1.0}},
    "one cut only": {"maker": {"one cut": 1.0, "direct": 1.0}, "judge": {"one cut": -1.0, "through": 1.0}},
}


@pytest.mark.parametrize("losses", GAMES.values(), ids=GAMES.keys())
def test_each_gradient_is_plain_autograds(losses: Losses):
    toy, cuts = Toy(), Cuts()
    terms = toy.terms(cuts)
    found = gradients(terms, losses, {player: toy.parameters[player] for player in losses}, cuts)
    expected = plain(toy, losses)
    assert found.keys() == expected.keys()
    for player in losses:
        for ours, theirs in zip(found[player], expected[player], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-13)


def test_an_order_of_the_players_or_of_the_terms_is_no_part_of_the_game():
    toy = Toy()
    losses = GAMES["opposite weights of all terms"]
    turned = {player: dict(reversed(loss.items())) for player, loss in reversed(losses.items())}
    results = []
    for game in (losses, turned):
        cuts = Cuts()
        results.append(gradients(toy.terms(cuts), game, {p: toy.parameters[p] for p in game}, cuts))
    assert all(torch.equal(a, b) for p in losses for a, b in zip(results[0][p], results[1][p], strict=True))


def test_an_uncut_graph_gives_the_same_gradients():
    toy, losses = Toy(), GAMES["opposite weights of all terms"]
    found = gradients(toy.terms(lambda images: images), losses, toy.parameters, Cuts())
    expected = plain(toy, losses)
    for player, ours in found.items():
        for a, b in zip(ours, expected[player], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)


def test_nothing_is_added_to_grad():
    toy, cuts = Toy(), Cuts()
    toy.maker.grad = torch.full_like(toy.maker, 7)
    gradients(toy.terms(cuts), GAMES["reached directly and through a cut"], toy.parameters, cuts)
    assert (toy.maker.grad == 7).all()
    assert toy.both.grad is None
    assert toy.judge.grad is None


def test_a_loss_that_forgets_a_parameter_of_its_player_raises():
    toy, cuts = Toy(), Cuts()
    losses = {"maker": {"one cut": 1.0}, "judge": {"one cut": 1.0}}
    parameters = toy.parameters | {"judge": [toy.judge, Parameter(torch.zeros(2, dtype=torch.float64))]}
    with pytest.raises(ValueError, match="player 'judge' does not reach 1 of its 2 parameters"):
        gradients(toy.terms(cuts), losses, parameters, cuts)


@pytest.mark.parametrize("weight", [0.0, None])
def test_a_player_with_nothing_to_descend_raises(weight: float | None):
    toy, cuts = Toy(), Cuts()
    losses = {"maker": {} if weight is None else {"mixed": weight}, "judge": {"mixed": 1.0}}
    with pytest.raises(ValueError, match="player 'maker' does not reach 2 of its 2 parameters"):
        gradients(toy.terms(cuts), losses, toy.parameters, cuts)


def test_a_cut_behind_a_cut_raises():
    toy, cuts = Toy(), Cuts()
    once = cuts(toy.noise @ toy.maker @ toy.both)
    twice = cuts(once @ toy.judge)
    losses = {"maker": {"nested": 1.0}, "judge": {"nested": 1.0}}
    with pytest.raises(ValueError, match="a cut lies behind another cut"):
        gradients({"nested": twice.square().sum()}, losses, toy.parameters, cuts)


def test_the_cut_hands_on_the_same_numbers():
    images, cuts = torch.randn(2, 3, generator=torch.Generator().manual_seed(0), requires_grad=True), Cuts()
    assert torch.equal(cuts(images * 1), images)
    assert cuts.leaves[0].is_leaf


def test_reached_names_the_leaves_that_a_graph_ends_in():
    a, b, c = (torch.ones(2, requires_grad=True) for _ in range(3))
    assert reached((a * b + 1).sum()) == {id(a), id(b)}
    assert id(c) not in reached((a * b * c.detach()).sum())
    assert reached(torch.ones(1)) == set()


LOW, MIDDLE, HIGH = 0.1, 0.68, 1.5


@pytest.mark.parametrize(
    ("data", "generated", "skipped"),
    [
        (LOW, LOW, ("dis",)),
        (LOW, MIDDLE, ("dis",)),
        (MIDDLE, LOW, ("dis",)),
        (HIGH, HIGH, ("dec",)),
        (HIGH, MIDDLE, ("dec",)),
        (MIDDLE, HIGH, ("dec",)),
        (MIDDLE, MIDDLE, ()),
        (LOW, HIGH, ()),
        (HIGH, LOW, ()),  # both would skip, so neither does
        (0.329, MIDDLE, ("dis",)),
        (0.331, MIDDLE, ()),
        (MIDDLE, 1.029, ()),
        (MIDDLE, 1.031, ("dec",)),
    ],
)
def test_the_equilibrium_rule(data: float, generated: float, skipped: tuple[str, ...]):
    terms = {"dis_data": data, "dis_generated": generated}
    assert VAEGAN(Options(equilibrium=0.35)).skipped_players(terms) == skipped


def test_without_the_equilibrium_rule_nobody_skips():
    game = VAEGAN(Options())
    for data, generated in itertools.product((LOW, MIDDLE, HIGH), repeat=2):
        assert game.skipped_players({"dis_data": data, "dis_generated": generated}) == ()
