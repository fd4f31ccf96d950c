"""The table of mutants: one-line changes to the package, and the tests that must notice them."""

from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("mutants.yaml")


@dataclass(frozen=True)
class Mutant:
    """A change that breaks something.

    Attributes:
        name: unique.
        file: the changed file, below `gen_experiments`.
        old: a part of one line, which stands once in the file.
        new: what takes its place.
        breaks: what is wrong then, in words.
        killed_by: the tests of which one must fail, as pytest names them.
    """

    name: str
    file: str
    old: str
    new: str
    breaks: str
    killed_by: tuple[str, ...]

    @property
    def room(self) -> str:
        """The folder that it changes, or "top level"."""
        folder, separator, _ = self.file.partition("/")
        return folder if separator else "top level"

    def source(self, root: Path) -> Path:
        """Returns the file in a copy of the repository."""
        return root / "gen_experiments" / self.file

    def mutated(self, text: str) -> str:
        """Returns the text of the file with the change.

        Raises:
            ValueError: the part to change does not stand in it exactly once.
        """
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: {self.old!r} stands {text.count(self.old)} times in {self.file}")
        return text.replace(self.old, self.new)


def mutants() -> list[Mutant]:
    """Returns all of them."""
    rows = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return [Mutant(**{**row, "killed_by": tuple(row["killed_by"])}) for row in rows]
