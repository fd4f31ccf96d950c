"""Groups of pictures that no split may divide, such as those of a patient or a scene."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from gen_experiments.data.labels import beside, look_up, read_column
from gen_experiments.errors import UserError, check_interval, quoted


class Groups(ABC):
    """Which pictures of a folder belong together: no group is in two splits."""

    @abstractmethod
    def of(self, root: Path, pictures: Sequence[str]) -> list[str]:
        """Returns the name of the group of each picture.

        Args:
            root: the folder of the pictures.
            pictures: their paths below it, with forward slashes.

        Raises:
            UserError: a picture has no group.
        """


class FolderGroups(Groups):
    """The folder that a picture lies in, by its name alone: `sick/patient7` and `well/patient7` are one group.

    Args:
        levels_up: 1 for the folder that the picture lies in, 2 for the one around that, and so on.

    Raises:
        UserError: levels_up < 1.
    """

    def __init__(self, levels_up: int = 1) -> None:
        check_interval("[1, inf)", **{"groups.levels_up": levels_up})
        self.levels_up = levels_up

    def of(self, root: Path, pictures: Sequence[str]) -> list[str]:
        """Returns the names of the folders."""
        groups = []
        for picture in pictures:
            parts = picture.split("/")
            if len(parts) <= self.levels_up:
                raise UserError(
                    f"{root / quoted(picture)} lies in no folder {self.levels_up} levels up that could be its group: "
                    "set data.source.groups.levels_up"
                )
            groups.append(parts[-1 - self.levels_up])
        return groups


class PatternGroups(Groups):
    r"""What a regular expression finds in a picture's path: `patient(\d+)_` makes `07` of `sick/patient07_2.png`.

    Args:
        pattern: with one pair of parentheses, about the name of the group.

    Raises:
        UserError: it is no such expression.
    """

    def __init__(self, pattern: str) -> None:
        try:
            self.pattern = re.compile(pattern)
        except re.error as error:
            raise UserError(f"groups.pattern {quoted(pattern)} is no regular expression: {error}") from error
        if self.pattern.groups != 1:
            raise UserError(f"groups.pattern {quoted(pattern)} must have one pair of parentheses, about the group")

    def of(self, root: Path, pictures: Sequence[str]) -> list[str]:
        """Returns what stands at the place of the parentheses."""
        groups = []
        for picture in pictures:
            found = self.pattern.search(picture)
            if found is None or not found[1]:
                raise UserError(f"groups.pattern finds no group in {quoted(picture)} of {root}: widen it")
            groups.append(found[1])
        return groups


class CSVGroups(Groups):
    """A column of a table with a row for each picture: `file,label,group`.

    Args:
        file: the table, comma-separated in UTF-8 with the names of its columns in the first row; a path below the
            folder of the pictures, or a whole one.
        picture_column: the column of the pictures' paths below that folder.
        group_column: the column of the groups.
    """

    def __init__(self, file: str = "labels.csv", picture_column: str = "file", group_column: str = "group") -> None:
        self.file, self.picture_column, self.group_column = file, picture_column, group_column

    def of(self, root: Path, pictures: Sequence[str]) -> list[str]:
        """Returns the groups in the table; it may have rows of other pictures."""
        rows = read_column(beside(root, self.file), self.picture_column, self.group_column)
        return look_up(rows, pictures, root / self.file)
