"""Runs a function in two real gloo processes."""

import faulthandler
import os
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

import forked  # noqa: F401 - what the server of both imports

PATIENCE = 240.0  # seconds, on a machine that does much else


def run(function: Callable[..., Any], folder: Path, *arguments: Any, patience: float = PATIENCE) -> list[Any]:
    """What `function(*arguments)`, a module-level function, returns in process 0 and in process 1.

    Processes that wait for each other fail after `patience` seconds, and where they waited is written to stderr.
    """
    given = (function, str(folder), arguments, patience, dict(os.environ))
    context = mp.start_processes(_work, args=given, nprocs=2, join=False, start_method="forkserver")
    end = time.monotonic() + patience + 60  # a process that does not get as far as `_work` cannot end itself
    try:
        while not context.join(timeout=0.05):
            if time.monotonic() > end:
                for process in context.processes:
                    process.kill()
                raise TimeoutError(f"the processes of {function.__name__} did not end")
    except Exception:
        for place in sorted(folder.glob("*.place")):
            print(place.read_text(), file=sys.stderr)
        raise
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def _work(
    rank: int,
    function: Callable[..., Any],
    folder: str,
    arguments: tuple[Any, ...],
    patience: float,
    environment: dict[str, str],
) -> None:
    os.environ.clear()
    os.environ.update(environment)  # of this moment: the server has that of its start
    place = open(f"{folder}/{rank}.place", "w")  # noqa: SIM115 - open as long as the process lives
    faulthandler.dump_traceback_later(patience, exit=True, file=place)
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2, timeout=timedelta(seconds=2 * patience)
    )
    try:
        torch.save(function(*arguments), f"{folder}/{rank}.pt")
    finally:
        dist.destroy_process_group()
        faulthandler.cancel_dump_traceback_later()
