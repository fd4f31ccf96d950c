"""The device and the processes of a command."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from gen_experiments.checkpoints.loading import Kind, load_model
from gen_experiments.errors import UserError
from gen_experiments.models.base import ImageModel


def chosen_device(name: str) -> torch.device:
    """Returns a device by its name; `auto` is a GPU if there is one. `auto` and `cuda` give each process its own GPU.

    Raises:
        UserError: there is no such device.
    """
    if name == "auto":
        return torch.device(f"cuda:{_local_rank()}" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"there is no device {name} here: choose auto, cpu, cuda or cuda:N") from error
    return device


def _local_rank() -> int:
    """Returns the number of this process on its machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def load_on_device(checkpoint: str, required: type[Kind], task: str, device: str) -> Kind:
    """Returns a checkpoint's model on a device; see `load_model` and `chosen_device`."""
    model = load_model(checkpoint, required, task)
    assert isinstance(model, ImageModel)
    model.to(chosen_device(device))
    return model


@contextmanager
def process_group() -> Iterator[None]:
    """Makes a group of the processes that torchrun has started.

    They wait for each other for up to a day, as one may decode a large folder for longer than torch's half an hour.
    """
    if _local_rank() < torch.cuda.device_count():
        torch.cuda.set_device(_local_rank())  # the meaning of `cuda` in this process
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=timedelta(days=1))
    try:
        yield
    finally:
        dist.destroy_process_group()
