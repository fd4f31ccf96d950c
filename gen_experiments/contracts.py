"""Checks of what a part of the user's own has and returns: a mistake in it is named when the part is first used."""

from torch import Tensor, nn

from gen_experiments.errors import UserError


def in_words(value: object) -> str:
    """Returns what a value is: dtype and shape of a tensor, else its class."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"
    return f"an object of class {type(value).__name__}"


def require_attributes(part: object, *names: str) -> None:
    """Refuses a part that lacks what the docstring of its base class lists.

    Raises:
        UserError: its constructor does not call that of its base class, or it has not one of the attributes.
    """
    name = type(part).__name__
    if isinstance(part, nn.Module) and "_modules" not in vars(part):
        raise UserError(f"{name}.__init__ must call super().__init__() before all else")
    for attribute in names:
        if not hasattr(part, attribute):
            raise UserError(f"{name} has no {attribute}: its class or its __init__ must set it")


def require_scalar(value: object, name: str) -> None:
    """Refuses a returned value, called `name`, that is no scalar tensor.

    Raises:
        UserError: it is another.
    """
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise UserError(f"{name} must be a scalar tensor, such as a mean, not {in_words(value)}")


def require_shape(value: object, shape: tuple[int, ...], name: str) -> None:
    """Refuses a returned value, called `name`, that is no tensor of a shape.

    Raises:
        UserError: it has another.
    """
    if not isinstance(value, Tensor) or tuple(value.shape) != shape:
        raise UserError(f"{name} must have shape {shape}, not {in_words(value)}")
