"""Data sets of Hugging Face's library `datasets`."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gen_experiments.data.division import check_apart
from gen_experiments.data.huggingface_column import Column
from gen_experiments.data.labels import class_count, in_order
from gen_experiments.data.sources.base import PictureSource, check_channels
from gen_experiments.data.split_folders import SPLIT_OF
from gen_experiments.errors import UserError, quoted

NO_LABEL = -1  # stands in data sets for a secret label
HUB_NAME = re.compile(r"(\w[\w.-]*/)?\w[\w.-]*")
OTHER_SPLITS = "in splits of other names"


class HuggingFace(PictureSource):
    """Pictures in a data set that the library `datasets` reads; `pip install 'gen-experiments[huggingface]'`.

    It reads a folder of Parquet or Arrow files or of pictures, a single Parquet file, the folder of a `save_to_disk`,
    or a data set of the hub by its name. No code of a data set is run: the library has no scripts since version 4. The
    library converts Parquet files into Arrow files in its own cache; the pictures stay encoded, and each is read
    without the others.

    Splits have the names of an image folder's (`validation` is "val"); a single split is "train".

    Args:
        path: the folder, file or name.
        name: the configuration of a data set that has several.
        image_column: the column of the pictures: images, bytes of encoded images or of .npy files, or `Array2D` and
            `Array3D` with the shapes of `ImageFolder`'s arrays.
        label_column: the column of the labels: classes, whole numbers or names; None for none. A split whose labels are
            all -1, such as a test split with secret labels, has no labels.
        group_column: the column of the groups, whose pictures are held out together; None for none.
        channels: 1 for grey, 2 for grey and alpha, 3 for RGB, 4 for RGB and alpha.
        revision: the version of a data set of the hub.

    Raises:
        UserError: channels is not in 1 ... 4; the library is not installed; the data set is missing, or lacks a
            column or pictures in it; its labels are out of range, or a group is in two splits.
    """

    def __init__(
        self,
        path: str,
        name: str | None = None,
        image_column: str = "image",
        label_column: str | None = "label",
        group_column: str | None = None,
        channels: int = 3,
        revision: str | None = None,
    ) -> None:
        check_channels(channels)
        self.path, self.channels, self._image_column = path, channels, image_column
        self._splits, self._passed_over = _by_split(_load(path, name, revision), path)
        for split, rows in self._splits.items():
            for column in (image_column, label_column, group_column):
                if column is not None and column not in rows.column_names:
                    there = ", ".join(map(quoted, rows.column_names))
                    raise UserError(f"{path} has no column {column} in {split} (it has: {there}): name the one meant")
        self._pictures = {split: Column(rows, image_column, path, split) for split, rows in self._splits.items()}
        self.num_classes = self.class_names = None
        self._labels: dict[str, NDArray[np.int64] | None] = dict.fromkeys(self._splits)
        if label_column is not None:
            self._find_classes(label_column)
        self._groups = {} if group_column is None else self._find_groups(group_column)

    def splits(self) -> set[str]:
        """Returns the splits of the data set."""
        return set(self._splits)

    def origin(self, split: str) -> str:
        """Returns the name of the data set's split, which one that was saved alone need not have."""
        name = self._splits[split].split
        return "all of it" if name is None else f"split {name}"

    def labelled(self, split: str) -> bool:
        """Returns whether the pictures of a split have labels, as those for training do."""
        return self._labels[split] is not None

    def groups(self, split: str) -> NDArray[np.int64] | None:
        """Returns the number of each picture's group."""
        return self._groups.get(split)

    def passed_over(self) -> Mapping[str, Sequence[str]]:
        """Returns the names of the data set's other splits."""
        return self._passed_over

    def key(self, split: str) -> str:
        """Returns a hash of the names, sizes and times of the files, the image column, the classes and the labels."""
        digest = hashlib.sha256(f"{self._image_column}|{self.class_names}".encode())
        for file in sorted(cached["filename"] for cached in self._splits[split].cache_files):
            stat = Path(file).stat()
            digest.update(f"{file}|{stat.st_size}|{stat.st_mtime_ns}\n".encode(errors="surrogateescape"))
        labels = self._labels[split]
        digest.update(b"" if labels is None else labels.tobytes())
        return f"huggingface-{self.channels}-{digest.hexdigest()}"

    def pictures(self, split: str) -> Column:
        """Returns the column of the pictures."""
        return self._pictures[split]

    def labels(self, split: str) -> NDArray[np.int64] | None:
        """Returns the numbers of the classes."""
        return self._labels[split]

    def _find_classes(self, column: str) -> None:
        """Finds the classes of the training images, and the label of each picture."""
        values = {split: np.array(rows.with_format(None)[column][:]) for split, rows in self._splits.items()}
        known = getattr(self._splits["train"].features[column], "names", None)
        if values["train"].dtype.kind == "U":
            known = in_order(values["train"].tolist())
        for split, cells in values.items():
            if cells.dtype.kind != values["train"].dtype.kind or cells.dtype.kind not in "iuU":
                raise UserError(
                    f"column {column} of {self.path} holds {quoted(cells[0])} in {split}, or nothing in some rows: "
                    "labels are whole numbers or names"
                )
            if cells.dtype.kind == "U":
                self._labels[split] = _number(cells.tolist(), known or (), f"{split} of {self.path}")
            else:
                secret = split != "train" and (cells == NO_LABEL).all()
                self._labels[split] = None if secret else cells.astype(np.int64)
        train = self._labels["train"]
        assert train is not None
        where = f"column {column} of {self.path}"
        self.num_classes = class_count(train, len(known) if known else None, where)
        for labels in self._labels.values():
            if labels is not None:
                class_count(labels, self.num_classes, where)
        self.class_names = _as_folders(known) if known else None

    def _find_groups(self, column: str) -> dict[str, NDArray[np.int64]]:
        """Returns the number of each picture's group, which is the same in all splits."""
        values = {split: list(map(str, rows.with_format(None)[column][:])) for split, rows in self._splits.items()}
        known = sorted(set().union(*values.values()))
        numbers = {name: number for number, name in enumerate(known)}
        groups = {split: np.array([numbers[name] for name in names]) for split, names in values.items()}
        check_apart(groups, known)
        return groups


def _number(names: Sequence[str], known: Sequence[str], where: str) -> NDArray[np.int64]:
    """Returns the numbers of classes.

    Raises:
        UserError: a name is unknown.
    """
    numbers = {name: number for number, name in enumerate(known)}
    unknown = sorted(set(names) - numbers.keys())
    if unknown:
        raise UserError(f"{where} has a class {quoted(unknown[0])} that the training images do not have: remove it")
    return np.array([numbers[name] for name in names], dtype=np.int64)


def _load(path: str, name: str | None, revision: str | None) -> Any:
    """Returns the data set at a path, or a dictionary of several by their splits."""
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise UserError("the library datasets is not installed: pip install 'gen-experiments[huggingface]'") from error
    place = Path(path)
    missing = not place.exists()
    # Otherwise the library would try for half a minute to reach the hub.
    if missing and not HUB_NAME.fullmatch(path):
        raise UserError(f"there is no folder or file {path}: correct --data.source.path")
    try:
        if any((place / file).is_file() for file in ("dataset_dict.json", "state.json")):
            return datasets.load_from_disk(path)
        if place.is_file():
            kind = "arrow" if place.suffix == ".arrow" else "parquet"
            return datasets.load_dataset(kind, data_files=path)
        return datasets.load_dataset(path, name, revision=revision)
    # The library and its readers raise many kinds of errors.
    except Exception as error:
        reason = quoted(error) or type(error).__name__
        if missing:
            raise UserError(
                f"there is no folder or file {path}, and no data set of that name could be loaded from the hub "
                f"({reason}): correct --data.source.path"
            ) from error
        raise UserError(
            f"{path} cannot be loaded by the library datasets ({reason}): name it by --data.source.path"
        ) from error


def _by_split(loaded: Any, path: str) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Returns the data set of each split, and the names of other splits.

    Raises:
        UserError: no split is called train.
    """
    parts = dict(loaded) if isinstance(loaded, dict) else {"train": loaded}
    if len(parts) == 1:
        parts = {"train": next(iter(parts.values()))}
    splits: dict[str, Any] = {}
    others = []
    for name, rows in parts.items():
        split = SPLIT_OF.get(name.lower())
        if split is None or split in splits:
            others.append(name)
        else:
            splits[split] = rows
    if "train" not in splits:
        raise UserError(f"{path} has the splits {', '.join(parts)} and none that is called train: there must be one")
    return splits, {OTHER_SPLITS: others} if others else {}


def _as_folders(names: Sequence[str]) -> tuple[str, ...] | None:
    """Returns the classes' names without characters that folders cannot have; None if they are then not unique."""
    plain = [name.replace("/", "-").replace("\\", "-").replace("\0", "").lstrip(".") for name in names]
    return tuple(plain) if all(plain) and len(set(plain)) == len(plain) else None
