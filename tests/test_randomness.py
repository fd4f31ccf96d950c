import ast
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from gen_experiments import randomness
from gen_experiments.randomness import Stream


def test_the_same_key_gives_the_same_stream():
    first, second = (randomness.generator("cpu", 3, 5, 9) for _ in range(2))
    assert torch.equal(randomness.randn_rows(4, 2, rng=first), randomness.randn_rows(4, 2, rng=second))
    assert torch.equal(randomness.rand_rows(4, rng=first), randomness.rand_rows(4, rng=second))


@pytest.mark.parametrize("other", [(3, 5, 8), (3, 9, 5), (4, 5, 9), (3, 5, 9, 1)])
def test_keys_that_differ_anywhere_give_other_seeds(other):
    assert randomness.key_seed(3, 5, 9) != randomness.key_seed(*other)


def test_seeds_are_63_bits_wide_and_do_not_collide():
    seeds = {randomness.key_seed(0, step) for step in range(2000)}
    assert len(seeds) == 2000
    assert min(seeds) >= 0
    assert 2**62 < max(seeds) < 2**63


def test_the_global_state_is_neither_read_nor_moved():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    drawn = randomness.randn_rows(4, rng=randomness.generator("cpu", 1))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert torch.equal(randomness.randn_rows(4, rng=randomness.generator("cpu", 1)), drawn)


def test_draws_have_the_promised_shapes_and_ranges():
    source = randomness.generator("cpu", 1)
    uniform = randomness.rand_rows(1000, 3, rng=source)
    integers = randomness.randint_rows(1000, 10, rng=source)
    assert uniform.shape == (1000, 3)
    assert 0 <= uniform.min() < 0.01
    assert 0.99 < uniform.max() < 1
    assert integers.dtype == torch.int64
    assert set(integers.tolist()) == set(range(10))


def test_the_run_seed_is_what_lightning_announces(monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "17")
    assert randomness.run_seed() == 17
    monkeypatch.delenv("PL_GLOBAL_SEED")
    assert randomness.run_seed() == 0


def test_no_two_purposes_share_a_stream():
    """Two purposes of one number would draw the same numbers, and another number is another seed for what exists."""
    assert {name: int(stream) for name, stream in Stream.__members__.items()} == {
        **{"GLOBAL": 1, "NOISE": 2, "SAMPLE": 3, "EVALUATION": 4, "AUGMENTATION": 5, "SHIFT": 6},
        **{"START": 11, "REVIVAL": 12, "DROPOUT": 13},
        **{"ORDER": 21, "MIRROR": 22, "SPLIT": 23, "CHANGE": 24, "PART": 25, "CHOICE": 26},
        **{"SHUFFLE": 27, "HOLD": 28, "DAMAGE": 29, "STYLE": 30, "CROP": 31, "DRAW": 41},
    }
    assert len(set(Stream.__members__.values())) == len(Stream.__members__)


def test_each_stream_has_one_purpose():
    """Only the samples of an image have several: those of a model, and proposals for a given picture."""
    named = Counter[str]()
    for file in Path(randomness.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Stream":
                named[node.attr] += 1
    several = {"CHANGE", "SAMPLE"}
    assert {name: count for name, count in named.items() if count > 1}.keys() == several
    assert set(named) == set(Stream.__members__)


def test_a_stream_in_a_key_is_its_number():
    assert randomness.key_seed(Stream.CROP, 5) == randomness.key_seed(31, 5)
    drawn = np.random.default_rng([Stream.SPLIT, 5]).permutation(9)
    assert drawn.tolist() == np.random.default_rng([23, 5]).permutation(9).tolist()
