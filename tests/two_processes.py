"""Runs a function in two real gloo processes."""

import faulthandler
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

PATIENCE = 240.0  # seconds, on a machine that does much else


def run(function: Callable[..., Any], folder: Path, *arguments: Any, patience: float = PATIENCE) -> list[Any]:
    """What `function(*arguments)`, a module-level function, returns in process 0 and in process 1.

    Processes that wait for each other fail after `patience` seconds, and write where they waited to stderr.
    """
    context = mp.spawn(_work, args=(function, str(folder), arguments, patience), nprocs=2, join=False)
    end = time.monotonic() + patience + 60  # a process that does not get as far as `_work` cannot end itself
    while not context.join(timeout=1):
        if time.monotonic() > end:
            for process in context.processes:
                process.kill()
            raise TimeoutError(f"the processes of {function.__name__} did not end")
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def _work(rank: int, function: Callable[..., Any], folder: str, arguments: tuple[Any, ...], patience: float) -> None:
    faulthandler.dump_traceback_later(patience, exit=True)
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2, timeout=timedelta(seconds=2 * patience)
    )
    try:
        torch.save(function(*arguments), f"{folder}/{rank}.pt")
    finally:
        dist.destroy_process_group()
        faulthandler.cancel_dump_traceback_later()
