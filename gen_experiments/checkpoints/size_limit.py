"""Builds a model that a file describes, within the memory that the weights in the file need."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.utils._python_dispatch import TorchDispatchMode

from gen_experiments.errors import UserError

# Modules and numbers that have no weights in a file: containers, activations, constants.
FREE_MODULES, FREE_NUMBERS = 2000, 1 << 26


class _NoLargerTensor(TorchDispatchMode):
    """Refuses to make a tensor of more than `limit` numbers, before memory is allocated."""

    def __init__(self, limit: int, message: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._limit, self._message = limit, message

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if args and not any(isinstance(arg, Tensor) for arg in args):
            # torch.zeros and the like take the shape as first argument; torch.arange and others take numbers.
            sizes = args[0] if isinstance(args[0], (list, tuple)) else args
            if math.prod(max(abs(size), 1) for size in sizes if isinstance(size, (int, float))) > self._limit:
                raise UserError(self._message)
        return func(*args, **(kwargs or {}))


@contextmanager
def within_weights(state: dict[str, Tensor], message: str) -> Iterator[None]:
    """Within it, no module can be built that is much larger than its weights in a file.

    Args:
        state: the weights.
        message: one line, for the error.

    Raises:
        UserError: a module is much larger, or there are many more modules than weights.
    """
    numbers = sum(weight.numel() for weight in state.values()) + FREE_NUMBERS
    modules_left, numbers_left = 4 * len(state) + FREE_MODULES, numbers

    def count(_module: Any, _name: str, registered: Any) -> None:
        nonlocal modules_left, numbers_left
        modules_left -= 1
        numbers_left -= registered.numel() if isinstance(registered, Tensor) else 0
        if min(modules_left, numbers_left) < 0:
            raise UserError(message)

    hooks = [
        register_module_module_registration_hook(count),
        register_module_parameter_registration_hook(count),
        register_module_buffer_registration_hook(count),
    ]
    try:
        with _NoLargerTensor(numbers, message):
            yield
    finally:
        for hook in hooks:
            hook.remove()
