"""The one LightningDataModule of every model."""

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch import Tensor

from gen_experiments import distributed, randomness
from gen_experiments.cores import usable_cores
from gen_experiments.data.cache import ImageArray
from gen_experiments.data.damage import Damage, damage_images
from gen_experiments.data.division import check_apart, held_out
from gen_experiments.data.fast_decoding import load_library
from gen_experiments.data.framing import LARGEST, Crop, Depth, Filter, Framing
from gen_experiments.data.pair_source import PairSource
from gen_experiments.data.sampling import EvaluationBatches, TrainingBatches, evaluation_batch
from gen_experiments.data.shuffled_pairs import ShuffledPairs
from gen_experiments.data.sources.base import Source
from gen_experiments.data.sources.digits import Digits
from gen_experiments.data.split_opener import SplitOpener, check_framing
from gen_experiments.data.summary import summary
from gen_experiments.errors import UserError, check_interval
from gen_experiments.images import Batch, ImageSpec, to_float
from gen_experiments.sizes import Size, canonical_size, height_and_width

MAX_SIZE = 4096


class ImageDataModule(LightningDataModule):
    """Batches of a source's images: uint8 up to the device, then float32 in [-1, 1].

    Args:
        source: where the images come from; None for the embedded digits.
        size: pixels per side of squares, in [1, 4096], or height and width as in [96, 128]; images are brought to it.
        batch_size: images of a training batch, over all devices together.
        eval_batch_size: the same for validation, test and prediction.
        val_size: images held out of training for validation if the source has no such split: a share if below 1, else
            a number. 0 holds out none and validates on the training images, which is enough for a model that is scored
            by its samples.
        test_size: the same for the test; > 0.
        flip: mirror half of the training images, drawn anew in each epoch.
        split_seed: of the held-out images, which do not depend on the seed of the run.
        cache_limit: the most that the decoded images may take on the disk, in GiB, for a source of picture files.
            Larger splits are decoded when they are read; 0 caches none.
        workers: threads of each process that decode while reading; by default the machine's cores are divided among the
            processes.
        fast_decoding: decode picture files without alpha faster, to slightly different pixels (`data.fast_decoding`).
        crop: the kept part of pictures of other proportions: centre, random, none or pad (`data.framing`). With random
            the training decodes its pictures anew in each epoch, both pictures of a pair alike; evaluations use the
            centre.
        crop_scale: the area of random crops over that of the largest crop, drawn uniformly in [least, most] such as
            [0.64, 1], like torchvision's RandomResizedCrop with a fixed ratio; [1, 1] draws only the place; above 1, up
            to 4, the picture is padded.
        filter: of resizing: nearest, box, bilinear, hamming, bicubic or lanczos.
        value_range: [black, white] of pictures of more than 8 bits, such as [0, 4095] for 12 bits; other numbers are
            clamped. None takes the range from the files (`data.depth`).
        depth: bits per channel of picture files: with 16, training and losses see 16 bits, and the cache is twice as
            large. Results are scored and written with 8 bits, against images rounded to 8.
        damage: kinds of damage that turn images, or the first pictures of pairs, into the `source_images` that a model
            is to restore. It is drawn anew for each image and epoch; validation and test always see the same. None
            damages nothing.

    Raises:
        UserError: an invalid size, a framing that the source or fast decoding does not support, or the library for fast
            decoding is not installed.
    """

    def __init__(
        self,
        source: Source | None = None,
        size: Size = 32,
        batch_size: int = 64,
        eval_batch_size: int = 250,
        val_size: float = 0.1,
        test_size: float = 0.1,
        flip: bool = False,
        split_seed: int = 0,
        cache_limit: float = 32.0,
        workers: int | None = None,
        fast_decoding: bool = False,
        crop: Crop = "centre",
        filter: Filter = "bicubic",
        value_range: tuple[float, float] | None = None,
        depth: Depth = 8,
        crop_scale: tuple[float, float] = LARGEST,
        damage: list[Damage] | None = None,
    ) -> None:
        super().__init__()
        size = canonical_size(size)
        for side in height_and_width(size):
            check_interval(f"[1, {MAX_SIZE}]", size=side)
        check_interval("[1, inf)", batch_size=batch_size, eval_batch_size=eval_batch_size)
        check_interval("[0, inf)", val_size=val_size, split_seed=split_seed)
        check_interval("(0, inf)", test_size=test_size)
        check_interval("[0, inf]", cache_limit=cache_limit)
        self.framing = Framing(crop, filter, fast_decoding, value_range, depth, crop_scale)
        if workers is not None:
            check_interval("[1, 1024]", workers=workers)
        self.source = Digits() if source is None else source
        if not isinstance(self.source, Source):
            raise UserError(
                f"data.source must be a gen_experiments.data.sources.Source, not a {type(source).__name__}: "
                "give it the methods of one (configs/data/README.md)"
            )
        self.size, self.batch_size, self.eval_batch_size = size, batch_size, eval_batch_size
        self.val_size, self.test_size, self.flip, self.split_seed = val_size, test_size, flip, split_seed
        self.cache_limit, self.workers = cache_limit, workers
        check_framing(self.source, self.framing)
        if fast_decoding:
            load_library()
        self.damage = damage or []
        self._splits: dict[str, ImageArray] = {}
        self._origins: dict[str, str] = {}

    @property
    def image(self) -> ImageSpec:
        """Channels, size and classes of the images, known before any image is decoded."""
        return ImageSpec(self.source.channels, self.size, self.source.num_classes, self.source.class_names)

    def prepare_data(self) -> None:
        """Fetches and decodes what is missing in the cache; on one process per machine."""
        self._opener.prepare()

    def setup(self, stage: str) -> None:
        """Prints a summary of the training data, on the first process."""
        if stage == "fit" and distributed.rank() == 0:
            self.split("train")
            lines = summary(self.source, self.size, self._splits, self._origins)
            print("\n".join([*lines, *self._opener.lines()]), flush=True)

    @property
    def has_source_images(self) -> bool:
        """Whether batches have sources, pictures that a model is to turn into the images."""
        return self.source.sides > 1 or bool(self.damage)

    @property
    def in_pairs(self) -> bool:
        """Whether the sources of validation and test show the same as their images."""
        return bool(self.damage) if not isinstance(self.source, PairSource) else self.source.paired

    @property
    def trains_in_pairs(self) -> bool:
        """Whether the sources of the training show the same as their images."""
        return self.in_pairs and not (isinstance(self.source, PairSource) and self.source.shuffled)

    def split(self, name: str) -> ImageArray:
        """Returns the images of "train", "val" or "test"; for pairs the second picture of each."""
        items, channels = self._items(name), self.source.channels
        return items if self.source.sides == 1 else items.planes(channels, 2 * channels)

    def source_images(self, name: str, indices: NDArray[np.int64]) -> Tensor:
        """Returns the sources of a split's images, as validation and test see them.

        Args:
            name: "train", "val" or "test"; training pairs are not shuffled here.
            indices: of the images.

        Returns:
            (len(indices), C, H, W) float32 in [-1, 1].

        Raises:
            UserError: the images have no sources.
        """
        batch = self.on_after_batch_transfer(evaluation_batch(self._items(name), indices), 0)
        if batch.source_images is None:
            raise UserError("these data hold nothing to translate: choose a source of pairs or data.damage")
        return batch.source_images

    def _items(self, name: str) -> ImageArray:
        if not self._splits:
            self._splits = self._divide()
        return self._splits[name]

    def facts(self) -> dict[str, dict[str, object]]:
        """Returns for each split the number of images, their origin and their fingerprint."""
        self.split("train")
        return {
            name: {"images": len(images), "origin": self._origins[name], "fingerprint": images.fingerprint}
            for name, images in self._splits.items()
        }

    @property
    def _opener(self) -> SplitOpener:
        processes = 1 if self.trainer is None else self.trainer.num_devices
        threads = self.workers or max(1, usable_cores() // processes)
        return SplitOpener(self.source, self.size, self.cache_limit, threads, self.framing)

    def _divide(self) -> dict[str, ImageArray]:
        """Returns the source's splits; missing ones are held out of its training images."""
        self.source.fetch()
        if "train" not in self.source.splits():
            raise UserError(f"{type(self.source).__name__}.splits must name a split train")
        splits = {name: self._opener.split(name) for name in self.source.splits()}
        groups = {name: found for name in splits if (found := self.source.groups(name)) is not None}
        self._origins = {name: self.source.origin(name) for name in splits}
        sizes = {"test": self.test_size, "val": self.val_size}
        wanted = {name: size for name, size in sizes.items() if name not in splits and size > 0}
        if wanted:
            whole, of_train = splits["train"], groups.get("train")
            members = held_out(len(whole), wanted, self.split_seed, of_train)
            splits |= {name: whole.part(part) for name, part in members.items()}
            if of_train is not None:
                groups |= {name: of_train[part] for name, part in members.items()}
            self._origins["train"] += ", the rest"
            for name, size in wanted.items():
                number = f", {len(np.unique(groups[name]))} whole groups" if name in groups else ""
                self._origins[name] = f"held out of train by data.{name}_size={size:g}{number}"
        check_apart(groups)
        if "val" not in splits:
            splits["val"], self._origins["val"] = splits["train"], "the training images, as data.val_size=0"
        return splits

    def train_dataloader(self) -> TrainingBatches:
        """Returns the shuffled batches of the training images."""
        whole = self._items("train")
        items: ImageArray | ShuffledPairs = whole
        if isinstance(self.source, PairSource) and self.source.shuffled:
            items = ShuffledPairs(whole, self.source.channels, self.split_seed, self.source.shuffled)
        read = self._opener.random_crops(items) or items
        limit, repeat, trainer = 1.0, False, self.trainer
        if trainer is not None:
            limit, repeat = trainer.limit_train_batches, trainer.overfit_batches > 0  # type: ignore[attr-defined]
        return TrainingBatches(read, self.batch_size, randomness.run_seed(), self.flip, limit, repeat)

    def val_dataloader(self) -> EvaluationBatches:
        """Returns the validation images in order."""
        return EvaluationBatches(self._items("val"), self.eval_batch_size)

    def test_dataloader(self) -> EvaluationBatches:
        """Returns the test images in order."""
        return EvaluationBatches(self._items("test"), self.eval_batch_size)

    def predict_dataloader(self) -> EvaluationBatches:
        """Returns the test images in order."""
        return self.test_dataloader()

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Returns a batch of float32 images in [-1, 1] on the device, mirrored where it says so, with their sources."""
        images = to_float(batch.images)
        if batch.mirrored is not None:
            # Exact at 0 and 1, in a quarter of the time of `where`.
            images = torch.lerp(images, images.flip(-1), batch.mirrored.float()[:, None, None, None])
        sources = None
        if self.source.sides > 1:
            sources, images = images.chunk(2, dim=1)
        if self.damage:
            assert batch.seeds is not None
            sources = damage_images(images if sources is None else sources, self.damage, batch.seeds)
        return batch._replace(images=images, source_images=sources)
