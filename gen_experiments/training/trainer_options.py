"""Refuses options of Lightning's Trainer that would break a model or be ignored silently."""

import re
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy

from gen_experiments.contracts import require_attributes
from gen_experiments.errors import UserError, check_interval
from gen_experiments.training.batch_norm import normalises_batches
from gen_experiments.training.manual import ManualOptimization

# Messages of torch's optimizers.
OF_AN_OPTIMIZER = re.compile(r"Invalid (learning rate|beta parameter|epsilon value|weight_decay value|momentum value)")


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


def check_trains(model: LightningModule, trainer: Trainer, init_from: str | None, checkpoint: Path | None) -> None:
    """Refuses a training without an iteration, or with optimizers whose numbers are out of range.

    Args:
        model: the model, whose optimizers are made: Lightning makes them after it has read the data.
        trainer: of the run.
        init_from: the file of weights that the run begins with, if any; their checkpoint needs no iteration.
        checkpoint: where the run goes on, which may be its end already; None for a new run.

    Raises:
        UserError: an option of the trainer is 0, an optimizer refuses a number, or a learning rate is infinite.
    """
    for option in ("max_steps", "max_epochs", "limit_train_batches") if checkpoint is None else ():
        if getattr(trainer, option) == 0 and (option != "max_steps" or init_from is None):
            raise UserError(f"trainer.{option}=0 trains nothing: set another, or leave it out")
    try:
        made = model.configure_optimizers()
    except Exception as error:
        if isinstance(error, ValueError) and OF_AN_OPTIMIZER.match(str(error)):
            raise UserError(f"an option of one of the model's optimizers is out of range: {error}") from error
        return  # a model of one's own may need its trainer for them
    for optimizer in made if isinstance(made, list) else []:
        for group in optimizer.param_groups:
            check_interval("[0, inf)", **{f"the lr of {type(optimizer).__name__}": float(group["lr"])})
