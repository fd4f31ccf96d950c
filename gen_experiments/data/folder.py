"""Pictures in a folder: which of its files are pictures, which split and which class each belongs to."""

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gen_experiments.data.pictures import decode_all
from gen_experiments.data.sources import Decoded, Source, stamp
from gen_experiments.errors import UserError, quoted
from gen_experiments.images import IMAGE_SUFFIXES

# What the folder of a split may be called, in any case.
SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
SPLIT_OF = {name: split for split, names in SPLIT_NAMES.items() for name in names}
# `train_set`, `val2017`, `Tests`, `eval`: meant as a split, most likely, and by no name that is recognised.
LIKE_A_SPLIT = re.compile(r"(train|training|val|valid|validation|dev|test|testing|eval|evaluation)(s|set|data|images)?")
HIDDEN, NO_PICTURE, BROKEN = "hidden", "no picture by their ending", "broken link"
BESIDE = "beside the splits"


class ImageFolder(Source):
    """Your own pictures, of any size, mode and format.

    Sub-folders `train`, `val` and `test` are splits (in any case, also `training`, `valid`, `validation`, `dev` and
    `testing`); without them all pictures are one. In a split the first folders are classes, whatever lies below them;
    without folders there are no labels. The classes are those of the training images. A split without folders beside
    training images in folders has no labels, which do without them where a model needs none. Links are followed.
    Names that begin with a dot and files that are no pictures are passed over, and so are, beside `train` and another
    split, the pictures of folders that are no split.

    Pictures are turned as their EXIF data says, cropped to their central square and resized with antialiasing;
    transparent ones are laid on white. Those of more than 8 bits are scaled as `data.depth` says.

    Args:
        root: the folder.
        channels: 3 for RGB, 1 for grey.

    Raises:
        UserError: the folder is missing, cannot be read or holds no picture; it is not clear what is a split or a
            class, or a split has a class that the training images do not have; or channels is neither 1 nor 3.
    """

    def __init__(self, root: str, channels: int = 3) -> None:
        if channels not in (1, 3):
            raise UserError(f"images have 1 or 3 channels, not {channels}")
        self.root, self.channels = Path(root), channels
        files, self._passed_over = find_pictures(self.root)
        self._folders = self._find_splits(files)
        self._files: dict[str, list[Path]] = {}
        self._classes: dict[str, list[str] | None] = {}
        for split, folder in self._folders.items():
            whole = folder == self.root
            self._files[split] = [file for file in files if whole or self._below_root(file)[0] == folder.name]
            if not self._files[split]:
                raise UserError(f"{folder} holds no picture (files ending in {' '.join(IMAGE_SUFFIXES)})")
            self._classes[split] = _first_folders(folder, self._files[split])
        self.class_names = tuple(sorted(set(self._classes["train"] or ()))) or None
        self.num_classes = None if self.class_names is None else len(self.class_names)
        for split, classes in self._classes.items():
            unknown = sorted(set(classes or ()) - set(self.class_names or classes or ()))
            if unknown:
                raise UserError(
                    f"{self._folders[split]} has a class {quoted(unknown[0])} that {self._folders['train']} does not "
                    "have: rename or remove it"
                )

    def splits(self) -> set[str]:
        """Returns those that have a folder."""
        return set(self._folders)

    def origin(self, split: str) -> str:
        """Returns the split's folder."""
        return f"folder {self._folders[split]}"

    def folder(self, split: str) -> Path:
        """Returns the folder of a split."""
        return self._folders[split]

    def files(self, split: str) -> list[Path]:
        """Returns the pictures of a split, in the order in which they are decoded."""
        return self._files[split]

    def labelled(self, split: str) -> bool:
        """Returns whether the pictures of a split lie in folders of classes, as those for training do."""
        return self.num_classes is not None and self._classes[split] is not None

    def passed_over(self) -> Mapping[str, Sequence[str]]:
        """Returns the files of no split, relative to the folder, by why they are passed over."""
        return self._passed_over

    def key(self, split: str) -> str:
        """Returns a hash of the names, sizes and times of the files, and of the classes."""
        classes = hashlib.sha256(repr(self.class_names).encode()).hexdigest()
        return f"folder-{self.channels}-{classes}-{stamp(self.root, self._files[split])}"

    def decode(self, split: str, size: int) -> Decoded:
        """Decodes every picture."""
        images, labels = decode_all(self._files[split], size, self.channels), None
        if self.labelled(split):
            numbers = {name: number for number, name in enumerate(self.class_names or ())}
            labels = np.array([numbers[name] for name in self._classes[split] or ()], dtype=np.int64)
        return Decoded(images, labels)

    def _find_splits(self, files: Sequence[Path]) -> dict[str, Path]:
        """Returns the folder of each split; what is beside them is passed over, or refused where it may be meant."""
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
        first = [self._below_root(file) for file in files]
        others = sorted({parts[0] for parts in first if len(parts) > 1} - used)
        if not splits:
            like = next((name for name in others if LIKE_A_SPLIT.fullmatch(re.sub(r"[\W\d_]", "", name.lower()))), None)
            if like is not None:
                raise UserError(
                    f"{self.root / quoted(like)} looks like a split: call it one of {', '.join(SPLIT_OF)}, or "
                    "something else if it is a class"
                )
            return {"train": self.root}
        if "train" not in splits or (len(splits) == 1 and others):
            beside = f" beside {', '.join(map(quoted, others[:3]))}" if others else ""
            raise UserError(
                f"{self.root} holds {', '.join(sorted(used))}{beside}, so that it is not clear what is to train on: "
                f"put that into {self.root / 'train'}, and move away or rename what is no split"
            )
        beside_splits = ["/".join(parts) for parts in first if len(parts) == 1 or parts[0] not in used]
        if beside_splits:
            self._passed_over = {**self._passed_over, BESIDE: beside_splits}
        return splits

    def _below_root(self, file: Path) -> tuple[str, ...]:
        """Returns a path below the folder, part by part."""
        return file.parts[len(self.root.parts) :]


def _first_folders(folder: Path, files: Sequence[Path]) -> list[str] | None:
    """Returns the first folder below `folder` of each file, or None if all files lie in it themselves.

    Raises:
        UserError: only some do.
    """
    parts = [file.parts[len(folder.parts) :] for file in files]
    loose = [each[0] for each in parts if len(each) == 1]
    if len(loose) == len(parts):
        return None
    if loose:
        within = next(each[0] for each in parts if len(each) > 1)
        raise UserError(
            f"{folder} holds {len(loose)} pictures, such as {quoted(loose[0])}, beside folders of classes, such as "
            f"{quoted(within)}: move them into a folder, or away"
        )
    return [each[0] for each in parts]


def find_pictures(folder: Path) -> tuple[list[Path], dict[str, list[str]]]:
    """Returns the pictures below a folder, in the order of their paths, and what else there is, by why it is left out.

    Links are followed, but not back into a folder that they lie in.

    Raises:
        UserError: the folder is missing or holds no picture, or a folder below it cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"there is no image folder {folder} in {Path.cwd()}; name it by --data.source.root")
    files: list[Path] = []
    passed_over: defaultdict[str, list[str]] = defaultdict(list)
    pending: list[tuple[Path, frozenset[tuple[int, int]]]] = [(folder, frozenset())]
    while pending:
        current, above = pending.pop()
        try:
            stat = current.stat()
            identity = stat.st_dev, stat.st_ino
            if identity in above:
                continue
            entries = sorted(os.scandir(current), key=lambda entry: entry.name)
        except OSError as error:
            raise UserError(f"{current} cannot be read: {error.strerror or error}") from error
        for entry in entries:
            path = current / entry.name
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
            except OSError:  # a link to itself
                is_folder, is_file = False, False
            if entry.name.startswith("."):
                reason = HIDDEN
            elif is_folder:
                pending.append((path, above | {identity}))
                continue
            elif path.suffix.lower() not in IMAGE_SUFFIXES:
                reason = NO_PICTURE
            elif is_file:
                files.append(path)
                continue
            else:
                reason = BROKEN
            passed_over[reason].append(f"{path.relative_to(folder)}{'/' if is_folder else ''}")
    if not files:
        raise UserError(f"{folder} holds no picture (files ending in {' '.join(IMAGE_SUFFIXES)})")
    return sorted(files), {reason: sorted(names) for reason, names in sorted(passed_over.items())}
