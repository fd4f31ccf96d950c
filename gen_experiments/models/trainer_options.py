"""Refuses options of Lightning's Trainer that would break a model or be ignored silently."""

from collections.abc import Mapping

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy

from gen_experiments.contracts import require_attributes
from gen_experiments.errors import UserError
from gen_experiments.models.batch_norm import normalises_batches


def check_trainer(model: LightningModule, trainer: Trainer, instead_of: Mapping[str, str]) -> None:
    """Refuses the options of a trainer that a model cannot obey.

    Args:
        model: the model to train.
        trainer: the trainer with the options.
        instead_of: advice for options that manual optimization replaces, by the option's name.

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
        _check_manual(model, trainer, instead_of)
    if getattr(trainer.strategy, "_layer_sync", None) is not None and normalises_batches(model):
        raise UserError("batch norm is synchronised without trainer.sync_batchnorm: leave it out")


def _check_manual(model: LightningModule, trainer: Trainer, instead_of: Mapping[str, str]) -> None:
    for option, unset in (("accumulate_grad_batches", 1), ("gradient_clip_val", None)):
        if getattr(trainer, option) != unset:
            raise UserError(
                f"a {type(model).__name__} that steps its own optimizers cannot obey trainer.{option}: "
                f"{instead_of.get(option, 'leave it out')}"
            )
