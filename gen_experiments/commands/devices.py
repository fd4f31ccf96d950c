"""Where a command computes."""

import torch

from gen_experiments.errors import UserError


def chosen_device(name: str) -> torch.device:
    """Returns a device by its name; `auto` is a GPU where there is one.

    Raises:
        UserError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"there is no device {name} here: choose auto, cpu, cuda or cuda:N") from error
    return device
