"""The transformer over grids of codes."""

import pytest
import torch

from formula_weights import prepared
from gen_experiments import randomness
from gen_experiments.errors import UserError
from gen_experiments.networks.transformer import Attention, Block, Cache, CodeTransformer, GridPositions

GRIDS = ((2, 3), (4, 4))
LENGTH = 22


def _network(causal=False, dropout=0.0):
    """With random weights everywhere: as built, the blocks add nothing."""
    torch.manual_seed(0)
    network = CodeTransformer(GRIDS, 5, 3, width=32, depth=2, heads=4, dropout=dropout, causal=causal)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network


def _logits(network, codes, conditions, source=None):
    tokens = network.embed(codes, torch.arange(codes.shape[1]))
    return network.logits(network(tokens, conditions, source))


def _rms(x, weight=1.0):
    return x / (x.square().mean(-1, keepdim=True) + torch.finfo(x.dtype).eps).sqrt() * weight


def _attended(x, heads, causal, weights):
    """softmax(q k' / √d) v of each head, with q and k divided by their root mean square (2403.03206, section 5.3.2)."""
    q, k, v = (x @ next(weights).T + next(weights)).tensor_split(3, dim=2)
    out_weight, out_bias, q_scale, k_scale = (next(weights) for _ in range(4))
    parts = []
    for place in torch.arange(x.shape[2]).tensor_split(heads):
        scores = torch.einsum("bid,bjd->bij", _rms(q[..., place], q_scale), _rms(k[..., place], k_scale))
        if causal:
            later = torch.arange(x.shape[1])[:, None] < torch.arange(x.shape[1])
            scores = scores.masked_fill(later, -torch.inf)
        parts.append((scores / len(place) ** 0.5).softmax(2) @ v[..., place])
    return torch.cat(parts, 2) @ out_weight.T + out_bias


@pytest.mark.parametrize("causal", [False, True])
def test_logits_by_the_papers_formulas(causal):
    """Embeddings, then x + α · F((1 + γ) rms(x) + β) of DiT (2212.09748, section 3.2) with SwiGLU (2002.05202, (6))."""
    network, weights = prepared(CodeTransformer(GRIDS, 5, 3, width=8, depth=2, heads=2, dropout=0.0, causal=causal))
    codes, conditions = torch.arange(2 * LENGTH).reshape(2, LENGTH) % 5, torch.tensor([2, 0])
    level, row, column, tokens, condition = (next(weights) for _ in range(5))
    x = torch.empty(2, LENGTH, 8, dtype=torch.float64)
    for i in range(LENGTH):
        # 2x3 codes, then 4x4, whose rows and columns are counted after those of the first.
        grid, y, z = (0, i // 3, i % 3) if i < 6 else (1, 2 + (i - 6) // 4, 3 + (i - 6) % 4)
        x[:, i] = tokens[5 * grid + codes[:, i]] + level[grid] + row[y] + column[z]
    c = condition[conditions][:, None]
    c = c / (1 + (-c).exp())
    for _ in range(2):
        of_attention, of_mlp = ([next(weights) for _ in range(count)] for count in (6, 4))
        b1, g1, a1, b2, g2, a2 = (c @ next(weights).T + next(weights)).tensor_split(6, dim=2)
        x = x + a1 * _attended((1 + g1) * _rms(x) + b1, 2, causal, iter(of_attention))
        gate, value = (((1 + g2) * _rms(x) + b2) @ of_mlp[0].T + of_mlp[1]).tensor_split(2, dim=2)
        x = x + a2 * ((gate / (1 + (-gate).exp()) * value) @ of_mlp[2].T + of_mlp[3])
    shift, scale = (c @ next(weights).T + next(weights)).tensor_split(2, dim=2)
    x = (1 + scale) * _rms(x) + shift
    expected = [part @ next(weights).T + next(weights) for part in (x[:, :6], x[:, 6:])]
    torch.testing.assert_close(_logits(network, codes, conditions), torch.cat(expected, 1), rtol=1e-9, atol=1e-9)


def test_a_causal_token_sees_itself_and_those_before():
    codes = torch.randint(5, (1, LENGTH))
    changed = codes.clone()
    changed[0, 10] = (codes[0, 10] + 1) % 5
    for causal in (True, False):
        network = _network(causal)
        moved = (_logits(network, changed, torch.tensor([0])) != _logits(network, codes, torch.tensor([0]))).any(-1)[0]
        assert moved[10:].all()
        assert moved[:10].any() != causal


def test_the_cache_is_the_whole_sequence():
    network, conditions = _network(causal=True), torch.tensor([0, 1])
    codes = torch.randint(5, (2, LENGTH))
    tokens = network.embed(codes, torch.arange(LENGTH))
    caches = [Cache(LENGTH) for _ in network.blocks]
    steps = [network.logits(network(tokens[:, [i]], conditions, caches=caches), first=i) for i in range(LENGTH)]
    assert torch.allclose(torch.cat(steps, dim=1), _logits(network, codes, conditions), atol=1e-4)


def test_the_condition_moves_every_logit():
    network, codes = _network(), torch.randint(5, (1, LENGTH)).expand(2, -1)
    first, second = _logits(network, codes, torch.tensor([0, 2]))
    assert (first != second).any(-1).all()


def test_a_code_means_another_thing_on_another_level():
    network = _network()
    same_place = torch.tensor([0, 6])
    vectors = network.embed(torch.tensor([[1, 1]]), same_place) - network.positions(same_place)
    assert not torch.allclose(vectors[0, 0], vectors[0, 1])
    unknown = network.embed(torch.tensor([[5, 5]]), same_place) - network.positions(same_place)
    assert torch.allclose(unknown[0, 0], unknown[0, 1], atol=1e-6)


@pytest.mark.parametrize("grids", [((4, 4),), ((8, 8),) * 3, ((4, 4), (8, 8)), ((32, 32),), ((2, 3), (3, 2))])
def test_every_position_has_its_own_vector(grids):
    count = sum(h * w for h, w in grids)
    vectors = GridPositions(grids, 16)(torch.arange(count))
    assert vectors.shape == (count, 16)
    assert len(vectors.unique(dim=0)) == count


def test_positions_are_level_plus_row_plus_column():
    vectors = GridPositions(((2, 2), (2, 2)), 8)(torch.arange(8)).view(2, 2, 2, 8)
    rows, columns, levels = vectors[0, 1] - vectors[0, 0], vectors[0, :, 1] - vectors[0, :, 0], vectors[1] - vectors[0]
    assert torch.allclose(rows[0], rows[1], atol=1e-6)
    assert torch.allclose(columns[0], columns[1], atol=1e-6)
    assert torch.allclose(levels, levels[0, 0].expand_as(levels), atol=1e-6)
    assert torch.allclose(vectors[1, 1] - vectors[1, 0], rows, atol=1e-6)


def test_dropout_is_the_sources():
    network, codes, conditions = _network(dropout=0.5), torch.randint(5, (2, LENGTH)), torch.tensor([0, 1])
    first, again, other = (_logits(network, codes, conditions, randomness.generator("cpu", s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(_logits(network.train(), codes, conditions), _logits(network.eval(), codes, conditions))


def test_dropout_keeps_the_mean():
    """Of a block that adds 1 everywhere, three quarters of what is added are left, as 4/3."""
    block = Block(width=16, heads=2, dropout=0.25, causal=False)
    with torch.no_grad():
        for weight in block.parameters():
            weight.zero_()
        block.attention.output.bias.fill_(1.0)
        block.modulation.bias[32:48] = 1.0  # the gate of attention
    added = block(torch.zeros(4, LENGTH, 16), torch.zeros(4, 1, 16), randomness.generator("cpu", 0), None)
    assert added.unique().tolist() == pytest.approx([0, 4 / 3])
    assert added.mean().item() == pytest.approx(1, abs=0.05)


def test_bf16_autocast():
    network, codes = _network(causal=True), torch.randint(5, (2, LENGTH))
    expected = _logits(network, codes, torch.tensor([0, 1]))
    with torch.autocast("cpu", torch.bfloat16):
        found = _logits(network, codes, torch.tensor([0, 1]))
    assert torch.allclose(found.float(), expected, atol=0.1 * expected.abs().max().item())


@pytest.mark.filterwarnings("error")
def test_with_weights_in_bf16_queries_and_keys_are_normalised_in_float32_by_the_fused_implementation():
    attention = Attention(16, 2, causal=False).bfloat16()
    for weights in attention.parameters():
        torch.nn.init.normal_(weights, std=0.3)
    x, before = torch.randn(2, LENGTH, 16).bfloat16(), torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        found = attention(x)
    finally:
        torch.set_warn_always(before)
    assert found.dtype == torch.bfloat16
    of_attention = {name: weight.float() for name, weight in attention.named_parameters()}
    names = ("inputs.weight", "inputs.bias", "output.weight", "output.bias", "query_norm.weight", "key_norm.weight")
    expected = _attended(x.float(), 2, False, iter(of_attention[name] for name in names))
    assert torch.allclose(found.float(), expected, atol=0.02 * expected.abs().max().item())


@pytest.mark.parametrize("wrong", [{"heads": 5}, {"depth": 0}, {"dropout": 1.0}])
def test_numbers_out_of_range(wrong):
    options = {"width": 32, "depth": 1, "heads": 4, "dropout": 0.0, "causal": True} | wrong
    with pytest.raises(UserError, match=r"heads must divide the width|must be in"):
        CodeTransformer(GRIDS, 5, 1, **options)
