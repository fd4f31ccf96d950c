"""Scores of samples or reconstructions at every validation and test."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from gen_experiments import distributed
from gen_experiments.callbacks.alarms import warn_of_collapse, warn_of_missed
from gen_experiments.callbacks.best import choose_best_without_fid
from gen_experiments.callbacks.interruption import pause_point
from gen_experiments.callbacks.lookups import data_of
from gen_experiments.callbacks.protocols import Reconstructs, Samples, SamplesOfClasses, Translates, images_in
from gen_experiments.callbacks.shares import check_shares, warn_of_unread
from gen_experiments.errors import UserError, check_interval
from gen_experiments.evaluation.class_variety import ClassVariety
from gen_experiments.evaluation.online import OnlineScores, PairScores
from gen_experiments.evaluation.scores import IN_TRAINING, check_counts, check_extractor
from gen_experiments.images import Batch, ImageSet, to_uint8
from gen_experiments.losses.perceptual import Perceptual
from gen_experiments.metrics.features import FeatureExtractor

if TYPE_CHECKING:
    from gen_experiments.data.datamodule import ImageDataModule


class Evaluation(Callback):
    """Scores the model's images, on uint8 images as written to disk.

    A model that reconstructs gets `psnr`, `ssim` (from 11 pixels a side), `lpips` (if it is asked for) and `rfid`
    (reconstructions against the evaluated split). A model that translates gets `fid` (translations against the targets
    of the evaluated split) and, for true pairs, the other three. With sources both get `l1` (of pixels on a [0, 1]
    scale) and `psnr_gain` (the gain in dB over the unchanged source). A model that samples gets `fid` (`samples` images
    against the split `reference`). Names begin with `val/` or `test/`. Other `metrics` are named alike (`mind`,
    `rmind`) and computed as in the command `evaluate`.

    For samples `variety` is logged too: the spread of their features over that of the data; and for a conditional model
    `class_variety`, the smallest such ratio within a class. Small values cause a warning: a generator that makes one
    image per class has a `class_variety` of 0, and may have a good FID.

    Training ends with a validation after its last iteration, so that the last weights are scored and saved.

    Args:
        extractor: the network whose features FID compares; never part of a checkpoint. None for no FID.
        samples: generated images, over all processes.
        batch_size: images per pass of the extractor.
        seed: names the sequence of samples, which is the same at every evaluation, so that curves are comparable.
        reference: the split that samples are compared with.
        collapsed: the `variety` or `class_variety` below which a warning says that the samples have collapsed, once the
            model has seen 10,000 images; in [0, 1], 0 for no warning.
        metrics: some of fid, fid_infinity, kid, is, precision, recall, density, coverage, mind and missed; the first
            chooses the best checkpoint. With few samples (1,000, say) MIND and KID mean more than FID. `missed` is a
            lower bound of the share of the data that is not generated, with a warning above a quarter. For a
            conditional model it adds `class_missed`, the largest such share within a class, with its own warning;
            classes with fewer than 80 samples or real images are not judged. All but FID keep the features of all
            images in memory and compute those of the reference once in a run.
        lpips: the network of LPIPS and its weights, which are fetched; None for no LPIPS.

    Raises:
        UserError: a number out of range, such as fewer than two samples, or an unknown metric.
    """

    def __init__(
        self,
        extractor: FeatureExtractor | None,
        samples: int = 10_000,
        batch_size: int = 250,
        seed: int = 0,
        reference: Literal["train", "val", "test"] = "train",
        collapsed: float = 0.25,
        metrics: Sequence[str] = ("fid",),
        lpips: Perceptual | None = None,
    ) -> None:
        check_interval("[2, inf)", samples=samples)
        check_interval("[1, inf)", batch_size=batch_size)
        check_interval("[0, inf)", seed=seed)
        check_interval("[0, 1]", collapsed=collapsed)
        unknown = sorted(set(metrics) - set(IN_TRAINING))
        if unknown or not metrics:
            wrong = unknown[0] if unknown else "nothing"
            raise UserError(f"evaluation.metrics cannot hold {wrong}: choose from {', '.join(IN_TRAINING)}")
        self.extractor = extractor
        self.samples = samples
        self.batch_size = batch_size
        self.seed = seed
        self.reference = reference
        self.collapsed = collapsed
        self.metrics = tuple(metrics)
        self._scores = None if extractor is None else OnlineScores(extractor, metrics)
        self._variety: ClassVariety | None = None
        self.pairs = PairScores(None if lpips is None else lpips.lpips)
        self._in_pairs = True  # whether the model's images can be compared with those of the batch
        self._has_source_images = False  # whether the batches have source images
        self._suffix = ""  # of the names of scores by an extractor that does not know the images

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Moves the networks of the scores to the model's device, and chooses the score for `best.ckpt`.

        Raises:
            UserError: they are not for these images, or there are more processes than images to evaluate.
        """
        data = data_of(trainer)
        warn_of_unread(self, pl_module)
        if stage == "test" or (stage in ("fit", "validate") and trainer.limit_val_batches):
            split = "test" if stage == "test" else "val"
            check_shares(data, pl_module, split)
            if isinstance(pl_module, (Reconstructs, Translates)):
                self.pairs.load(data.image.shape, trainer.strategy.root_device)
            if self._scores is not None:
                reference = len(self._reference(data, pl_module, split))
                evaluated = self.samples if isinstance(pl_module, Samples) else reference
                check_counts(self.metrics, evaluated, reference, "--evaluation.metrics")
        if self.extractor is not None:
            self.extractor.check_channels(data.source.channels)
            self.extractor.to(trainer.strategy.root_device)
            paired = isinstance(pl_module, Reconstructs) or (isinstance(pl_module, Translates) and data.in_pairs)
            made = self.samples if isinstance(pl_module, Samples) else None
            check_extractor(self.metrics, self.extractor, made, paired, "--evaluation.metrics")
            if stage == "fit":  # a mistake in an extractor of the user's own is said before the first step
                self.extractor(torch.zeros(2, *data.image.shape, dtype=torch.uint8, device=self.extractor.device))
        if self._scores is not None and self._scores.extractor.fits(data.source.content):
            name, mode = self._scores.best_by
            if name != "fid":
                choose_best_without_fid(trainer, (f"val/{_prefix(pl_module)}{name}", mode))
            return
        self._suffix = "" if self.extractor is None else f"_by_{type(self.extractor).__name__}"
        choose_best_without_fid(trainer, getattr(pl_module, "score_without_fid", None))

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Sets `should_stop` at the last iteration, so that Lightning validates once more."""
        ended = 0 < trainer.max_steps <= trainer.global_step
        epochs = trainer.max_epochs or -1
        if ended or (trainer.is_last_batch and 0 < epochs <= trainer.current_epoch + 1):
            trainer.should_stop = True

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Resets the scores, and prepares the reference."""
        self._reset(trainer, pl_module, "val")

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The same for the test split."""
        self._reset(trainer, pl_module, "test")

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Adds a batch of reconstructions or translations."""
        self._update(outputs, batch)

    on_test_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs the scores."""
        self._log_scores(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The same for the test split."""
        self._log_scores(trainer, pl_module, "test")

    def protocol(self) -> dict[str, object]:
        """Returns the protocol of the scores: extractor, resize, number of samples, seed, reference."""
        chosen = {"samples": self.samples, "seed": self.seed, "reference": self.reference}
        return {**(self.extractor.protocol() if self.extractor is not None else {"extractor": None}), **chosen}

    def _reference(self, data: "ImageDataModule", model: LightningModule, split: str) -> ImageSet:
        """Returns the reference of a model in the evaluation of a split."""
        return data.split(self.reference if isinstance(model, Samples) else split)

    def _reset(self, trainer: Trainer, pl_module: LightningModule, split: str) -> None:
        data = data_of(trainer)
        if self._scores is not None:
            reference = self._reference(data, pl_module, split)
            device = trainer.strategy.root_device
            of_classes = isinstance(pl_module, SamplesOfClasses) and pl_module.num_classes and data.image.num_classes
            names = data.image.class_labels if of_classes else ()
            self._scores.reset(reference, self.batch_size, device, lambda: pause_point(trainer), names)
            if of_classes:
                self._variety = self._variety or ClassVariety(self._scores.extractor, data.image.class_labels)
                self._variety.reset(reference, self.batch_size, device)
        self._in_pairs = data.in_pairs or not isinstance(pl_module, Translates)
        self._has_source_images = data.has_source_images
        self.pairs.reset(data.image.shape, trainer.strategy.root_device)

    def _update(self, outputs: Any, batch: Batch) -> None:
        outcome = images_in(outputs)
        if outcome is None:
            return
        reconstructions = to_uint8(outcome)
        if self._in_pairs:
            self.pairs.update(reconstructions, batch)
        if self._scores is not None:
            self._scores.update(reconstructions, batch.places)

    def _log_scores(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        scores: dict[str, float | Tensor] = {}
        maps_images = isinstance(pl_module, (Reconstructs, Translates))
        if maps_images and self._in_pairs:
            scores |= self.pairs.compute(self._has_source_images)
        if self._scores is not None and (maps_images or isinstance(pl_module, Samples)):
            if isinstance(pl_module, Samples) and not maps_images:
                self._update_by_samples(trainer, pl_module, self._scores)
                scores |= self._varieties(pl_module, self._scores)
            of_sets = self._scores.compute(maps_images and self._in_pairs, self._labels(pl_module))
            scores |= {f"{_prefix(pl_module)}{name}{self._suffix}": score.value for name, score in of_sets.items()}
            so_far = trainer.state.fn is TrainerFn.FITTING and not trainer.should_stop
            for name in ("missed", "class_missed"):
                if name in of_sets and not maps_images and self.collapsed:
                    warn_of_missed(pl_module, of_sets[name].value, of_sets[name].of_class, so_far)
        values = {f"{stage}/{name}": torch.as_tensor(value, dtype=torch.float32) for name, value in scores.items()}
        pl_module.log_dict(values)

    def _labels(self, model: LightningModule) -> Tensor | None:
        """Returns the classes of all samples if a metric is computed by class too."""
        if "missed" not in self.metrics or not isinstance(model, SamplesOfClasses):
            return None
        return model.sample_labels(0, self.samples, self.seed)

    def _varieties(self, pl_module: LightningModule, scores: OnlineScores) -> dict[str, float | Tensor]:
        """Returns the variety of all samples and of the least varied class; warns of a collapse."""
        shares: dict[str, float | Tensor] = {"variety": scores.variety()}
        collapsed = "the samples"
        if self._variety is not None and (least := self._variety.compute()) is not None:
            shares["class_variety"], name = least
            if float(shares["class_variety"]) < self.collapsed:
                collapsed = f"the samples of class {name}"
        warn_of_collapse(pl_module, min(map(float, shares.values())), self.collapsed, collapsed)
        return shares

    def _update_by_samples(self, trainer: Trainer, model: Samples, scores: OnlineScores) -> None:
        for part in distributed.own_parts(self.samples, self.batch_size, lambda: pause_point(trainer)):
            images = to_uint8(model.sample(part.start, len(part), self.seed))
            features = scores.update(images, torch.tensor(part))
            if self._variety is not None and isinstance(model, SamplesOfClasses):
                labels = model.sample_labels(part.start, len(part), self.seed)
                assert labels is not None
                self._variety.update(features, labels)


def _prefix(model: LightningModule) -> str:
    """Returns the prefix of scores' names: those of reconstructions are called rFID and so on."""
    return "r" if isinstance(model, Reconstructs) else ""
