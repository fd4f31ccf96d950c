"""The fused search: its answers under Triton's interpreter, and that it compiles for GPUs."""

import os
import subprocess
import sys

import pytest
import torch

from gen_experiments.quantizers.nearest import chunked_nearest, fused_search

pytest.importorskip("triton", reason="Triton is not installed")

# The interpreter is chosen when Triton is imported: one process for all cases.
SEARCH = """
import sys, torch
from gen_experiments.quantizers.nearest import fused_search
cases = torch.load(sys.argv[1])
found = {name: fused_search(z.device, z.shape[1])(z, codes) for name, (z, codes) in cases.items()}
torch.save(found, sys.argv[2])
"""
WITHOUT = """
import sys
sys.modules["triton"] = None
import torch, warnings
from gen_experiments.quantizers.nearest import fused_search
warnings.simplefilter("error")
assert fused_search(torch.device("cpu"), 4) is None
"""


def normal(rows, codes, width):
    generator = torch.Generator().manual_seed(rows + codes + width)
    return torch.randn(rows, width, generator=generator), torch.randn(codes, width, generator=generator)


def close():
    """Codes too close for the products of bfloat16 and TF32, sought by themselves."""
    table = torch.linspace(1.0, 2.28, 256)[:, None].repeat(1, 8)
    return table, table


def copied():
    """Each code four times, of multiples of 1/8: whatever the order of the sums, copies are equally near to the bit."""
    z, codes = ((side * 8).round() / 8 for side in normal(70, 50, 24))
    return z, codes.repeat(4, 1)


def equal():
    """Whole numbers, many of them equally near, and codes whose mean is 0 to the bit."""
    z, codes = (side.round() for side in normal(300, 200, 3))
    return z, torch.cat([codes, -codes])


SIZES = [
    (1, 1, 1),
    (3, 200, 64),
    (150, 7, 5),
    (64, 64, 16),
    (130, 257, 24),
    (70, 129, 100),
    (65, 66, 256),
    (2**15 + 5, 3, 5),
]
CASES = {
    **{"x".join(map(str, size)): normal(*size) for size in SIZES},
    "one code": normal(70, 1, 24),
    "far codes": (normal(70, 7, 24)[0], 10 + normal(70, 7, 24)[1]),
    "copied codes": copied(),
    "equal distances": equal(),
    "close codes": close(),
    "strided": (normal(24, 70, 70)[0].t(), normal(70, 90, 48)[1][:, ::2]),
    "bfloat16": tuple(side.bfloat16().float() for side in normal(70, 100, 64)),
    "half": tuple(side.half().float() for side in normal(70, 100, 64)),
}
NOT_FINITE = {str(value): (torch.full((70, 24), value), normal(1, 70, 24)[1]) for value in (torch.inf, torch.nan)}


def run(*arguments, **environment):
    environment = os.environ | environment
    return subprocess.run([sys.executable, "-c", *arguments], env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    cases, results = (tmp_path_factory.mktemp("interpreted") / name for name in ("cases.pt", "results.pt"))
    torch.save(CASES | NOT_FINITE, cases)
    process = run(SEARCH, str(cases), str(results), TRITON_INTERPRET="1")
    assert process.returncode == 0, process.stderr
    return torch.load(results)


@pytest.mark.parametrize("case", CASES)
def test_it_finds_what_the_chunked_search_finds(found, case):
    assert found[case].dtype == torch.int64
    assert torch.equal(found[case], chunked_nearest(*CASES[case]))


def test_of_equals_the_first_is_found(found):
    z, codes = (side.double() for side in CASES["equal distances"])
    distances = (z[:, None] - codes).square().sum(2)
    assert (distances == distances.amin(1, keepdim=True)).sum(1).max() > 1
    assert torch.equal(found["equal distances"], distances.argmin(1))
    assert found["copied codes"].max() < 50


def test_close_codes_are_told_apart(found):
    assert torch.equal(found["close codes"], torch.arange(256))


@pytest.mark.parametrize("case", NOT_FINITE)
def test_latents_that_are_not_finite_get_some_code(found, case):
    assert found[case].min() >= 0
    assert found[case].max() < 70


@pytest.mark.parametrize("precision", ["ieee", "tf32x3"])
@pytest.mark.parametrize("rows", [64, 128])
def test_it_compiles_for_gpus(monkeypatch, tmp_path, precision, rows):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from triton import compile
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from gen_experiments.quantizers.nearest_triton import CHANNELS, CODES, _search

    constants = {
        "width": 100,
        "row_block": rows,
        "code_block": CODES,
        "channel_block": CHANNELS,
        "precision": precision,
    }
    pointers = {"z": "*fp32", "codes": "*fp32", "half_norms": "*fp32", "found": "*i64"}
    types = pointers | {"num_rows": "i32", "num_codes": "i32"} | dict.fromkeys(constants, "constexpr")
    source = ASTSource(_search, types, constants, {(i,): [["tt.divisibility", 16]] for i in range(len(pointers))})
    options = {"num_warps": 4, "enable_fp_fusion": True}
    kernel = compile(source, target=GPUTarget("cuda", 80, 32), options=options)
    # What every card gives a program without being asked for more.
    assert kernel.metadata.shared <= 48 * 1024


def test_without_triton_there_is_none_and_nothing_is_said():
    process = run(WITHOUT)
    assert process.returncode == 0, process.stderr


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("case", CASES)
def test_a_gpu_finds_what_the_chunked_search_finds_on_the_cpu(case):
    z, codes = (side.cuda() for side in CASES[case])
    fused = fused_search(z.device, z.shape[1])
    assert fused is not None
    assert torch.equal(fused(z, codes).cpu(), chunked_nearest(*CASES[case]))
