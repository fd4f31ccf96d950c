"""Pictures in tar files: few large files instead of many small ones, for the file systems of clusters."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gen_experiments.data.float_planes import suffixes
from gen_experiments.data.labels import class_count
from gen_experiments.data.sources.base import PictureSource, check_channels, stamp
from gen_experiments.data.split_folders import SPLIT_OF
from gen_experiments.data.tars import LABEL, NO_LABEL, Members, index_of
from gen_experiments.errors import UserError, check_interval

# `train-000000.tar` or `val_7.tar`, and not `trainees.tar`.
SPLIT_START = re.compile(rf"({'|'.join(sorted(SPLIT_OF, key=len, reverse=True))})(?![a-z])", re.IGNORECASE)


class Shards(PictureSource):
    """Tar files in the layout of webdataset, made by its writers or by plain `tar`.

    The label of `000123.jpg` is the whole number in `000123.cls`, or the value of `label` in `000123.json`. The shards
    of a split are in a folder of its name, or their names begin with it, as in `train-000000.tar`; without such names
    all pictures are training images.

    Pictures are read at their positions in the files, in any order, so that shards can do what folders can: the order
    of an epoch is drawn over all shards, and a run resumes in the middle of an epoch with any number of processes.
    webdataset itself reads shards from front to back, shuffles within a window and starts over when it is resumed, and
    litdata has its own format. Python's `tarfile` finds the positions once, and the cache keeps them.

    Args:
        root: the folder.
        channels: 1 for grey, 2 for grey and alpha, 3 for RGB, 4 for RGB and alpha.
        num_classes: the number of classes; by default one more than the largest training label.
        class_names: the names of the classes in the order of their numbers; None for none.
        arrays: read .npy members as pictures too, as `ImageFolder` reads files.

    Raises:
        UserError: there are no shards, one is compressed, damaged or cut short, or holds no picture or a link to one;
            labels are missing or out of range, names are not as many as classes, or channels is not in 1 ... 4.
    """

    def __init__(
        self,
        root: str,
        channels: int = 3,
        num_classes: int | None = None,
        class_names: list[str] | None = None,
        arrays: bool = False,
    ) -> None:
        check_channels(channels)
        if num_classes is not None:
            check_interval("[1, 1000000]", **{"source.num_classes": num_classes})
        self.root, self.channels = Path(root), channels
        self._shards = _find_shards(self.root)
        kind = "-arrays" if arrays else ""
        self._stamps = {
            split: stamp(self.root, (str(shard.relative_to(self.root)) for shard in shards)) + kind
            for split, shards in self._shards.items()
        }
        self._indices = {
            split: index_of(shards, self._stamps[split], suffixes(arrays)) for split, shards in self._shards.items()
        }
        train = self._labels_in("train")
        self.num_classes = None if train is None else class_count(train, num_classes, str(self.root))
        if class_names is not None and len(class_names) != self.num_classes:
            raise UserError(f"{len(class_names)} class_names cannot be those of {self.num_classes or 'no'} classes")
        self.class_names = None if class_names is None else tuple(class_names)
        for split in self._shards:
            labels = self.labels(split)
            if labels is not None and not 0 <= labels.min() <= labels.max() < (self.num_classes or 0):
                raise UserError(
                    f"the {split} shards of {self.root} have labels from {labels.min()} to {labels.max()}, and the "
                    f"training images {self.num_classes} classes: say by num_classes how many there are"
                )

    def splits(self) -> set[str]:
        """Returns the splits that have shards."""
        return set(self._shards)

    def origin(self, split: str) -> str:
        """Returns the number of shards as text."""
        return f"{len(self._shards[split])} shards"

    def labelled(self, split: str) -> bool:
        """Returns whether the pictures of a split have labels, as those for training do."""
        return self.labels(split) is not None

    def key(self, split: str) -> str:
        """Returns a hash of the names, sizes and times of the shards and of `arrays`."""
        return f"shards-{self.channels}-{self._stamps[split]}"

    def pictures(self, split: str) -> Members:
        """Returns the pictures in the order of the shards, and within each in its order."""
        return Members(self._shards[split], self._indices[split])

    def labels(self, split: str) -> NDArray[np.int64] | None:
        """Returns the numbers of the classes."""
        return None if self.num_classes is None else self._labels_in(split)

    def _labels_in(self, split: str) -> NDArray[np.int64] | None:
        labels: NDArray[np.int64] = np.array(self._indices[split][:, LABEL])
        return None if (labels == NO_LABEL).all() else labels


def _find_shards(root: Path) -> Mapping[str, Sequence[Path]]:
    """Returns the shards of each split, in the order of their names.

    Raises:
        UserError: there are no shards, or it is not clear which are for training.
    """
    if not root.is_dir():
        raise UserError(f"there is no folder of shards {root} in {Path.cwd()}: mend its path")
    shards = sorted(path for path in (*root.glob("*.tar"), *root.glob("*/*.tar")) if not path.name.startswith("."))
    if not shards:
        raise UserError(f"{root} holds no shards: tar files that are not compressed, ending in .tar")
    paths: dict[str, list[Path]] = {}
    for shard in shards:
        named = SPLIT_START.match(str(shard.relative_to(root)))
        paths.setdefault(SPLIT_OF[named[1].lower()] if named else "", []).append(shard)
    others = paths.pop("", [])
    if others and not paths:
        return {"train": others}
    if others or "train" not in paths:
        beside = f" beside {others[0].relative_to(root)}" if others else ""
        raise UserError(
            f"{root} holds shards of {', '.join(sorted(paths)) or 'no split'}{beside}, so that it is not clear what is "
            "to train on: let their names or folders begin with train, val or test"
        )
    return paths
