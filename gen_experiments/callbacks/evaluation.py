"""FID of samples or reconstructions, and reconstruction metrics, at every validation and test."""

import warnings
from typing import TYPE_CHECKING, Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torchmetrics import MeanMetric

from gen_experiments import distributed
from gen_experiments.callbacks.best import choose_best_without_fid
from gen_experiments.callbacks.interruption import pause_point
from gen_experiments.callbacks.protocols import Reconstructs, Samples, SamplesOfClasses, Translates, made_of
from gen_experiments.errors import UserError, check_interval
from gen_experiments.evaluation.collapse import ClassVariety
from gen_experiments.evaluation.reference import ReferenceStatistics
from gen_experiments.images import Batch, ImageSet, to_uint8
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.metrics.frechet import FeatureSums, Moments, frechet_distance, warn_of_few
from gen_experiments.metrics.reconstruction import l1, psnr, ssim

if TYPE_CHECKING:
    from gen_experiments.data.datamodule import ImageDataModule

LEARNED_SOMETHING = 10_000  # images seen; before, samples differ as little as the weights they started from make them


class Evaluation(Callback):
    """Scores what the model makes, on uint8 images as they would be written to disk.

    A model that reconstructs gets `psnr`, `ssim` and `rfid` (the evaluated split against its reconstructions). One that
    translates gets `fid` (the target pictures of the evaluated split against its translations) and, of true pairs,
    `psnr`, `ssim`, `l1` (of pixels on a [0, 1] scale) and `psnr_gain` (dB above the PSNR of the source unchanged). One
    that samples gets `fid` (`samples` images against the split `reference`). Names begin with `val/` or `test/`.
    Of a conditional model `class_variety` is logged too, and warned of where it is small: the smallest share, over the
    classes, of the data's spread of features within a class that the samples have. A generator that makes one image of
    each class has 0 there, and may have a good FID.

    Training ends with a validation, wherever its last iteration falls, so that the last weights are scored and saved.

    Args:
        extractor: the network whose features the FID compares; never part of a checkpoint. None for no FID.
        samples: generated images, over all processes.
        batch_size: images in a pass of the extractor.
        seed: names the sequence of samples; it is the same at every evaluation, so that curves compare like with like.
        reference: the split that samples are compared with; another than the training images where these are few.
        collapsed: the `class_variety` below which a warning says that a class has collapsed, once the model has seen
            10,000 images; in [0, 1], 0 for no warning.

    Raises:
        UserError: a number out of range, such as fewer than two samples.
    """

    def __init__(
        self,
        extractor: FeatureExtractor | None,
        samples: int = 10_000,
        batch_size: int = 250,
        seed: int = 0,
        reference: Literal["train", "val", "test"] = "train",
        collapsed: float = 0.25,
    ) -> None:
        check_interval("[2, inf)", samples=samples)
        check_interval("[1, inf)", batch_size=batch_size)
        check_interval("[0, inf)", seed=seed)
        check_interval("[0, 1]", collapsed=collapsed)
        self.extractor = extractor
        self.samples = samples
        self.batch_size = batch_size
        self.seed = seed
        self.reference = reference
        self.collapsed = collapsed
        self._statistics = None if extractor is None else ReferenceStatistics(extractor)
        self._reference_moments: Moments | None = None
        self._sums = None if extractor is None else FeatureSums(extractor.num_features)
        self._variety: ClassVariety | None = None
        self._psnr, self._ssim, self._l1, self._gain = (MeanMetric() for _ in range(4))
        self._in_pairs = True  # whether what is made can be compared with the images of its batch
        self._suffix = ""  # of the names of distances that mean little

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Moves the extractor to the model's device, and has `best.ckpt` chosen by a score that means something.

        Raises:
            UserError: the extractor is not for these images, or there are more processes than images to evaluate.
        """
        data: ImageDataModule = trainer.datamodule  # type: ignore[attr-defined]
        if stage == "test" or (stage in ("fit", "validate") and trainer.limit_val_batches):
            _check_shares(data, pl_module, "test" if stage == "test" else "val")
        for module in (self.extractor, self._sums, self._psnr, self._ssim, self._l1, self._gain):
            if module is not None:
                module.to(trainer.strategy.root_device)
        if self.extractor is not None and self.extractor.fits(data.source.content):
            return
        self._suffix = "" if self.extractor is None else f"_by_{type(self.extractor).__name__}"
        choose_best_without_fid(trainer, getattr(pl_module, "score_without_fid", None))

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Stops training by hand where it ends by itself, for then Lightning validates once more."""
        ended = 0 < trainer.max_steps <= trainer.global_step
        epochs = trainer.max_epochs or -1
        if ended or (trainer.is_last_batch and 0 < epochs <= trainer.current_epoch + 1):
            trainer.should_stop = True

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts counting afresh, against the statistics of the reference images."""
        self._start(trainer, pl_module, "val")

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The same for the test split."""
        self._start(trainer, pl_module, "test")

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, *_: int
    ) -> None:
        """Counts a batch of reconstructions."""
        self._count(outputs, batch)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, *_: int
    ) -> None:
        """The same for the test split."""
        self._count(outputs, batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs the scores."""
        self._finish(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The same for the test split."""
        self._finish(trainer, pl_module, "test")

    def protocol(self) -> dict[str, object]:
        """Returns what one must know to compare the FID with another: extractor, resize, number of samples, seed."""
        chosen = {"samples": self.samples, "seed": self.seed, "reference": self.reference}
        return {**(self.extractor.protocol() if self.extractor is not None else {"extractor": None}), **chosen}

    def _start(self, trainer: Trainer, pl_module: LightningModule, split: str) -> None:
        data: ImageDataModule = trainer.datamodule  # type: ignore[attr-defined]
        if self._statistics is not None:
            reference: ImageSet = data.split(self.reference if isinstance(pl_module, Samples) else split)
            self._reference_moments = self._statistics.moments(
                reference, self.batch_size, trainer.strategy.root_device, lambda: pause_point(trainer)
            )
            if isinstance(pl_module, SamplesOfClasses) and pl_module.num_classes and data.image.num_classes:
                if self._variety is None and self.extractor is not None:
                    self._variety = ClassVariety(self.extractor, data.image.class_labels)
                if self._variety is not None:
                    self._variety.start(reference, self.batch_size, trainer.strategy.root_device)
        self._in_pairs = data.in_pairs or not isinstance(pl_module, Translates)
        for metric in (self._sums, self._psnr, self._ssim, self._l1, self._gain):
            if metric is not None:
                metric.reset()

    def _count(self, outputs: Any, batch: Batch) -> None:
        made = made_of(outputs)
        if made is None:
            return
        reconstructions, images = to_uint8(made), to_uint8(batch.images)
        if self._in_pairs:
            ratio = psnr(reconstructions, images)
            self._psnr.update(ratio)
            self._ssim.update(ssim(reconstructions, images))
            if batch.sources is not None:
                self._l1.update(l1(reconstructions, images))
                self._gain.update(ratio - psnr(to_uint8(batch.sources), images))
        if self.extractor is not None and self._sums is not None:
            self._sums.update(self.extractor(reconstructions))

    def _finish(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        scores = {}
        if isinstance(pl_module, Translates):
            if self._in_pairs:
                scores = {"psnr": self._psnr.compute(), "ssim": self._ssim.compute()}
                scores |= {"l1": self._l1.compute(), "psnr_gain": self._gain.compute()}
            if self._sums is not None:
                scores[f"fid{self._suffix}"] = self._distance(self._sums)
        elif isinstance(pl_module, Reconstructs):
            scores = {"psnr": self._psnr.compute(), "ssim": self._ssim.compute()}
            if self._sums is not None:
                scores[f"rfid{self._suffix}"] = self._distance(self._sums)
        elif isinstance(pl_module, Samples) and self.extractor is not None and self._sums is not None:
            self._sample(trainer, pl_module, self.extractor, self._sums)
            scores = {f"fid{self._suffix}": self._distance(self._sums)}
            if self._variety is not None and (least := self._variety.least()) is not None:
                scores["class_variety"], name = least
                self._warn_of_collapse(pl_module, float(scores["class_variety"]), name)
        pl_module.log_dict({f"{stage}/{name}": value.to(torch.float32) for name, value in scores.items()})

    def _warn_of_collapse(self, pl_module: LightningModule, share: float, name: str) -> None:
        learned = getattr(pl_module, "images_seen", 0) >= LEARNED_SOMETHING
        if share < self.collapsed and learned and distributed.rank() == 0:
            warnings.warn(
                f"the samples of class {name} have collapsed: their features spread {share:.1%} as much as the data's; "
                "look at a grid of that class, and do not trust the FID",
                stacklevel=2,
            )

    def _distance(self, sums: FeatureSums) -> Tensor:
        assert self._reference_moments is not None
        moments = sums.moments()
        warn_of_few(self._reference_moments, moments)
        return frechet_distance(self._reference_moments, moments)

    def _sample(self, trainer: Trainer, model: Samples, extractor: FeatureExtractor, sums: FeatureSums) -> None:
        starts = range(0, self.samples, self.batch_size)
        for number, start in enumerate(starts[distributed.rank() :: distributed.world_size()]):
            if number < len(starts) // distributed.world_size():  # the passes that every process has
                pause_point(trainer)
            count = min(self.batch_size, self.samples - start)
            features = extractor(to_uint8(model.sample(start, count, self.seed)))
            sums.update(features)
            if self._variety is not None and isinstance(model, SamplesOfClasses):
                labels = model.sample_labels(start, count, self.seed)
                assert labels is not None
                self._variety.count(features, labels)


def _check_shares(data: "ImageDataModule", model: LightningModule, split: str) -> None:
    """Refuses a split of which some process would get nothing, if the model scores its batches."""
    images, processes = len(data.split(split)), distributed.world_size()
    if getattr(model, "scores_batches", True) and min(images, data.eval_batch_size) < processes:
        raise UserError(
            f"{processes} devices cannot share {images} {split} images in batches of {data.eval_batch_size}: "
            f"set fewer devices, or a larger data.{split}_size or data.eval_batch_size"
        )
