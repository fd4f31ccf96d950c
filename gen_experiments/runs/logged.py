"""Which values of a run's curves say something new."""

from collections.abc import Iterable, Mapping
from typing import Any

STEP, IMAGES_SEEN = "step", "images_seen"
POSITIONS = {STEP, IMAGES_SEEN, "epoch"}  # say where a row stands, and nothing else


class LoggedValues:
    """Remembers how far the curve of each name has come.

    A value says nothing new where one of the same name has seen as many images or, in a row without `images_seen`, is
    of the same step. Lightning logs such rows at the end of training, and where a run goes on from a checkpoint that is
    older than the last row.
    """

    def __init__(self) -> None:
        self._furthest: dict[str, float] = {}

    def new(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the values of a row that are not logged yet, and counts them as logged; empty if there are none."""
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
        """Returns the position of the last value of a name; -1 without one."""
        return self._furthest.get(name, -1.0)

    def advance(self, names: Iterable[str], position: float) -> None:
        """Notes that values of these names were logged at a position, in images or steps."""
        self._furthest.update(dict.fromkeys(names, position))
