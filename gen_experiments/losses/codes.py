"""Losses of codes, such as contents and styles of pictures."""

from torch import Tensor


def recovery(found: Tensor, given: Tensor) -> Tensor:
    """Returns the distance of the code of a generated picture from the code that it was generated with.

    MUNIT (https://arxiv.org/abs/1804.04732, equations 3 and 4): mean |E(G(c, s)) − c|, over all elements; of styles
    likewise. Gradients pass to both.

    Args:
        found: codes of any shape.
        given: the codes that they should equal, of the same shape.

    Returns:
        A scalar.
    """
    return (found - given).abs().mean()
