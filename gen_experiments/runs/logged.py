"""Finds the values that a run has not logged yet."""

from collections.abc import Iterable, Mapping
from typing import Any

STEP, IMAGES_SEEN = "step", "images_seen"
POSITIONS = {STEP, IMAGES_SEEN, "epoch"}  # the position of a row on its curve


class LoggedValues:
    """Stores the last position of the curve of each name.

    A value is not new if a value of the same name was logged for as many images or, in a row without `images_seen`, for
    the same step. Lightning logs such rows at the end of training, and after a resumption from a checkpoint that is
    older than the last row.
    """

    def __init__(self) -> None:
        self._furthest: dict[str, float] = {}

    def new(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the values of a row that are not logged yet, and counts them as logged; empty without any."""
        position = row.get(IMAGES_SEEN, row.get(STEP))
        if position is None:
            return dict(row)
        reached = float(position)
        new = {name: value for name, value in row.items() if name in POSITIONS or reached > self.furthest(name)}
        if new.keys() <= POSITIONS:
            return {}
        self.advance(new, reached)
        return new

    def furthest(self, name: str) -> float:
        """Returns the position of the last value of a name; -1 before the first."""
        return self._furthest.get(name, -1.0)

    def advance(self, names: Iterable[str], position: float) -> None:
        """Stores that values of these names were logged at a position, in images or steps."""
        self._furthest.update(dict.fromkeys(names, position))
