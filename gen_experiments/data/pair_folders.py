"""Pairs of pictures in two folders: paired by name, or unpaired."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gen_experiments.data.framing import USUAL, Framing
from gen_experiments.data.pair_source import PicturePairs, Shuffled
from gen_experiments.data.proportions import check_proportions
from gen_experiments.data.sources.base import Decoded, stamp
from gen_experiments.data.sources.folder import ImageFolder
from gen_experiments.errors import UserError
from gen_experiments.randomness import Stream
from gen_experiments.sizes import Size


class PairedFolders(PicturePairs):
    """Two folders of pictures; pictures with equal paths below the folders, without the suffix, are pairs.

    Both folders are read like `ImageFolder`: splits, classes, upright central squares, transparent pictures on white.
    The two pictures of a pair may differ in size, as for super-resolution, but not in proportions: both are brought to
    the size of the data. Pictures without a partner are passed over, and a run prints how many and which.

    Args:
        a: the folder of the sources.
        b: the folder of the targets.
        channels: 1 for grey, 2 for grey and alpha, 3 for RGB, 4 for RGB and alpha.
        shuffled: train on A with the B of another pair: unpaired models then get no paired data, and are still scored
            by true pairs. "within_classes" takes the B of a pair of the same class: only then do training items have
            labels, which conditional discriminators need.

    Raises:
        UserError: a folder cannot be used (`ImageFolder`), the folders have different splits or share no name, or two
            pictures of a folder differ only in their suffix.
    """

    def __init__(self, a: str, b: str, channels: int = 3, shuffled: Shuffled = False) -> None:
        self.channels, self.shuffled = channels, shuffled
        self._folders = _both(a, b, channels)
        self.num_classes, self.class_names = self._folders[0].num_classes, self._folders[0].class_names
        self._pairs: dict[str, list[tuple[Path, Path]]] = {}
        self._alone: dict[str, list[str]] = {}
        self._labels: dict[str, list[str] | None] = {}
        for split in self._folders[0].splits():
            by_name = [_by_name(folder, split) for folder in self._folders]
            common = sorted(by_name[0].keys() & by_name[1].keys())
            if not common:
                raise UserError(f"{a} and {b} have no picture of the same name in common (split {split})")
            self._pairs[split] = [(by_name[0][name], by_name[1][name]) for name in common]
            self._labels[split] = [name.split("/")[0] for name in common] if self.labelled(split) else None
            for side, names in enumerate(by_name):
                alone = sorted(names.keys() - set(common))
                if alone:
                    self._alone.setdefault(f"only in {(a, b)[side]}", []).extend(alone)

    def splits(self) -> set[str]:
        """Returns those that both have."""
        return self._folders[0].splits()

    def origin(self, split: str) -> str:
        """Returns both folders of a split."""
        return " and ".join(folder.origin(split) for folder in self._folders)

    def labelled(self, split: str) -> bool:
        """Returns whether the pictures of A lie in folders of classes."""
        return self._folders[0].labelled(split)

    def passed_over(self) -> Mapping[str, Sequence[str]]:
        """Returns the names without a partner, by where they are, and what each folder passes over."""
        return self._alone | _passed_over(self._folders)

    def key(self, split: str) -> str:
        """Returns a hash of the classes, and of names, sizes and times of both files of every pair."""
        return repr(self.class_names) + _key(
            self._folders, [[pair[side] for pair in self._pairs[split]] for side in (0, 1)]
        )

    def pictures(self, split: str) -> list[Path]:
        """Returns the files of both pictures of every pair."""
        return [file for pair in self._pairs[split] for file in pair]

    def decode(self, split: str, size: Size, framing: Framing = USUAL) -> Decoded:
        """Decodes every pair.

        Raises:
            UserError: the two pictures of a pair differ in shape, or one cannot be decoded.
        """
        check_proportions(self._pairs[split])
        names, labels = self._labels[split], None
        if names is not None:
            numbers = {name: number for number, name in enumerate(self.class_names or ())}
            labels = np.array([numbers[name] for name in names], dtype=np.int64)
        return Decoded(self.decode_pairs(split, size, framing), labels)


class UnpairedFolders(PicturePairs):
    """Two folders of unpaired pictures, as for CycleGAN (horses and zebras).

    Each is read like `ImageFolder`, without classes. An item has one picture of each folder, in a fixed random order;
    the pictures of the smaller folder are repeated. Missing `val` or `test` splits are held out here, separately for
    each folder, so that no repeated picture is in two splits.

    Args:
        a: the folder of the sources.
        b: the folder of pictures like the wanted results.
        channels: 1 for grey, 2 for grey and alpha, 3 for RGB, 4 for RGB and alpha.
        held_out: the share of each folder for each missing split; in (0, ½).

    Raises:
        UserError: a folder cannot be used (`ImageFolder`), the folders have different splits, or a split is empty.
    """

    num_classes = None
    paired = False

    def __init__(self, a: str, b: str, channels: int = 3, held_out: float = 0.1) -> None:
        if not 0 < held_out < 0.5:
            raise UserError(f"held_out must be in (0, 0.5), not {held_out}")
        self.channels, self.held_out = channels, held_out
        self._folders = _both(a, b, channels)
        divided = [_divide(folder, held_out) for folder in self._folders]
        self._files = {split: [files[split] for files in divided] for split in ("train", "val", "test")}

    def splits(self) -> set[str]:
        """Returns all three."""
        return set(self._files)

    def origin(self, split: str) -> str:
        """Returns both folders, and whether a split was held out."""
        own = split in self._folders[0].splits()
        where = [folder.origin(split if own else "train") for folder in self._folders]
        return " and ".join(where) + ("" if own else f", held out by held_out={self.held_out:g}")

    def passed_over(self) -> Mapping[str, Sequence[str]]:
        """Returns what each folder passes over."""
        return _passed_over(self._folders)

    def key(self, split: str) -> str:
        """Returns a hash of names, sizes and times of the files of both."""
        return "unpaired-" + _key(self._folders, self._files[split])

    def pictures(self, split: str) -> list[Path]:
        """Returns the files of both folders in turn, those of the smaller again and again."""
        sides = self._files[split]
        return [side[number % len(side)] for number in range(max(map(len, sides))) for side in sides]

    def decode(self, split: str, size: Size, framing: Framing = USUAL) -> Decoded:
        """Decodes both folders and lays their pictures beside each other."""
        return Decoded(self.decode_pairs(split, size, framing), None)


def _both(a: str, b: str, channels: int) -> tuple[ImageFolder, ImageFolder]:
    folders = ImageFolder(a, channels), ImageFolder(b, channels)
    first, second = (folder.splits() for folder in folders)
    if first != second:
        raise UserError(
            f"{a} has the splits {', '.join(sorted(first))} and {b} has {', '.join(sorted(second))}: "
            "give both the same folders"
        )
    return folders


def _passed_over(folders: Sequence[ImageFolder]) -> dict[str, list[str]]:
    by_reason: dict[str, list[str]] = {}
    for folder in folders:
        for reason, names in folder.passed_over().items():
            by_reason.setdefault(reason, []).extend(names)
    return by_reason


def _files(folder: ImageFolder, split: str) -> list[Path]:
    pictures = folder.pictures(split)
    return [pictures[number] for number in range(len(pictures))]


def _by_name(folder: ImageFolder, split: str) -> dict[str, Path]:
    """Returns the files of a split by their paths below its folder, without the ending."""
    files: dict[str, Path] = {}
    for file in _files(folder, split):
        name = file.relative_to(folder.folder(split)).with_suffix("").as_posix()
        if name in files:
            raise UserError(f"{files[name]} and {file.name} have the same name: which is to be paired is not clear")
        files[name] = file
    return files


def _divide(folder: ImageFolder, held_out: float) -> dict[str, list[Path]]:
    """Returns the files of each split in a random order; what is missing is held out of the training."""
    files: dict[str, list[Path]] = {}
    for number, split in enumerate(("train", "val", "test")):
        if split in folder.splits():
            all_files = _files(folder, split)
            order = np.random.default_rng([Stream.HOLD, number]).permutation(len(all_files))
            files[split] = [all_files[place] for place in order]
    count = len(files["train"])
    share = round(held_out * count)
    for split in ("test", "val"):
        if split not in files:
            if not share:
                raise UserError(f"held_out={held_out:g} leaves no {split} pictures of {count}: raise it")
            files[split], files["train"] = files["train"][:share], files["train"][share:]
    if not files["train"]:
        raise UserError(f"held_out={held_out:g} leaves no training pictures of {count}: lower it")
    return files


def _key(folders: Sequence[ImageFolder], files: Sequence[Sequence[Path]]) -> str:
    stamps = [
        stamp(folder.root, (file.relative_to(folder.root).as_posix() for file in part))
        for folder, part in zip(folders, files, strict=True)
    ]
    return f"folders-{folders[0].channels}-{'-'.join(stamps)}"
