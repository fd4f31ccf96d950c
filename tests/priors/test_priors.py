"""What every prior promises."""

from functools import partial

import pytest
import torch

from gen_experiments import randomness
from gen_experiments.errors import UserError
from gen_experiments.priors.autoregressive import AutoregressivePrior
from gen_experiments.priors.base import CodeSpec, Draws
from gen_experiments.priors.masked import MaskedPrior

SMALL = {"width": 32, "depth": 2, "heads": 4}
MAKERS = {
    "masked": partial(MaskedPrior, **SMALL),
    "autoregressive": partial(AutoregressivePrior, **SMALL),
    "random orders": partial(AutoregressivePrior, **SMALL, order_annealing=(0, 10_000)),
}
SPECS = {
    "plain": CodeSpec(((4, 4),), 7, 3),
    "residual": CodeSpec(((3, 3),) * 3, 7, 3),
    "hierarchy": CodeSpec(((2, 2), (4, 4)), 7, 3),
    "unlabelled": CodeSpec(((4, 4),), 7),
}
PLAIN = SPECS["plain"]

each_prior = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def _random(make, codes=PLAIN, **options):
    """With random weights everywhere: as built, the blocks add nothing."""
    torch.manual_seed(0)
    prior = make(codes, **options)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return prior


def _source(seed=0):
    return randomness.generator("cpu", seed)


def _draws(*seeds):
    return Draws([_source(seed) for seed in seeds])


def test_the_length_of_a_sequence():
    assert [SPECS[name].length for name in ("plain", "residual", "hierarchy")] == [16, 27, 20]


@each_prior
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_shapes_and_gradients(make, spec):
    prior = _random(make, spec)
    codes, labels = torch.randint(7, (4, spec.length)), torch.tensor([0, 1, 2, 0])
    loss = prior.loss(codes, labels, _source(), images_seen=100)
    loss.backward()
    assert loss.shape == ()
    assert all(parameter.grad is not None for parameter in prior.parameters())
    assert prior.nll(codes, labels, torch.arange(4)).shape == (4,)
    sample = prior.sample(labels, _draws(1, 2, 3, 4))
    assert sample.shape == codes.shape
    assert sample.dtype == torch.int64
    assert sample.min() >= 0
    assert sample.max() < 7


@each_prior
def test_known_codes_are_kept_whatever_their_number(make):
    prior = _random(make, guidance=1.0, temperature=100.0)
    codes, unknown = torch.randint(7, (4, 16)), torch.zeros(4, 16, dtype=torch.bool)
    for image, count in enumerate((0, 1, 9, 16)):
        unknown[image, torch.randperm(16)[:count]] = True
    before, labels = codes.clone(), torch.tensor([0, 1, 2, 0])
    filled = [prior.sample(labels, _draws(*range(i, i + 4)), codes, unknown) for i in range(0, 80, 4)]
    assert torch.equal(codes, before)
    assert all(torch.equal(f[~unknown], codes[~unknown]) for f in filled)
    # Every unknown code is drawn anew: of twenty draws, almost uniform, not all are what stood there.
    assert torch.equal((torch.stack(filled) != codes).any(dim=0), unknown)


@each_prior
def test_what_stands_at_unknown_codes_does_not_matter(make):
    prior, unknown = _random(make), torch.rand(2, 16) < 0.5
    codes = torch.randint(7, (2, 16))
    other = torch.where(unknown, (codes + 1) % 7, codes)
    first, second = (prior.sample(None, _draws(1, 2), given, unknown) for given in (codes, other))
    assert torch.equal(first, second)


@each_prior
def test_a_sample_depends_on_its_own_source_only(make):
    prior, labels = _random(make, guidance=0.5, top_k=4), torch.tensor([2, 1, 0, 1])
    unknown = torch.rand(4, 16) < torch.tensor([1.0, 0.2, 0.5, 0.8])[:, None]
    codes = torch.randint(7, (4, 16))
    together = prior.sample(labels, _draws(1, 2, 3, 4), codes, unknown)
    for i in range(4):
        alone = prior.sample(labels[i : i + 1], _draws(i + 1), codes[i : i + 1], unknown[i : i + 1])
        assert torch.equal(alone[0], together[i])
    assert not torch.equal(prior.sample(labels, _draws(5, 6, 7, 8), codes, unknown), together)


@each_prior
def test_guidance(make):
    labels = torch.tensor([0, 1, 2])
    plain, zero, strong = (
        _random(make, **options).sample(labels, _draws(1, 2, 3)) for options in ({}, {"guidance": 0.0}, {"guidance": 5})
    )
    assert torch.equal(plain, zero)
    assert not torch.equal(plain, strong)
    # Without a label both passes are one.
    unlabelled = [_random(make, guidance=w).sample(None, _draws(1, 2, 3)) for w in (0.0, 5.0)]
    assert torch.equal(*unlabelled)


@each_prior
def test_an_open_class_is_the_dropped_one(make):
    codes, labels = torch.randint(7, (4, 16)), torch.tensor([0, 1, 2, 0])
    dropped, kept = (_random(make, class_drop=share) for share in (1.0, 0.0))
    losses = [prior.loss(codes, given, _source(), 0) for prior in (dropped, kept) for given in (labels, None)]
    assert losses[0] == losses[1] == losses[3]
    assert losses[2] != losses[3]
    nlls = [kept.nll(codes, given, torch.arange(4)) for given in (labels, None)]
    assert not torch.equal(*nlls)


@each_prior
def test_likelihoods_ignore_dropout_and_labels_that_do_not_exist(make):
    prior, codes = _random(make, SPECS["unlabelled"], dropout=0.5), torch.randint(7, (2, 16))
    seeds = torch.arange(2)
    first, second = prior.train().nll(codes, torch.tensor([5, 9]), seeds), prior.eval().nll(codes, None, seeds)
    assert torch.equal(first, second)


@each_prior
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"class_drop": 1.5}, "class_drop must"),
        ({"guidance": 1.0, "class_drop": 0.0}, "train with class_drop > 0"),
        ({"temperature": 0.0}, "temperature must be > 0"),
        ({"heads": 3}, "heads must divide"),
    ],
)
def test_numbers_out_of_range(make, wrong, message):
    with pytest.raises(UserError, match=message):
        make(PLAIN, **wrong)
