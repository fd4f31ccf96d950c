"""The autoregressive prior."""

from itertools import product

import pytest
import torch

from gen_experiments import randomness
from gen_experiments.errors import UserError
from gen_experiments.priors.autoregressive import AutoregressivePrior
from gen_experiments.priors.base import CodeSpec, Draws

CODES = CodeSpec(((2, 2), (3, 3)), 5, 2)


def _random(codes=CODES, **options):
    torch.manual_seed(0)
    prior = AutoregressivePrior(codes, width=32, depth=2, heads=4, **options)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return prior


def _source(seed=0):
    return randomness.generator("cpu", seed)


@torch.no_grad()
@pytest.mark.parametrize("grids", [((1, 3),), ((1, 1), (1, 2))])
def test_the_probabilities_of_all_sequences_sum_to_one(grids):
    prior = _random(CodeSpec(grids, 2, 2))
    sequences = torch.tensor(list(product(range(2), repeat=3)))
    for label in (0, 1, None):
        labels = None if label is None else torch.full((8,), label)
        probabilities = (-prior.nll(sequences, labels, torch.arange(8))).exp()
        assert probabilities.sum().item() == pytest.approx(1, abs=1e-5)
        assert probabilities.std() > 0.01


def test_a_code_is_told_from_those_before():
    prior, codes = _random(), torch.randint(5, (1, 13))
    order = torch.randperm(13)[None]
    for given in (None, order):
        before = prior.logits(codes, torch.tensor([0]), given)
        reading = torch.arange(13) if given is None else given[0]
        for turn in (0, 6, 11):
            changed = codes.clone()
            changed[0, reading[turn]] = (codes[0, reading[turn]] + 1) % 5
            moved = (prior.logits(changed, torch.tensor([0]), given) != before).any(-1)[0]
            assert not moved[reading[: turn + 1]].any()
            assert moved[reading[turn + 1 :]].all()


@torch.no_grad()
def test_raster_order_is_an_order():
    prior, codes = _random(), torch.randint(5, (3, 13))
    conditions = torch.tensor([0, 1, 2])
    raster = torch.arange(13).expand(3, -1)
    assert torch.allclose(prior.logits(codes, conditions, raster), prior.logits(codes, conditions), atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("guidance", [0.0, 1.5])
def test_the_cache_changes_no_sample(guidance):
    prior = _random(guidance=guidance, top_k=3, temperature=0.9)
    labels, seeds = torch.tensor([0, 1, 1]), (1, 2, 3)
    given, unknown = torch.randint(5, (3, 13)), torch.rand(3, 13) < 0.7
    uniforms = Draws([_source(seed) for seed in seeds]).uniforms(13, device=torch.device("cpu"))
    codes = given.clone()
    for position in range(13):
        conditional, open_class = (prior.logits(codes, c)[:, position] for c in (labels, torch.full_like(labels, 2)))
        logits = open_class + (1 + guidance) * (conditional - open_class)
        drawn = prior.decoding(logits, uniforms[:, position])
        codes[:, position] = torch.where(unknown[:, position], drawn, codes[:, position])
    assert torch.equal(prior.sample(labels, Draws([_source(seed) for seed in seeds]), given, unknown), codes)


@torch.no_grad()
def test_samples_have_the_probabilities_that_nll_tells():
    prior = _random(CodeSpec(((1, 3),), 2))
    sequences = torch.tensor(list(product(range(2), repeat=3)))
    expected = (-prior.nll(sequences, None, torch.arange(8))).exp()
    sample = prior.sample(None, Draws([torch.Generator().manual_seed(i) for i in range(4000)]))
    shares = (sample * torch.tensor([4, 2, 1])).sum(dim=1).bincount(minlength=8) / 4000
    assert torch.allclose(shares, expected, atol=0.03)


def test_orders_are_random_at_first_and_raster_in_the_end():
    prior, codes = _random(order_annealing=(100, 300)), torch.zeros(2000, 13, dtype=torch.int64)
    raster = torch.arange(13)
    for images, share in ((0, 1.0), (100, 1.0), (150, 0.75), (250, 0.25)):
        order = prior._order(codes, _source(), images)
        assert torch.equal(order.sort(dim=1).values, raster.expand_as(order))
        assert (order != raster).any(dim=1).float().mean().item() == pytest.approx(share, abs=0.04)
    assert prior._order(codes, _source(), 300) is None
    assert _random()._order(codes, _source(), 0) is None


@pytest.mark.parametrize("annealing", [(5, 5), (-1, 5), (6, 5)])
def test_annealing_rises(annealing):
    with pytest.raises(UserError, match="two rising numbers"):
        _random(order_annealing=annealing)


@torch.no_grad()
def test_given_codes_are_read_first_and_not_told():
    prior = _random(CodeSpec(((1, 2), (1, 2)), 3, given=2), order_annealing=(0, 100))
    codes = torch.tensor(list(product(range(3), repeat=4)))
    told = prior.nll(codes, None, torch.arange(81)).unflatten(0, (9, 9))
    # Of the nine ends of each beginning the probabilities sum to one.
    torch.testing.assert_close((-told).exp().sum(dim=1), torch.ones(9), rtol=0, atol=1e-5)
    orders = prior._order(codes, _source(), 0)
    assert torch.equal(orders[:, :2], torch.tensor([0, 1]).expand(81, 2))
    assert set(orders[:, 2].tolist()) == {2, 3}
    plain = _random(CodeSpec(((1, 2), (1, 2)), 3, given=2), dropout=0.0)
    a_code = plain.nll(codes, None, torch.arange(81)).mean().item() / 2
    assert plain.loss(codes, None, _source(), 0).item() == pytest.approx(a_code, rel=1e-5)
