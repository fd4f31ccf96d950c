"""Collectives that do nothing on a single process.

Every call looks for the process group anew: a module may be built before it exists.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping

import torch
import torch.distributed as dist
from torch import Tensor


def is_distributed() -> bool:
    """Returns whether a process group of more than one process is up."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def world_size() -> int:
    """Returns the number of processes; 1 without a process group."""
    return dist.get_world_size() if is_distributed() else 1


def rank() -> int:
    """Returns this process's number in [0, world_size)."""
    return dist.get_rank() if is_distributed() else 0


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """Returns the sum over all processes, as a new tensor without gradient; on a single process `tensor` itself."""
    if not is_distributed():
        return tensor
    total = tensor.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


def means(values: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Returns the mean over all processes of each scalar, as float32 scalars.

    Args:
        values: scalars by name.
        device: of the process.

    All processes must have the same names in the same order. What is the same on all stays so to the last bit.
    """
    if not values or not is_distributed():
        return {name: value.detach().float() for name, value in values.items()}
    stacked = torch.stack([value.detach().to(device, torch.float64) for value in values.values()])
    return dict(zip(values, (all_reduce_sum(stacked) / world_size()).float(), strict=True))


def all_gather_rows(tensor: Tensor) -> Tensor:
    """Concatenates (N, ...) tensors of equal shape over the processes, in rank order, to (world_size * N, ...)."""
    if not is_distributed():
        return tensor
    tensor = tensor.detach().contiguous()
    gathered = [torch.empty_like(tensor) for _ in range(world_size())]
    dist.all_gather(gathered, tensor)
    return torch.cat(gathered)


def all_gather_uneven(tensor: Tensor) -> Tensor:
    """Concatenates (N, ...) tensors over the processes, in rank order; N may differ from process to process."""
    if not is_distributed():
        return tensor
    counts = all_gather_rows(torch.tensor([len(tensor)], device=tensor.device)).tolist()
    padded = tensor.new_zeros((max(counts), *tensor.shape[1:]))
    padded[: len(tensor)] = tensor
    parts = all_gather_rows(padded).split(max(counts)) if max(counts) else [tensor] * len(counts)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def gather_in_order(rows: list[Tensor], places: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Returns all rows that the processes have and their places, in the order of the places.

    Args:
        rows: (N, ...) tensors; at least one, which may be empty.
        places: as many (N,) int64 tensors, on the same device: where each row belongs.
    """
    gathered, order = all_gather_uneven(torch.cat(rows)), all_gather_uneven(torch.cat(places))
    ranked = order.argsort()
    return gathered[ranked], order[ranked]


def own_parts(total: int, size: int, before_each: Callable[[], None] = lambda: None) -> Iterator[range]:
    """Yields this process's share of the ranges of at most `size` numbers that make up 0 ... `total` - 1.

    Args:
        total: the number of items of all processes.
        size: of a range.
        before_each: called before each range that all processes have, so that it may wait for them.
    """
    starts = range(0, total, size)
    for number, start in enumerate(starts[rank() :: world_size()]):
        if number < len(starts) // world_size():
            before_each()
        yield range(start, min(start + size, total))


def everywhere(here: bool, device: torch.device) -> bool:
    """Returns whether all processes have found something, so that they go the same way; `device` is the process's."""
    return int(all_reduce_sum(torch.tensor(int(here), device=device))) == world_size()


def warn_once(message: str, stacklevel: int = 2) -> None:
    """Warns on the first process alone; `stacklevel` counts from the caller, as for `warnings.warn`."""
    if rank() == 0:
        warnings.warn(message, stacklevel=stacklevel + 1)


def barrier() -> None:
    """Waits for every process."""
    if is_distributed():
        dist.barrier()
