"""Distances of codes, such as contents and styles of pictures."""

from torch import Tensor


def recovery(found: Tensor, given: Tensor) -> Tensor:
    """Returns how far a code that is read out of a picture is from the one that the picture was made with.

    MUNIT (https://arxiv.org/abs/1804.04732, equations 3 and 4): mean |E(G(c, s)) − c|, over all elements; of styles
    likewise. Gradients pass to both.

    Args:
        found: codes of any shape.
        given: those that they should be, of the same shape.

    Returns:
        A scalar.
    """
    return (found - given).abs().mean()
