"""Random numbers as pure functions of a key.

Nothing here has a state to save: a resumed run draws the same for (seed, step, purpose). Every process makes the whole
draw for a global batch and keeps its own rows, so that N processes of B/N images see the numbers that one process of B
images sees.
"""

import enum
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from gen_experiments import distributed


@enum.unique
class Stream(enum.IntEnum):
    """The streams of random numbers: a key's first word or, in training, the first after the seed of the run.

    The numbers are part of what a seed means: another number here gives other images, splits and samples.
    """

    GLOBAL = 1  # the global generators, of an iteration
    NOISE = 2  # of a training iteration
    SAMPLE = 3  # of a generated image
    EVALUATION = 4  # of a prior's validation
    AUGMENTATION = 5  # of what a discriminator sees
    SHIFT = 6  # of a classifier's training images
    START = 11  # of k-means, from which a codebook starts
    REVIVAL = 12  # of codes that were not used
    DROPOUT = 13  # of the levels of a residual quantizer
    ORDER = 21  # of an epoch's images
    MIRROR = 22  # of horizontal flips
    SPLIT = 23  # of images that are held out
    CHANGE = 24  # seeds of crops and damage, of an image in an epoch
    PART = 25  # of a kind of damage
    CHOICE = 26  # of one of several kinds of damage
    SHUFFLE = 27  # of the partners of unpaired pictures
    HOLD = 28  # of unpaired pictures that are held out
    DAMAGE = 29  # of the pictures of `damage` and `restore`
    STYLE = 30  # of translations without a given style
    CROP = 31  # of the place of a crop
    DRAW = 41  # of a sweep's sampler


def announced_seed() -> int | None:
    """Returns the seed that `lightning.seed_everything` announced to all processes of this run; None without one."""
    seed = os.environ.get("PL_GLOBAL_SEED")
    return None if seed is None else int(seed)


def run_seed() -> int:
    """Returns the announced seed; 0 without one."""
    return announced_seed() or 0


def key_seed(*key: int) -> int:
    """Mixes non-negative integers into one 63-bit seed.

    Keys of one length that differ anywhere give unrelated seeds; zeros at the end of a key change nothing.
    """
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)


def generator(device: torch.device | str, *key: int) -> torch.Generator:
    """Returns a generator on `device` at the start of the stream that `key` names.

    On CPUs torch takes 32 bits of a seed, so that two of 100,000 keys may name one stream.
    """
    return torch.Generator(device).manual_seed(key_seed(*key))


def randn_rows(rows: int, *shape: int, rng: torch.Generator) -> Tensor:
    """Returns this process's `rows` of a standard normal (world_size * rows, *shape) float32 draw from `rng`."""
    return _own_rows(torch.randn(_global(rows), *shape, generator=rng, device=rng.device, dtype=torch.float32), rows)


def rand_rows(rows: int, *shape: int, rng: torch.Generator) -> Tensor:
    """Returns this process's `rows` of a uniform [0, 1) (world_size * rows, *shape) float32 draw from `rng`."""
    return _own_rows(torch.rand(_global(rows), *shape, generator=rng, device=rng.device, dtype=torch.float32), rows)


def randint_rows(rows: int, high: int, rng: torch.Generator) -> Tensor:
    """Returns this process's `rows` of a uniform int64 draw in [0, high) from `rng`: shape (rows,)."""
    return _own_rows(torch.randint(high, (_global(rows),), generator=rng, device=rng.device), rows)


@contextmanager
def rows_of_part(number: int, count: int, rng: torch.Generator) -> Iterator[None]:
    """Within it a process's rows are those of part `number` of the `count` equal parts of its batch.

    Each part makes the draws of the whole batch and keeps its rows, so that a batch in parts sees the numbers of the
    batch at once. `rng` is in the same state for each part, and after the last one as after the batch at once.
    """
    global _part
    before, _part = rng.get_state(), (number, count)
    try:
        yield
    finally:
        _part = WHOLE
    if number < count - 1:
        rng.set_state(before)


WHOLE = 0, 1
_part = WHOLE


def _global(rows: int) -> int:
    return distributed.world_size() * _part[1] * rows


def _own_rows(values: Tensor, rows: int) -> Tensor:
    first = (distributed.rank() * _part[1] + _part[0]) * rows
    return values[first : first + rows]


def seeds_of(numbers: Tensor, *key: int) -> Tensor:
    """Returns a seed for each number: (N,) int64 in, (N,) int64 out, on the same device; see `uniform_of`."""
    base = key_seed(*key)
    return _hash(_hash(numbers) + base)


def uniform_of(seeds: Tensor, *shape: int) -> Tensor:
    """Returns uniform [0, 1) numbers; each row depends on its seed alone.

    They depend neither on the device nor on the batch nor on the number of processes: they are the upper 24 bits of a
    hash of seed and position (SplitMix64 of Steele, Lea and Flood 2014).

    Args:
        seeds: (B,) int64.
        shape: of a row.

    Returns:
        (B, *shape) float32.
    """
    places = torch.arange(1, math.prod(shape) + 1, device=seeds.device) * _as_signed(0x9E3779B97F4A7C15)
    hashed = _hash(seeds[:, None] + places)
    return (_shift_right(hashed, 40).float() * 2**-24).reshape(len(seeds), *shape)


def normal_of(seeds: Tensor, *shape: int) -> Tensor:
    """Returns standard normal numbers (B, *shape), made from `uniform_of` by the Box-Muller transform."""
    first, second = uniform_of(seeds, 2, *shape).unbind(1)
    return (-2 * torch.log1p(-first)).sqrt() * torch.cos(2 * math.pi * second)


def _hash(values: Tensor) -> Tensor:
    values = (values ^ _shift_right(values, 30)) * _as_signed(0xBF58476D1CE4E5B9)
    values = (values ^ _shift_right(values, 27)) * _as_signed(0x94D049BB133111EB)
    return values ^ _shift_right(values, 31)


def _shift_right(values: Tensor, bits: int) -> Tensor:
    """Shifts int64 values to the right as unsigned numbers."""
    return (values >> bits) & ((1 << (64 - bits)) - 1)


def _as_signed(value: int) -> int:
    """Returns the int64 with the same 64 bits; products of both wrap around alike."""
    return value - (1 << 64) if value >> 63 else value
