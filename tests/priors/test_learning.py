"""Priors learn toy distributions, conditions included, and draw from them; two processes train as one."""

from functools import partial

import pytest
import torch

import two_processes
from gen_experiments import distributed, randomness
from gen_experiments.priors.autoregressive import AutoregressivePrior
from gen_experiments.priors.base import CodeSpec, Draws
from gen_experiments.priors.masked import MaskedPrior

TOY = CodeSpec(((2, 2), (3, 3)), 6, 2)
MAKERS = {
    "masked": partial(MaskedPrior, width=32, depth=2, heads=4, label_smoothing=0.0),
    "autoregressive": partial(AutoregressivePrior, width=32, depth=2, heads=4),
    "random orders": partial(AutoregressivePrior, width=32, depth=2, heads=4, order_annealing=(0, 3000)),
}


def _source(*key):
    return randomness.generator("cpu", *key)


def _valid():
    """(2, 2, L): the two sequences of each of the two classes, one of codes below 3, one of the others."""
    first = torch.randint(3, (2, 2, TOY.length), generator=_source(9))
    return first + torch.tensor([0, 3])[:, None]


@pytest.fixture(scope="module", params=["masked", "random orders"])
def learnt(request):
    torch.manual_seed(0)
    prior = MAKERS[request.param](TOY, guidance=0.5, class_drop=0.2, dropout=0.0)
    optimizer = torch.optim.AdamW(prior.parameters())
    for step in range(150):
        source = _source(step)
        labels, which = (torch.randint(2, (32,), generator=source) for _ in range(2))
        optimizer.param_groups[0]["lr"] = 6e-3 * (1 - step / 150)
        optimizer.zero_grad()
        prior.loss(_valid()[labels, which], labels, source, images_seen=32 * step).backward()
        optimizer.step()
    return prior


def test_only_valid_sequences_of_the_class_are_drawn(learnt):
    labels = torch.arange(64) % 2
    sample = learnt.sample(labels, Draws([_source(i) for i in range(64)]))
    matches = (sample[:, None] == _valid()[labels]).all(dim=-1)
    assert matches.any(dim=1).float().mean() > 0.95
    assert matches.float().mean(dim=0).min() > 0.2


@torch.no_grad()
def test_the_likelihood_of_what_was_learnt(learnt):
    labels = torch.arange(2048) % 2
    own, other = (learnt.nll(_valid()[given, 0], labels, torch.arange(2048)).mean() for given in (labels, 1 - labels))
    assert 0.5 < own < 1.5
    assert other > own + 3


def test_the_unknown_codes_follow_from_the_known(learnt):
    """Any known code says which of the two sequences of its class it belongs to."""
    labels = torch.arange(16) % 2
    codes = _valid()[labels, 1]
    unknown = torch.arange(TOY.length) >= torch.arange(4, 8).repeat_interleave(4)[:, None]
    filled = learnt.sample(labels, Draws([_source(i) for i in range(16)]), codes.masked_fill(unknown, 0), unknown)
    assert (filled == codes).all(dim=1).float().mean() > 0.9


def _train(make):
    torch.manual_seed(0)
    prior = make(TOY, class_drop=0.5, dropout=0.3)
    optimizer = torch.optim.SGD(prior.parameters(), lr=0.1)
    losses = []
    for step in range(3):
        codes = torch.randint(TOY.codebook_size, (8, TOY.length), generator=_source(step))
        codes, labels = (
            whole.chunk(distributed.world_size())[distributed.rank()] for whole in (codes, codes[:, 0] % 2)
        )
        optimizer.zero_grad()
        loss = prior.loss(codes, labels, _source(7, step), images_seen=1000 * step)
        loss.backward()
        for parameter in prior.parameters():
            parameter.grad = distributed.all_reduce_sum(parameter.grad) / distributed.world_size()
        optimizer.step()
        losses.append(distributed.all_reduce_sum(loss.detach()) / distributed.world_size())
    return {"losses": torch.stack(losses)} | prior.state_dict()


def _everything():
    return {name: _train(make) for name, make in MAKERS.items()}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Of one process, and of each of two."""
    return _everything(), *two_processes.run(_everything, tmp_path_factory.mktemp("gloo"))


@pytest.mark.parametrize("name", MAKERS)
def test_two_processes_are_one(results, name):
    one, first, second = (result[name] for result in results)
    for key, expected in one.items():
        assert torch.equal(first[key], second[key]), key
        assert torch.allclose(first[key], expected, rtol=1e-4, atol=1e-5), key
