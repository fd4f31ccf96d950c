"""Refuses options of Lightning's Trainer that would break a model or be ignored silently."""

from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy

from gen_experiments.contracts import require_attributes
from gen_experiments.errors import UserError
from gen_experiments.training.batch_norm import normalises_batches
from gen_experiments.training.manual import ManualOptimization


def check_trainer(model: ManualOptimization, trainer: Trainer) -> None:
    """Refuses the options of a trainer that a model cannot obey.

    Raises:
        UserError: the strategy shards models, the data loaders would be reloaded, Lightning would synchronise batch
            norm; under manual optimization also gradient accumulation or clipping by the trainer. Or the model's
            constructor does not call that of its base class.
    """
    require_attributes(model)
    if not isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy):
        raise UserError(
            f"trainer.strategy={type(trainer.strategy).__name__} shards a model, but averages, penalties and "
            "checkpoints need the whole model: set trainer.strategy=ddp, or leave it out"
        )
    if trainer.reload_dataloaders_every_n_epochs:  # type: ignore[attr-defined]
        raise UserError(
            "trainer.reload_dataloaders_every_n_epochs would repeat the order of the first epoch in all others, and "
            "images do not change: leave it out"
        )
    if not model.automatic_optimization:
        for option, unset in (("accumulate_grad_batches", 1), ("gradient_clip_val", None)):
            if getattr(trainer, option) != unset:
                raise UserError(
                    f"a {type(model).__name__} that steps its own optimizers cannot obey trainer.{option}: "
                    f"{model.trainer_alternatives.get(option, 'leave it out')}"
                )
    if getattr(trainer.strategy, "_layer_sync", None) is not None and normalises_batches(model):
        raise UserError("batch norm is synchronised without trainer.sync_batchnorm: leave it out")


def check_trains(trainer: Trainer, init_from: str | None) -> None:
    """Refuses a new run without an iteration, unless its result is the checkpoint of the weights it begins with.

    Args:
        trainer: of the new run.
        init_from: the file of weights that the run begins with, if any.

    Raises:
        UserError: an option of the trainer is 0.
    """
    for option in ("max_steps", "max_epochs", "limit_train_batches"):
        if getattr(trainer, option) == 0 and (option != "max_steps" or init_from is None):
            raise UserError(f"trainer.{option}=0 trains nothing: set another, or leave it out")
