"""How losses build the frozen networks by which they compare images, at their first use."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def building_frozen() -> Iterator[None]:
    """Within it a network is built as if there were no training or validation around it.

    Its weights are float32, whatever `trainer.precision` makes of new tensors. They can pass gradients later, which
    those made in inference mode, where validation runs, could not. Weights that are drawn before they are filled do not
    advance training's random numbers.
    """
    before = torch.get_default_dtype()
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(before)
