"""The masked prior."""

import math
from itertools import permutations, product

import pytest
import torch

from gen_experiments import randomness
from gen_experiments.errors import UserError
from gen_experiments.priors.base import CodeSpec, Draws
from gen_experiments.priors.masked import MaskedPrior

TINY = CodeSpec(((1, 3),), 2)
SHARES = torch.tensor([0.1, 0.2, 0.3, 0.4])


def _fixed(**options):
    """Tells every code by the same SHARES."""
    prior = MaskedPrior(CodeSpec(((2, 3),), 4), width=8, depth=1, heads=2, **options)
    torch.nn.init.zeros_(prior.network.heads[0].weight)
    with torch.no_grad():
        prior.network.heads[0].bias.copy_(SHARES.log())
    return prior


def _random(spec=TINY):
    torch.manual_seed(0)
    prior = MaskedPrior(spec, width=16, depth=1, heads=2)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return prior


def _source(seed=0):
    return randomness.generator("cpu", seed)


@pytest.mark.parametrize("code", range(4))
def test_loss_and_bound_by_hand(code):
    codes = torch.full((5, 6), code)
    entropy, spread = -math.log(SHARES[code]), -SHARES.log().mean().item()
    assert _fixed(label_smoothing=0.0).loss(codes, None, _source(), 0).item() == pytest.approx(entropy, rel=1e-5)
    smoothed = _fixed().loss(codes, None, _source(), 0).item()
    assert smoothed == pytest.approx(0.9 * entropy + 0.1 * spread, rel=1e-5)
    assert _fixed().nll(codes, None, torch.arange(5)).tolist() == pytest.approx([6 * entropy] * 5, rel=1e-5)


def test_only_hidden_codes_are_told():
    """The loss is the mean over the hidden codes, not over all: codes 3 are hidden, codes 0 are not."""
    prior = _fixed(label_smoothing=0.0)
    hidden = []
    prior._hide = lambda counts, order: hidden.append(MaskedPrior._hide(prior, counts, order)) or hidden[-1]
    prior.loss(torch.zeros(64, 6, dtype=torch.int64), None, _source(), 0)
    codes = 3 * hidden[0].long()
    assert prior.loss(codes, None, _source(), 0).item() == pytest.approx(-math.log(0.4), rel=1e-5)
    counts = hidden[0].sum(dim=1)
    assert counts.min() >= 1
    assert set(counts.tolist()) == {1, 2, 3, 4, 5, 6}


def test_the_share_of_hidden_codes_is_the_cosines():
    """The mean of cos(πr/2) over r in [0, 1) is 2/π."""
    prior = MaskedPrior(CodeSpec(((20, 20),), 2), width=8, depth=1, heads=2)
    shares = torch.cos(0.5 * math.pi * torch.rand(2000, generator=_source()))
    hidden = prior._hide(torch.ceil(shares * 400), torch.rand(2000, 400, generator=_source(1)))
    assert hidden.float().mean().item() == pytest.approx(2 / math.pi, abs=0.02)
    assert hidden.float().mean(dim=0).std() < 0.02


@torch.no_grad()
def test_the_estimate_of_an_image_depends_on_its_own_seed():
    prior, codes, seeds = _random(CodeSpec(((4, 4),), 2)), torch.randint(2, (7, 16)), torch.arange(7)
    together = prior.nll(codes, None, seeds)
    apart = torch.cat([prior.nll(*part) for part in ((codes[:4], None, seeds[:4]), (codes[4:], None, seeds[4:]))])
    torch.testing.assert_close(together, apart)
    assert len(prior.nll(codes[:1].expand(7, -1), None, seeds).unique()) > 3


def _exact_bounds(prior):
    """−E log p over all orders of reading, by hand, for each of the eight sequences."""
    sequences = torch.tensor(list(product(range(2), repeat=3)))
    total = torch.zeros(8)
    orders = list(permutations(range(3)))
    for order in orders:
        for step, position in enumerate(order):
            hidden = torch.tensor([[p in order[step:] for p in range(3)]]).expand(8, -1)
            logits = prior.logits(sequences, hidden, torch.zeros(8, dtype=torch.int64))[:, position]
            total += torch.nn.functional.cross_entropy(logits, sequences[:, position], reduction="none")
    return sequences, total / len(orders)


@torch.no_grad()
def test_the_estimate_is_the_any_order_bound():
    prior = _random()
    sequences, exact = _exact_bounds(prior)
    draws = 4000
    estimates = prior.nll(sequences.repeat(draws, 1), None, torch.arange(8 * draws)).view(draws, 8)
    error = estimates.std(dim=0) / draws**0.5
    assert ((estimates.mean(dim=0) - exact).abs() < 4 * error).all()
    # A bound of −log p for each sequence: the probabilities it leaves sum to at most 1, so that its mean over any
    # distribution is at least the entropy.
    assert (-exact).exp().sum() <= 1
    assert exact.mean() >= math.log(8)


@pytest.mark.parametrize("steps", [1, 3, 10, 40])
def test_any_number_of_steps_fills_everything(steps):
    prior = _fixed(steps=steps, top_k=1)
    sample = prior.sample(None, Draws([_source(i) for i in range(3)]))
    assert (sample == 3).all()


def test_an_image_is_filled_by_its_own_schedule():
    """What is left hidden after each step is ⌊cos(πt/2) · n⌋ for each image's own n, and at least one code fewer.

    By hand, with t a share of min(4, n) steps: 3 codes leave ⌊3 cos 30°⌋ = 2, ⌊3 cos 60°⌋ = 1, 0; 6 codes leave
    ⌊6 cos 22.5°⌋ = 5, ⌊6 cos 45°⌋ = 4, ⌊6 cos 67.5°⌋ = 2, 0.
    """
    prior = _fixed(steps=4)
    seen = []
    predicted = prior.logits
    prior.logits = lambda codes, hidden, conditions: (
        seen.append(hidden.sum(dim=1)) or predicted(codes, hidden, conditions)
    )
    unknown = torch.arange(6) < torch.tensor([[0], [1], [3], [6]])
    prior.sample(None, Draws([_source(i) for i in range(4)]), torch.zeros(4, 6, dtype=torch.int64), unknown)
    assert torch.stack(seen).tolist() == [[0, 1, 3, 6], [0, 0, 2, 5], [0, 0, 1, 4], [0, 0, 0, 2]]


def test_no_pass_is_wasted():
    """The official schedule settles at least one code a step: 16 codes take 16 passes where 40 are allowed."""
    prior = MaskedPrior(CodeSpec(((4, 4),), 4), width=8, depth=1, heads=2, steps=40)
    seen = []
    logits = prior.logits
    prior.logits = lambda codes, hidden, conditions: (
        seen.append(hidden.sum().item()) or logits(codes, hidden, conditions)
    )
    prior.sample(None, Draws([_source()]))
    assert seen == list(range(16, 0, -1))


def test_the_surest_codes_are_kept_first():
    """Without noise, the first position is almost sure and the second is a guess: the second is drawn again."""
    prior = MaskedPrior(CodeSpec(((1, 1), (1, 1)), 4), width=8, depth=1, heads=2, steps=2, choice_temperature=0.0)
    for head, bias in zip(prior.network.heads, ([9.0, 0, 0, 0], [0.1, 0, 0, 0]), strict=True):
        torch.nn.init.zeros_(head.weight)
        head.bias.data = torch.tensor(bias)
    seen = []
    predicted = prior.logits
    prior.logits = lambda codes, hidden, conditions: seen.append(hidden) or predicted(codes, hidden, conditions)
    prior.sample(None, Draws([_source()]))
    assert [hidden[0].tolist() for hidden in seen] == [[True, True], [False, True]]


def test_the_noise_on_the_choice_is_gumbels_with_a_factor_that_falls():
    """Of three codes one is kept at the first of two steps, where half of τ is left: with the shares softmax(2c / τ).

    That is the Gumbel-max trick; c are the logarithms of the probabilities of the codes that were drawn.
    """
    options = {"steps": 2, "choice_temperature": 1.5, "top_k": 1}
    prior = MaskedPrior(CodeSpec(((1, 1), (1, 1), (1, 1)), 4), width=8, depth=1, heads=2, **options)
    biases = torch.tensor([4.0, 2.0, 0.5])
    for head, bias in zip(prior.network.heads, biases, strict=True):
        torch.nn.init.zeros_(head.weight)
        head.bias.data = torch.tensor([bias, 0, 0, 0])
    expected = torch.softmax(2 * (biases - torch.log(biases.exp() + 3)) / 1.5, dim=0)
    seen = []
    predicted = prior.logits
    prior.logits = lambda codes, hidden, conditions: seen.append(hidden) or predicted(codes, hidden, conditions)
    prior.sample(None, Draws([_source(i) for i in range(2000)]))
    kept = ~seen[1]
    assert (kept.sum(dim=1) == 1).all()
    assert ((kept.float().mean(dim=0) - expected).abs() < 4 * (expected * (1 - expected) / 2000).sqrt()).all()


@pytest.mark.parametrize("wrong", [{"label_smoothing": 1.0}, {"steps": 0}, {"choice_temperature": -1.0}])
def test_numbers_out_of_range(wrong):
    with pytest.raises(UserError, match="must be"):
        _fixed(**wrong)


def test_given_codes_are_never_hidden():
    """Of codes of which one is left to draw the bound is the likelihood itself, given the other."""
    torch.manual_seed(0)
    exact = {"dropout": 0.0, "label_smoothing": 0.0}
    prior = MaskedPrior(CodeSpec(((1, 1), (1, 1)), 3, given=1), width=16, depth=1, heads=2, **exact)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    codes = torch.tensor(list(product(range(3), repeat=2)))
    hidden = torch.tensor([False, True]).expand(9, 2)
    with torch.no_grad():
        logits = prior.logits(codes, hidden, torch.zeros(9, dtype=torch.int64))[:, 1]
        expected = -logits.log_softmax(1)[torch.arange(9), codes[:, 1]]
        assert expected.std() > 0.1
        torch.testing.assert_close(prior.nll(codes, None, torch.arange(9)), expected)
        assert prior.loss(codes, None, _source(), 0).item() == pytest.approx(expected.mean().item(), rel=1e-5)
