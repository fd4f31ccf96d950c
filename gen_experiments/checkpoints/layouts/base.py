"""The contract of every layout: weights under the names of their project in, under those of a model here out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor


class Unconvertible(Exception):  # noqa: N818 - callers turn it into an error of their own
    """No network here computes what the network of the weights does; the message says in what they differ."""


@dataclass(frozen=True)
class Converted:
    """Weights under the names of a model here.

    Attributes:
        weights: by name.
        parts: the beginnings of their names, one for each part of a model, as in "encoder."; a part fits as a whole or
            not at all.
        sizes: the options of a model that all of them fit, in words.
        state: what belongs to the weights of a part and is not in the file, by name; a model need not have it.
        requires: attributes that the model must have, as they change no shape: their paths and values.
        unused: names in the file of what has no place here.
    """

    weights: dict[str, Tensor]
    parts: tuple[str, ...]
    sizes: str
    state: dict[str, Tensor] = field(default_factory=dict)
    requires: dict[str, Any] = field(default_factory=dict)
    unused: tuple[str, ...] = ()


class Layout(ABC):
    """The names of a project's weights.

    Attributes:
        source: what the weights are of, for messages.
        settings: the JSON file beside the weights with what their sizes do not tell; None if there is none.
    """

    source: str
    settings: ClassVar[str | None] = None

    @abstractmethod
    def recognises(self, state: Mapping[str, Tensor]) -> bool:
        """Returns whether weights have this layout, by their names."""

    def check(self, settings: Mapping[str, Any]) -> None:  # noqa: B027 - most layouts have none
        """Checks the contents of the file of settings.

        Raises:
            Unconvertible: under these settings no network here computes what theirs does.
        """

    @abstractmethod
    def convert(self, state: Mapping[str, Tensor]) -> Converted:
        """Returns weights of this layout under the names of a model here.

        Raises:
            Unconvertible: no network here computes what theirs does.
        """


def unused(state: Mapping[str, Tensor], used: set[str]) -> tuple[str, ...]:
    """Returns the names in a file that are not used, in the file's order."""
    return tuple(name for name in state if name not in used)
