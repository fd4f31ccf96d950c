"""The quantizers with a learned codebook: gradient and EMA."""

import copy
import math

import pytest
import torch

from gen_experiments import randomness
from gen_experiments.errors import UserError
from gen_experiments.quantizers.ema import EMAQuantizer
from gen_experiments.quantizers.estimators import RotationTrick
from gen_experiments.quantizers.gradient import GradientQuantizer

KINDS = [EMAQuantizer, GradientQuantizer]


def _latents(seed=0, batch=4):
    return torch.randn(batch, 3, 4, 4, generator=torch.Generator().manual_seed(seed))


def _state(quantizer):
    return {name: value.clone() for name, value in quantizer.state_dict().items()}


def _equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(params=KINDS)
def kind(request):
    torch.manual_seed(0)
    return request.param


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("estimator", [None, RotationTrick()])
def test_shapes_values_and_decoding(kind, cosine, estimator):
    quantizer = kind(8, 3, cosine=cosine, estimator=estimator)
    quantizer(_latents())
    quantized = quantizer.eval()(_latents(1))
    assert quantized.values.shape == (4, 3, 4, 4)
    assert quantized.indices.shape == (4, 4, 4)
    assert quantized.indices.dtype == torch.int64
    assert torch.equal(quantizer.decode(quantized.indices), quantized.values)


@pytest.mark.parametrize("cosine", [False, True])
def test_codes_encode_to_themselves(kind, cosine):
    quantizer = kind(8, 3, cosine=cosine)
    quantizer(_latents())
    indices = torch.arange(8).reshape(1, 2, 4)
    assert torch.equal(quantizer.eval()(quantizer.decode(indices)).indices, indices)


def test_gradient_of_the_values_is_straight_through(kind):
    z = _latents().requires_grad_()
    kind(8, 3)(z).values.sum().backward()
    assert torch.equal(z.grad, torch.ones_like(z))


def test_commitment_weighs_the_term_of_the_latents():
    z = torch.tensor([1.0, 3.0]).reshape(1, 2, 1, 1).requires_grad_()
    quantizer = GradientQuantizer(1, 2, commitment=0.5, kmeans_start=False, revive_below=0)
    quantizer.load_state_dict({**quantizer.state_dict(), "codebook": torch.tensor([[0.0, 1.0]])})
    loss = quantizer(z).loss
    loss.backward()
    # Squares 1 and 4 have the mean 2.5; their derivatives are ±2·difference / 2 elements.
    assert loss.item() == pytest.approx(2.5 + 0.5 * 2.5)
    assert z.grad.flatten().tolist() == pytest.approx([0.5 * 1.0, 0.5 * 2.0])
    assert quantizer.codebook.grad.flatten().tolist() == pytest.approx([-1.0, -2.0])


def test_ema_loss_is_the_commitment():
    z = torch.tensor([1.0, 3.0]).reshape(1, 2, 1, 1).requires_grad_()
    quantizer = EMAQuantizer(1, 2, commitment=0.5, kmeans_start=False, revive_below=0)
    quantizer.codebook.copy_(torch.tensor([[0.0, 1.0]]))
    loss = quantizer(z).loss
    loss.backward()
    assert loss.item() == pytest.approx(0.5 * 2.5)
    assert z.grad.flatten().tolist() == pytest.approx([0.5, 1.0])


def test_hits_of_a_codebook_learned_by_gradient_are_averaged_over_100_steps():
    quantizer = GradientQuantizer(4, 2, kmeans_start=False, revive_below=0).train()
    counts = torch.bincount(quantizer(torch.randn(3, 2, 2, 2)).indices.flatten(), minlength=4)
    torch.testing.assert_close(quantizer.hits, 0.99 + 0.01 * counts)


def test_ema_step_by_hand():
    quantizer = EMAQuantizer(2, 1, decay=0.9, kmeans_start=False, revive_below=0, eps=0.5)
    quantizer.codebook.copy_(torch.tensor([[0.0], [10.0]]))
    quantizer.sums.copy_(torch.tensor([[0.0], [20.0]]))
    quantizer.hits.copy_(torch.tensor([1.0, 2.0]))
    quantized = quantizer(torch.tensor([1.0, 2.0, 9.0]).reshape(1, 1, 1, 3))
    assert quantized.values.flatten().tolist() == [0.0, 0.0, 10.0]
    hits = [0.9 * 1 + 0.1 * 2, 0.9 * 2 + 0.1 * 1]
    sums = [0.9 * 0 + 0.1 * 3, 0.9 * 20 + 0.1 * 9]
    smoothed = [(n + 0.5) / (sum(hits) + 2 * 0.5) * sum(hits) for n in hits]
    assert quantizer.hits.tolist() == pytest.approx(hits)
    assert quantizer.sums.flatten().tolist() == pytest.approx(sums)
    assert quantizer.codebook.flatten().tolist() == pytest.approx([m / n for m, n in zip(sums, smoothed, strict=True)])


def test_the_first_training_batch_starts_the_codes(kind):
    quantizer = kind(2, 1)
    untouched = _state(quantizer)
    z = torch.tensor([0.0, 1.0, 2.0, 10.0, 12.0]).reshape(1, 1, 1, 5)
    quantizer.eval()(z)
    assert _equal(_state(quantizer), untouched)
    values = quantizer.train()(z).values
    assert values.flatten().tolist() == [1.0, 1.0, 1.0, 11.0, 11.0]
    assert sorted(quantizer.hits.tolist()) == pytest.approx([2.0, 3.0])
    # The averages of the first batch are the averages it starts from.
    assert sorted(quantizer.codes().flatten().tolist()) == pytest.approx([1.0, 11.0], rel=1e-4)


def test_a_code_without_latents_at_the_start_stays_among_the_latents(kind):
    quantizer = kind(4, 1)
    quantizer(torch.tensor([0.0, 0.0, 10.0, 10.0]).reshape(1, 1, 1, 4))
    # One hit, so that the first batches do not take the code for dead, or its average for nothing.
    assert quantizer.hits.min().item() == pytest.approx(0.99)
    assert {round(code, 3) for code in quantizer.codes().flatten().tolist()} <= {0.0, 10.0}


def test_a_loaded_codebook_is_not_started_again(kind):
    trained = kind(8, 3, revive_below=0)
    trained(_latents())
    loaded = kind(8, 3, revive_below=0)
    loaded.load_state_dict(trained.state_dict())
    expected = copy.deepcopy(trained)(_latents(1))
    assert torch.equal(loaded(_latents(1)).indices, expected.indices)
    assert loaded.steps == 2


def test_a_resumed_quantizer_goes_on_as_if_it_had_not_stopped(kind):
    straight = kind(16, 3, revive_below=0.5)
    for seed in range(3):
        straight(_latents(seed))
    resumed = kind(16, 3, revive_below=0.5)
    resumed.load_state_dict(straight.state_dict())
    for quantizer in (straight, resumed):
        quantizer(_latents(3))
    assert _equal(_state(straight), _state(resumed))


def test_evaluation_changes_nothing(kind):
    quantizer = kind(8, 3, revive_below=0.9)
    quantizer(_latents())
    before = _state(quantizer)
    quantizer.eval()(_latents(1))
    assert _equal(_state(quantizer), before)


def test_a_dead_code_is_put_onto_a_latent_and_is_used(kind, monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "7")
    quantizer = kind(3, 1, kmeans_start=False, revive_below=0.5)
    with torch.no_grad():
        quantizer.codes().copy_(torch.tensor([[0.0], [50.0], [-100.0]]))
    quantizer.hits.copy_(torch.tensor([3.0, 3.0, 0.1]))
    quantizer.steps = 1
    z = torch.tensor([1.0, 2.0, 3.0, 48.0, 49.0, 51.0]).reshape(1, 1, 1, 6)
    quantized = quantizer(z)
    used = quantized.indices.flatten() == 2
    assert used.any()
    assert (quantized.values.flatten()[used] == z.flatten()[used]).any()
    # Which latent it is depends on the run's seed and the step alone.
    rng = randomness.generator("cpu", 7, randomness.Stream.REVIVAL, 1)
    assert quantized.values.flatten()[used][0] == z.flatten()[torch.randperm(6, generator=rng)[2]]
    # It counts as used as often as a code must be to stay, a share of 0.5 of two hits, until it is used itself.
    assert quantizer.hits[2].item() == pytest.approx(0.99 * 1 + 0.01 * int(used.sum()))


def test_revived_codes_are_counted_until_they_are_asked_for(kind):
    quantizer = kind(8, 3, revive_below=1e6)  # from the second batch on, all codes are dead
    for seed in range(3):
        quantizer(_latents(seed))
    # A count of this process, which a checkpoint of a run holds beside the weights.
    assert "revived" not in quantizer.state_dict()
    assert [int(quantizer.take_revived()) for _ in range(2)] == [16, 0]


def test_codes_without_a_start_from_the_data_are_not_dead_before_they_were_used(kind):
    quantizer = kind(2, 1, kmeans_start=False, revive_below=0.1)
    with torch.no_grad():
        quantizer.codes().copy_(torch.tensor([[0.0], [5.0]]))
    if kind is EMAQuantizer:
        quantizer.sums.copy_(quantizer.codebook)
    # 64 latents make 32 hits of each code, of which a tenth is more than the one that codes begin with.
    z = torch.tensor([1.0, 4.0]).repeat(32).reshape(1, 1, 8, 8)
    assert quantizer(z).values.unique().tolist() == [0.0, 5.0]
    assert quantizer.hits.tolist() == pytest.approx([32.0, 32.0])
    assert quantizer.take_revived() == 0
    if kind is EMAQuantizer:
        # Weighed as 32 hits a step, as the batch: 0.99 · 0 + 0.01 · 1 and 0.99 · 5 + 0.01 · 4.
        assert quantizer.codebook.flatten().tolist() == pytest.approx([0.01, 4.99], abs=1e-5)


def test_online_clustering_draws_codes_to_their_nearest_latents_the_more_the_less_they_are_used(kind):
    quantizer = kind(2, 1, kmeans_start=False, online_clustering=True, commitment=0)
    with torch.no_grad():
        quantizer.codes().copy_(torch.tensor([[0.0], [50.0]]))
    used = 1e-4
    quantizer.hits.copy_(torch.tensor([4.0, 4.0 * used / 2]))
    if kind is EMAQuantizer:
        quantizer.sums.copy_(quantizer.codebook * quantizer.hits[:, None])
    values = quantizer(torch.tensor([1.0, 2.0, 3.0, 20.0]).reshape(1, 1, 1, 4)).values.flatten().tolist()
    share = math.exp(-10 * used / 0.01 - 1e-3)
    assert values == pytest.approx([0.0, 0.0, 0.0, 50 * (1 - share) + 20 * share])
    if kind is EMAQuantizer:
        # One step of the averages later, from the same place.
        assert quantizer.codebook[1].item() == pytest.approx(20, abs=0.5)


@pytest.mark.parametrize("estimator", [None, RotationTrick()])
def test_bfloat16_latents_are_looked_up_in_float32(kind, estimator):
    quantizer = kind(32, 3, estimator=estimator)
    quantizer(_latents())
    quantizer.eval()
    z = _latents(1).bfloat16()
    expected = quantizer(z.float())
    with torch.autocast("cpu", torch.bfloat16):
        quantized = quantizer(z)
    assert quantized.values.dtype == torch.bfloat16
    assert quantized.loss.dtype == torch.float32
    assert torch.equal(quantized.indices, expected.indices)
    assert torch.equal(quantized.values, expected.values.bfloat16())
    assert torch.equal(quantized.loss, expected.loss)


@pytest.mark.parametrize("wrong", [{"num_codes": 0}, {"dim": 0}, {"decay": 1.0}, {"revive_below": -1.0}])
def test_senseless_numbers_are_refused(wrong):
    with pytest.raises(UserError):
        EMAQuantizer(**wrong)
