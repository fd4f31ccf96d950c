"""What every quantizer promises."""

import pytest
import torch

from gen_experiments.quantizers.ema import EMAQuantizer
from gen_experiments.quantizers.fsq import FSQ
from gen_experiments.quantizers.gradient import GradientQuantizer
from gen_experiments.quantizers.lfq import LFQ
from gen_experiments.quantizers.residual import ResidualQuantizer
from gen_experiments.quantizers.simvq import SimVQ

MAKERS = {
    "ema": lambda: EMAQuantizer(16, 4),
    "cosine ema": lambda: EMAQuantizer(16, 4, cosine=True),
    "online ema": lambda: EMAQuantizer(16, 4, online_clustering=True),
    "gradient": lambda: GradientQuantizer(16, 4),
    "cosine gradient": lambda: GradientQuantizer(16, 4, cosine=True),
    "online gradient": lambda: GradientQuantizer(16, 4, online_clustering=True),
    "simvq": lambda: SimVQ(16, 4),
    "fsq": lambda: FSQ((5, 4, 3, 2)),
    "lfq": lambda: LFQ(4),
    "residual": lambda: ResidualQuantizer(lambda: EMAQuantizer(16, 4), depth=3, dropout=0.5),
}


def _latents(seed=0, dtype=torch.float32):
    return torch.randn(6, 4, 3, 5, generator=torch.Generator().manual_seed(seed)).to(dtype)


def _state(quantizer):
    return {name: value.clone() for name, value in quantizer.state_dict().items()}


@pytest.fixture(params=MAKERS)
def quantizer(request):
    """After two batches of training."""
    torch.manual_seed(0)
    quantizer = MAKERS[request.param]()
    for seed in (1, 2):
        quantizer(_latents(seed))
    return quantizer


def test_shapes_ranges_and_types(quantizer):
    quantized = quantizer(_latents())
    assert quantized.values.shape == (6, quantizer.dim, 3, 5)
    assert quantized.indices.shape == ((6, 3, 5) if quantizer.depth == 1 else (6, quantizer.depth, 3, 5))
    assert quantized.indices.dtype == torch.int64
    assert 0 <= quantized.indices.min() <= quantized.indices.max() < quantizer.codebook_size
    assert quantized.loss.shape == ()


def test_decoding_gives_the_values(quantizer):
    quantized = quantizer.eval()(_latents())
    assert torch.equal(quantizer.decode(quantized.indices), quantized.values)


def test_evaluation_changes_no_state_and_repeats_itself(quantizer):
    quantizer.eval()
    before, first = _state(quantizer), quantizer(_latents())
    second, after = quantizer(_latents()), _state(quantizer)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(first.values, second.values)


def test_gradient_reaches_latents_and_parameters(quantizer):
    z = _latents().requires_grad_()
    quantized = quantizer(z)
    (quantized.values.square().sum() + quantized.loss).backward()
    assert z.grad.isfinite().all()
    assert (z.grad != 0).any()
    assert all(parameter.grad.isfinite().all() for parameter in quantizer.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_halves_are_quantized_in_float32(quantizer, dtype):
    quantizer.eval()
    z = _latents(dtype=dtype)
    expected = quantizer(z.float())
    with torch.autocast("cpu", dtype):
        quantized = quantizer(z)
        decoded = quantizer.decode(quantized.indices)
    assert quantized.values.dtype == dtype
    assert torch.equal(quantized.indices, expected.indices)
    assert torch.equal(quantized.values, expected.values.to(dtype))
    assert torch.equal(quantized.loss, expected.loss)
    assert torch.equal(decoded, expected.values)


def test_the_state_is_loaded_strictly_and_training_goes_on(quantizer, request):
    other = MAKERS[request.node.callspec.params["quantizer"]]()
    other.load_state_dict(quantizer.state_dict())
    expected, resumed = quantizer(_latents()), other(_latents())
    assert torch.equal(expected.values, resumed.values)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in quantizer.state_dict().items())


def test_a_process_without_latents_evaluates_too(quantizer):
    quantized = quantizer.eval()(_latents()[:0])
    assert quantized.values.shape == (0, quantizer.dim, 3, 5)
    assert len(quantized.indices) == 0


@pytest.mark.parametrize("maker", MAKERS)
def test_training_under_autocast_is_that_of_float32(maker):
    torch.manual_seed(0)
    expected = MAKERS[maker]()
    torch.manual_seed(0)
    found = MAKERS[maker]()
    for seed in range(2):
        held = _latents(seed, torch.bfloat16).requires_grad_()
        exact = held.detach().float().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            quantized = found(held)
        wanted = expected(exact)
        assert torch.equal(quantized.loss, wanted.loss)
        assert torch.equal(quantized.values, wanted.values.bfloat16())
        (quantized.values.float().sum() + quantized.loss).backward()
        (wanted.values.sum() + wanted.loss).backward()
        # The latents alone are of bfloat16, and so is their gradient.
        assert torch.equal(held.grad, exact.grad.bfloat16())
    for weight, other in zip(found.parameters(), expected.parameters(), strict=True):
        assert torch.equal(weight.grad, other.grad)
    assert all(torch.equal(value, expected.state_dict()[name]) for name, value in found.state_dict().items())
