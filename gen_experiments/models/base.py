"""What every model shares: time in images seen, seeded steps, scheduled learning rates, synchronised batch norm."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar

import torch
from lightning.pytorch.core.mixins.hparams_mixin import _given_hyperparameters
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn
from torch.optim import Optimizer

from gen_experiments import distributed, randomness
from gen_experiments.checkpoints.arguments import Recorded, arguments_of, class_path
from gen_experiments.errors import UserError
from gen_experiments.images import Batch, ImageSpec
from gen_experiments.precision import compiler_options
from gen_experiments.randomness import Stream
from gen_experiments.schedules import Schedule, check_schedules, set_run_length
from gen_experiments.training.batch_norm import synchronise
from gen_experiments.training.manual import ManualOptimization
from gen_experiments.training.optimizers import raise_eps
from gen_experiments.training.trainer_options import check_trainer


class ImageModel(Recorded, ManualOptimization, ABC):
    """The base of all models, your own included.

    A subclass calls `super().__init__(image, lr_schedule)` and wraps its optimizers by `scheduled(...)`.

    Args:
        image: what the images are like; the command line links it from the data.
        lr_schedule: factor on the learning rates, as a function of images seen; None keeps them.

    Attributes:
        images_seen: real images that training has used, over all processes, the current batch included; saved in
            checkpoints.
        batch_images: real images of the current batch, over all processes, of which each holds an equal part.
        iteration: the number of the current training batch, from 0, over all starts of a run. It equals `global_step`
            unless a step accumulates several batches (`trainer.accumulate_grad_batches`), each with its own random
            numbers.
        scores_batches: whether evaluation steps use their images, so that each process needs some.
        score_without_fid: the score that chooses the best checkpoint without a FID, and `min` or `max`; or None.
        alternatives: what to do instead, by the task of a command that the model cannot do.
        logs_this_iteration: whether `log_training` logs now: each `trainer.log_every_n_steps`, and at a run's end.
    """

    scores_batches: ClassVar[bool] = True
    score_without_fid: ClassVar[tuple[str, str] | None] = None
    alternatives: ClassVar[Mapping[str, str]] = {}

    def __init__(self, image: ImageSpec, lr_schedule: Schedule | None) -> None:
        super().__init__()
        check_schedules("[0, inf)", lr_schedule=lr_schedule)
        self.image, self.lr_schedule = image, lr_schedule
        self.images_seen = self.iteration = self.batch_images = self._batch_of_step = 0
        self.logs_this_iteration = False
        self._lr_factor = 1.0
        self._compiled: tuple[nn.Module, ...] = ()
        self._scheduled: list[tuple[Optimizer, list[float]]] = []
        if _given_hyperparameters.get() is not None:
            # The command line's plain values, from which a checkpoint rebuilds the model.
            self.save_hyperparameters(logger=False)

    @abstractmethod
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """Returns the loss of a batch; None where the model steps its own optimizers."""

    def iteration_rng(self) -> torch.Generator:
        """Returns a generator of this iteration's random numbers, in the same state on all processes."""
        return randomness.generator(self.device, randomness.run_seed(), Stream.NOISE, self.iteration)

    def scheduled(self, *optimizers: Optimizer) -> list[Optimizer]:
        """Stores the learning rates of `optimizers`, which `lr_schedule` multiplies.

        They are taken here and not from a checkpoint, so that a resumed run uses the configured learning rates.
        """
        self._scheduled = [(optimizer, [group["lr"] for group in optimizer.param_groups]) for optimizer in optimizers]
        return list(optimizers)

    def compile_in_training(self, *networks: nn.Module) -> None:
        """Marks networks to be compiled when training begins, so that other uses of the model need no compiler."""
        self._compiled = networks

    def setup(self, stage: str) -> None:
        """Synchronises batch norm over all processes, and compiles networks for `fit`.

        Under manual optimization a backward pass reaches only some of the networks, which DDP must expect.

        Raises:
            UserError: the trainer has an option that this model cannot obey.
        """
        if stage == "fit":
            check_trainer(self, self.trainer)
        if not self.automatic_optimization and isinstance(self.trainer.strategy, DDPStrategy):
            self.trainer.strategy._ddp_kwargs["find_unused_parameters"] = True
        if self.trainer.world_size > 1:
            synchronise(self)
        if stage == "fit":
            self._warn_of_checkpoints_without_description()
            options = compiler_options(self.trainer.strategy.root_device, str(self.trainer.precision))
            for network in self._compiled:
                network.compile(options=options)

    @property
    def images_before(self) -> int:
        """The images seen before the current batch, at which schedules are evaluated (`schedules`)."""
        return self.images_seen - self.batch_images

    @property
    def images_before_last(self) -> float:
        """The images that this run will have seen before its last batch; infinity for no end."""
        return self.run_images - getattr(self.trainer.datamodule, "batch_size", 0)  # type: ignore[attr-defined]

    @property
    def run_images(self) -> float:
        """The real images that this run will have seen at its end, from its first step on; infinity for no end."""
        trainer = self.trainer
        size = getattr(trainer.datamodule, "batch_size", math.inf)  # type: ignore[attr-defined]
        of_epoch, accumulated = trainer.num_training_batches, trainer.accumulate_grad_batches
        epochs = trainer.max_epochs if trainer.max_epochs is not None and trainer.max_epochs >= 0 else math.inf
        batches = epochs * of_epoch
        if trainer.max_steps > 0:
            # An epoch's last step has fewer batches than the others where these do not come out even.
            whole, rest = divmod(trainer.max_steps, math.ceil(of_epoch / accumulated))
            batches = min(batches, whole * of_epoch + rest * accumulated)
        return size * batches

    def on_train_start(self) -> None:
        """Sets the length of schedules that last as long as the run; warns of a learning rate that ends too early.

        Optimizers of float16 weights get an `eps` that float16 can represent.
        """
        raise_eps(optimizer for optimizer, _ in self._scheduled)
        images = self.run_images
        set_run_length(images)
        if self.lr_schedule is None or images == math.inf:
            return
        if self.lr_schedule(self.images_before_last) == 0:
            distributed.warn_once(
                f"lr_schedule reaches 0 before the {images} images of this run: its last steps change nothing; "
                "leave out lr_schedule.images and it lasts as long as the run"
            )

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Sets the learning rates, the random state and the images seen of this iteration.

        The global random state follows from (seed, iteration, rank), so that dropout is the same in a resumed run.

        Raises:
            UserError: the batch is none of `ImageDataModule`.
        """
        if not isinstance(batch, Batch):
            raise UserError(f"a batch is a {type(batch).__name__}: train on the batches of an ImageDataModule")
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        last = self.images_seen >= self.images_before_last  # it is shown at the end, also of a run shorter than `every`
        self.logs_this_iteration = every > 0 and (last or (self.global_step + 1) % every == 0)
        self._lr_factor = self.lr_schedule(self.images_seen) if self.lr_schedule else 1.0
        for optimizer, rates in self._scheduled:
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * self._lr_factor
        accumulated = self.trainer.accumulate_grad_batches
        self._batch_of_step = batch_idx % accumulated
        self.iteration = self.global_step * accumulated + self._batch_of_step
        seed = randomness.key_seed(randomness.run_seed(), Stream.GLOBAL, self.iteration, distributed.rank())
        # `torch.manual_seed` would format a stack trace for every kind of device that is absent.
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        self.batch_images = batch.images.shape[0] * distributed.world_size()
        self.images_seen += self.batch_images

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Steps an optimizer under automatic optimization, and then calls `after_step`."""
        super().optimizer_step(*args, **kwargs)
        self.after_step((self._batch_of_step + 1) * self.batch_images)

    def after_step(self, images: int) -> None:
        """Updates what follows the weights, such as their averages; under manual optimization the model calls it.

        Lightning's hook `on_train_batch_end` of a module would be too late: checkpoints are written before it.

        Args:
            images: real images of this step, over all processes.
        """

    def log_training(self, **values: Tensor | float) -> None:
        """Logs `train/NAME` for every value, beside the images seen (the x-axis of all curves).

        Scalar tensors are averaged over the processes, each of which has seen its part of the batch; numbers are the
        same on all. It costs nothing in iterations that are not logged.
        """
        if not self.logs_this_iteration:
            return
        if self.lr_schedule is not None:
            values["lr_factor"] = self._lr_factor
        # Numbers as float32: under 16-true the default is float16, which represents few learning rates.
        tensors = {
            name: value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float32)
            for name, value in values.items()
        }
        logged = {f"train/{name}": mean for name, mean in distributed.means(tensors, self.device).items()}
        self.log_dict(logged | {"images_seen": float(self.images_seen)})

    def test_step(self, batch: Batch, batch_idx: int) -> Any:
        """Does what a validation does."""
        return self.validation_step(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        """Logs the scores of a validation."""
        self.log_evaluation("val")

    def on_test_epoch_end(self) -> None:
        """Logs the scores of a test."""
        self.log_evaluation("test")

    def log_evaluation(self, split: str) -> None:
        """Logs the images seen; a subclass adds its scores, as `val/NAME` or `test/NAME`."""
        self.log("images_seen", float(self.images_seen))

    def hyper_parameters(self) -> dict[str, Any]:
        """Returns the plain values from which a checkpoint rebuilds a model that was made in Python.

        Raises:
            UserError: a part is neither a class nor a partial of a class nor an object of this package's bases.
        """
        return {"_class_path": class_path(type(self)), **arguments_of(self)}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the images seen and, for a model made in Python, the values that rebuild it."""
        checkpoint["images_seen"] = self.images_seen
        if "hyper_parameters" not in checkpoint:
            with suppress(UserError):
                checkpoint["hyper_parameters"] = self.hyper_parameters()

    def _warn_of_checkpoints_without_description(self) -> None:
        """Warns before training, rather than after it, that no command will read its checkpoints."""
        if not self.hparams:
            try:
                self.hyper_parameters()
            except UserError as error:
                distributed.warn_once(f"checkpoints of this model can only be loaded by Lightning: {error}")

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores the images seen."""
        self.images_seen = checkpoint["images_seen"]
