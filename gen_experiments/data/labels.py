"""Labels in a file beside the pictures, instead of folders of classes."""

import csv
import json
import posixpath
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gen_experiments.errors import UserError, check_interval, quoted

MAX_LABEL, MAX_CLASSES = 2**31, 10**6

T = TypeVar("T")


class Labels(ABC):
    """A file with the labels of the pictures in a folder.

    Attributes:
        file: the file, for messages.
        num_classes: the number of classes; None if it follows from the labels.
    """

    file: str
    num_classes: int | None = None

    @abstractmethod
    def read(self, root: Path) -> Mapping[str, Any]:
        """Returns the name or number of the class of each picture, by the picture's path below `root`.

        Raises:
            UserError: the file is missing or has another format.
        """

    def rows(self, root: Path, found: Collection[str]) -> Mapping[str, Any]:
        """Returns the labels of `read` if all their pictures exist.

        Args:
            root: the folder of the pictures.
            found: their paths below it.

        Raises:
            UserError: as for `read`; or the file names pictures that are not there.
        """
        rows = self.read(root)
        missing = sorted(rows.keys() - set(found))
        if missing:
            raise UserError(
                f"{root / self.file} names {len(missing)} pictures that {root} does not hold, such as "
                f"{quoted(missing[0])}: remove their rows, or bring the files"
            )
        return rows


class CSVLabels(Labels):
    """A table with a row for each picture: `file,label`. The labels are the names of the classes.

    Args:
        file: the table, comma-separated in UTF-8 with the names of its columns in the first row; a path below the
            folder of the pictures, or a whole one.
        picture_column: the column of the pictures' paths below that folder.
        label_column: the column of the classes.
    """

    def __init__(self, file: str = "labels.csv", picture_column: str = "file", label_column: str = "label") -> None:
        self.file, self.picture_column, self.label_column = file, picture_column, label_column

    def read(self, root: Path) -> Mapping[str, str]:
        """Returns the class of each picture."""
        return read_column(beside(root, self.file), self.picture_column, self.label_column)


class StyleGANLabels(Labels):
    """`dataset.json` as StyleGAN's dataset tool writes it: `{"labels": [["00000/img00000000.png", 6], ...]}`.

    Args:
        file: the file; a path below the folder of the pictures, or a whole one.
        num_classes: the number of classes; by default one more than the largest label of a training image, and each
            smaller number must then be used.

    Raises:
        UserError: num_classes is out of range.
    """

    def __init__(self, file: str = "dataset.json", num_classes: int | None = None) -> None:
        if num_classes is not None:
            check_interval(f"[1, {MAX_CLASSES}]", **{"labels.num_classes": num_classes})
        self.file, self.num_classes = file, num_classes

    def read(self, root: Path) -> Mapping[str, int]:
        """Returns the number of the class of each picture."""
        path = beside(root, self.file)
        try:
            contents = json.loads(path.read_bytes())
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path} is no JSON ({quoted(error)})") from error
        rows = contents.get("labels") if isinstance(contents, dict) else None
        if not isinstance(rows, list):
            raise UserError(f'{path} has no list of "labels": leave out data.source.labels if there are none')
        labels: dict[str, int] = {}
        for row in rows:
            pair = isinstance(row, list) and len(row) == 2 and isinstance(row[0], str)
            if not pair or type(row[1]) is not int or abs(row[1]) >= MAX_LABEL:
                raise UserError(f"{path} must label each picture as [path, whole number], not {quoted(row)}")
            _add(labels, row[0], row[1], path)
        return labels


def beside(root: Path, file: str) -> Path:
    """Returns a file that a user names below the folder of the pictures, or by its whole path.

    Raises:
        UserError: it is not there; said is where else it is, or to which folder its path is relative.
    """
    path = root / file
    if not path.exists():
        if Path(file).is_absolute():
            raise UserError(f"there is no file {file}")
        here = Path(file).absolute()
        there = "give its path below that folder, or its whole path"
        if here.is_file():
            there = f"{here} is there, so give that path"
        raise UserError(f"there is no file {file} in the folder of the pictures, {root}: {there}")
    return path


def read_column(path: Path, picture_column: str, value_column: str) -> dict[str, str]:
    """Returns a column of a comma-separated table, by the paths of the pictures.

    Raises:
        UserError: the table cannot be read, lacks a column or a value, or has two rows of a picture.
    """
    values: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            columns = rows.fieldnames or ()
            other = next((mark for mark in ";\t" if len(columns) == 1 and mark in columns[0]), None)
            if other is not None:
                raise UserError(f"{path} separates its columns by {other!r}: separate them by commas")
            for column in (picture_column, value_column):
                if column not in columns:
                    there = ", ".join(quoted(name) for name in columns) or "none"
                    raise UserError(f"{path} has no column {column} (it has: {there}): name the one that is meant")
            for row in rows:
                picture, value = row[picture_column], row[value_column]
                if not picture or not value:
                    empty = value_column if picture else picture_column
                    raise UserError(f"{path} has nothing in column {empty} in line {rows.line_num}: fill it in")
                _add(values, picture, value, path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no comma-separated table in UTF-8 ({quoted(error)})") from error
    return values


def look_up(rows: Mapping[str, T], used: Sequence[str], file: Path) -> list[T]:
    """Returns the values of pictures.

    Raises:
        UserError: some have none.
    """
    without = [name for name in used if name not in rows]
    if without:
        raise UserError(
            f"{file} has no row for {len(without)} of {len(used)} pictures, such as {quoted(without[0])}: add rows, or "
            "move the pictures away"
        )
    return [rows[name] for name in used]


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Returns the distinct names of classes in natural order: 2 comes before 10."""

    def key(name: str) -> tuple[list[Any], str]:
        parts = re.split(r"(\d+)", name)
        digits = [part.lstrip("0") for part in parts[1::2]]
        parts[1::2] = [(len(part), part) for part in digits]
        return parts, name

    return tuple(sorted(set(names), key=key))


def class_count(numbers: NDArray[np.int64], declared: int | None, where: str) -> int:
    """Returns the number of classes from the labels of the training images.

    Args:
        numbers: the labels, (N,).
        declared: the user's number of classes; None for one more than the largest label.
        where: the place of the labels, for messages.

    Raises:
        UserError: labels lie outside of their range or, with none declared, a number below the largest has no image.
    """
    least, most = int(numbers.min()), int(numbers.max())
    if least < 0 or most >= (declared or MAX_LABEL):
        end = "" if declared is None else f" ... {declared - 1}, as num_classes={declared}"
        raise UserError(f"{where} has labels from {least} to {most}: they must be whole numbers in 0{end or ' and up'}")
    if declared is not None:
        return declared
    used = np.unique(numbers)
    if len(used) <= most:
        gap = int(np.flatnonzero(used != np.arange(len(used)))[0])
        raise UserError(
            f"{where} has labels up to {most} and none of {gap}: number the classes from 0, or say by num_classes how "
            "many there are"
        )
    return most + 1


def _add(values: dict[str, T], picture: str, value: T, path: Path) -> None:
    name = posixpath.normpath(picture.replace("\\", "/"))
    if name in values:
        raise UserError(f"{path} has two rows for {quoted(picture)}: remove one")
    values[name] = value
