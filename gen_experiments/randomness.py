"""Random numbers as pure functions of a key.

Nothing here has a state to save: the draw for (seed, step, purpose) is the same in a run that was resumed. A draw for a
global batch is made whole on every process, and each keeps its rows: N processes of B/N images see the numbers that one
process of B images sees.
"""

import os

import numpy as np
import torch
from torch import Tensor

from gen_experiments import distributed


def run_seed() -> int:
    """Returns the seed that `lightning.seed_everything` announced to all processes of this run; 0 without one."""
    return int(os.environ.get("PL_GLOBAL_SEED", "0"))


def key_seed(*key: int) -> int:
    """Mixes non-negative integers into one 63-bit seed; keys that differ anywhere give unrelated seeds."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)


def generator(device: torch.device | str, *key: int) -> torch.Generator:
    """Returns a generator on `device` at the start of the stream that `key` names."""
    return torch.Generator(device).manual_seed(key_seed(*key))


def randn_rows(rows: int, *shape: int, source: torch.Generator) -> Tensor:
    """Returns this process's `rows` of a standard normal (world_size * rows, *shape) float32 draw from `source`."""
    return _own_rows(
        torch.randn(_global(rows), *shape, generator=source, device=source.device, dtype=torch.float32), rows
    )


def rand_rows(rows: int, *shape: int, source: torch.Generator) -> Tensor:
    """Returns this process's `rows` of a uniform [0, 1) (world_size * rows, *shape) float32 draw from `source`."""
    return _own_rows(
        torch.rand(_global(rows), *shape, generator=source, device=source.device, dtype=torch.float32), rows
    )


def randint_rows(rows: int, high: int, source: torch.Generator) -> Tensor:
    """Returns this process's `rows` of a uniform int64 draw in [0, high) from `source`: shape (rows,)."""
    return _own_rows(torch.randint(high, (_global(rows),), generator=source, device=source.device), rows)


def _global(rows: int) -> int:
    return distributed.world_size() * rows


def _own_rows(values: Tensor, rows: int) -> Tensor:
    first = distributed.rank() * rows
    return values[first : first + rows]
