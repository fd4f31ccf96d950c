"""Pictures in a folder, with their splits and classes."""

import hashlib
import itertools
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gen_experiments.data.division import check_apart
from gen_experiments.data.float_planes import suffixes
from gen_experiments.data.folder import Files, list_pictures
from gen_experiments.data.groups import Groups
from gen_experiments.data.labels import Labels, class_count, in_order, look_up
from gen_experiments.data.sources.base import PictureSource, check_channels, stamp
from gen_experiments.data.split_folders import SPLIT_OF, check_level, warn_of_one_class
from gen_experiments.errors import UserError, quoted

# `train_set`, `val2017`, `Tests`, `eval`: probably meant as splits, but not recognised.
LIKE_A_SPLIT = re.compile(r"(train|training|val|valid|validation|dev|test|testing|eval|evaluation)(s|set|data|images)?")
BESIDE = "beside the splits"


class ImageFolder(PictureSource):
    """Your own pictures, of any size, mode and format.

    Sub-folders `train`, `val` and `test` are splits (in any case, also `training`, `valid`, `validation`, `dev` and
    `testing`); without such folders all pictures are one split. In a split the first folders are classes, at any depth
    below them; without folders there are no labels. The classes are those of the training images. A split without
    folders has no labels, even if the training images have. Links are followed. Files that are no pictures and names
    that begin with a dot are passed over; beside `train` and another split, so are pictures in other folders.

    By default pictures are turned according to their EXIF data, cropped to their central part and resized with
    antialiasing; without alpha transparent pictures are shown on white. Pictures of more than 8 bits are scaled
    (`data.depth`).

    Args:
        root: the folder.
        channels: 1 for grey, 2 for grey and alpha, 3 for RGB, 4 for RGB and alpha.
        labels: a file with the labels; None takes them from the folders.
        groups: groups of pictures that are held out together; None for no groups.
        arrays: read .npy files as pictures too: (h, w) or (h, w, channels), of uint8, or of other numbers whose range
            `data.value_range` states. When they are resized, the last of two or four channels counts as alpha: resize
            other channels, such as two stains, beforehand.

    Raises:
        UserError: the folder is missing, cannot be read or holds no picture; splits or classes are ambiguous, or a
            split has a class that the training images lack; a file of labels or groups does not fit the pictures, or a
            group is in two splits; or channels is not in 1 ... 4.
    """

    def __init__(
        self,
        root: str,
        channels: int = 3,
        labels: Labels | None = None,
        groups: Groups | None = None,
        arrays: bool = False,
    ) -> None:
        check_channels(channels)
        self.root, self.channels = Path(root), channels
        endings = suffixes(arrays)
        files, passed_over = list_pictures(self.root, endings)
        tables = [getattr(part, "file", None) for part in (labels, groups)]
        read = {os.path.relpath(self.root / table, self.root) for table in tables if table is not None}
        unread = {reason: [name for name in names if name not in read] for reason, names in passed_over.items()}
        self._passed_over = {reason: names for reason, names in unread.items() if names}
        self._folders = self._find_splits(files)
        names: dict[str, list[str]] = {}
        for split, folder in self._folders.items():
            names[split] = [name for name in files if name.startswith(self._start(split))]
            if not names[split]:
                raise UserError(f"{folder} holds no picture (files ending in {' '.join(endings)})")
        self._files = {split: Files(self.root, of_split) for split, of_split in names.items()}
        self._by_file = labels is not None
        self._find_classes(files, names, labels)
        self._groups = {} if groups is None else self._find_groups(names, groups)
        self._keys: dict[str, str] = {}

    def splits(self) -> set[str]:
        """Returns those that have a folder."""
        return set(self._folders)

    def origin(self, split: str) -> str:
        """Returns the split's folder."""
        return f"folder {self._folders[split]}"

    def folder(self, split: str) -> Path:
        """Returns the folder of a split."""
        return self._folders[split]

    def labelled(self, split: str) -> bool:
        """Returns whether the pictures of a split have labels."""
        return self._labels[split] is not None

    def groups(self, split: str) -> NDArray[np.int64] | None:
        """Returns the number of each picture's group."""
        return self._groups.get(split)

    def passed_over(self) -> Mapping[str, Sequence[str]]:
        """Returns the files of no split, relative to the folder, by why they are passed over."""
        return self._passed_over

    def key(self, split: str) -> str:
        """Returns a hash of the names, sizes and times of the files, and of the classes."""
        if split not in self._keys:
            labels = self._labels[split]
            # Labels from a file can change while the pictures and the classes stay.
            label_bytes = b"" if labels is None or not self._by_file else labels.tobytes()
            classes = hashlib.sha256(repr(self.class_names).encode() + label_bytes).hexdigest()
            self._keys[split] = f"folder-{self.channels}-{classes}-{stamp(self.root, self._files[split].names())}"
        return self._keys[split]

    def pictures(self, split: str) -> Files:
        """Returns the files."""
        return self._files[split]

    def labels(self, split: str) -> NDArray[np.int64] | None:
        """Returns the numbers of the classes."""
        return self._labels[split]

    def _find_classes(self, paths: Sequence[str], names: Mapping[str, Sequence[str]], labels: Labels | None) -> None:
        """Finds the classes of the training images, and the class of each picture."""
        values: dict[str, list[Any] | None] = {}
        rows = None if labels is None else labels.rows(self.root, paths)
        for split, of_split in names.items():
            if labels is None or rows is None:
                values[split] = _first_folders(self._folders[split], self._start(split), of_split)
            else:
                values[split] = look_up(rows, of_split, self.root / labels.file)
        numbers: dict[str | int, int] = {}
        if labels is not None and isinstance((values["train"] or [""])[0], int):
            count = class_count(np.array(values["train"]), labels.num_classes, str(self.root / labels.file))
            numbers, self.class_names = {number: number for number in range(count)}, None
        elif values["train"] is not None:
            self.class_names = in_order(map(str, values["train"])) if labels else tuple(sorted(set(values["train"])))
            numbers = {name: number for number, name in enumerate(self.class_names)}
            if labels is None and len(numbers) == 1:
                warn_of_one_class(names["train"], f"{self._start('train')}{self.class_names[0]}/")
        self.num_classes = len(numbers) or None
        self._labels: dict[str, NDArray[np.int64] | None] = dict.fromkeys(values)
        for split, given in values.items() if numbers else ():
            unknown = sorted(set(given or ()) - numbers.keys())
            if unknown:
                raise UserError(
                    f"{self._folders[split]} has a class {quoted(unknown[0])} that {self._folders['train']} does not "
                    "have: rename or remove it"
                )
            if given is not None:
                self._labels[split] = np.array([numbers[value] for value in given], dtype=np.int64)

    def _find_groups(self, names: Mapping[str, Sequence[str]], groups: Groups) -> dict[str, NDArray[np.int64]]:
        """Returns the number of each picture's group, which is the same in all splits."""
        found = groups.of(self.root, list(itertools.chain(*names.values())))
        known, numbers = np.unique(np.array(found, dtype=object), return_inverse=True)
        ends = np.cumsum([len(of_split) for of_split in names.values()])
        of_splits = dict(zip(names, np.split(numbers, ends[:-1]), strict=True))
        check_apart(of_splits, known.tolist())
        return of_splits

    def _start(self, split: str) -> str:
        """Returns what the names of a split's pictures begin with."""
        return "" if self._folders[split] == self.root else f"{self._folders[split].name}/"

    def _find_splits(self, paths: Sequence[str]) -> dict[str, Path]:
        """Returns the folder of each split; other folders are passed over, or refused if they look like splits."""
        folders = sorted(path.name for path in self.root.iterdir() if not path.name.startswith(".") and path.is_dir())
        splits: dict[str, Path] = {}
        for name in folders:
            split = SPLIT_OF.get(name.lower())
            if split in splits:
                raise UserError(
                    f"{self.root} holds {splits[split].name} and {name}, which are the same split, {split}: merge them "
                    "or rename one"
                )
            if split is not None:
                splits[split] = self.root / name
        used = {folder.name for folder in splits.values()}
        others = sorted({first for first, slash, _ in (name.partition("/") for name in paths) if slash} - used)
        if not splits:
            like = next((name for name in others if LIKE_A_SPLIT.fullmatch(re.sub(r"[\W\d_]", "", name.lower()))), None)
            if like is not None:
                raise UserError(
                    f"{self.root / quoted(like)} looks like a split: call it one of {', '.join(SPLIT_OF)}, or "
                    "something else if it is a class"
                )
            check_level(self.root, paths)
            return {"train": self.root}
        if "train" not in splits or (len(splits) == 1 and others):
            beside = f" beside {', '.join(map(quoted, others[:3]))}" if others else ""
            raise UserError(
                f"{self.root} holds {', '.join(sorted(used))}{beside}, so that it is not clear what is to train on: "
                f"put that into {self.root / 'train'}, and move away or rename what is no split"
            )
        starts = tuple(f"{name}/" for name in used)
        beside_splits = [name for name in paths if not name.startswith(starts)]
        if beside_splits:
            self._passed_over = {**self._passed_over, BESIDE: beside_splits}
        return splits


def _first_folders(folder: Path, start: str, names: Sequence[str]) -> list[str] | None:
    """Returns the first folder below `folder` of each name, or None if all files lie in it themselves.

    Args:
        folder: the folder of a split.
        start: what the names begin with up to there.
        names: paths below the folder of the pictures.

    Raises:
        UserError: only some lie in folders.
    """
    parts = [name[len(start) :].partition("/") for name in names]
    loose = [first for first, slash, _ in parts if not slash]
    if len(loose) == len(parts):
        return None
    if loose:
        within = next(first for first, slash, _ in parts if slash)
        raise UserError(
            f"{folder} holds {len(loose)} pictures, such as {quoted(loose[0])}, beside folders of classes, such as "
            f"{quoted(within)}: move them into a folder, or away"
        )
    return [sys.intern(first) for first, _, _ in parts]
