"""Which options of Lightning's Trainer a model cannot obey; what would be broken or ignored in silence is refused."""

from collections.abc import Mapping

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy

from gen_experiments.errors import UserError
from gen_experiments.models.batch_norm import normalises_batches


def check_trainer(model: LightningModule, trainer: Trainer, instead_of: Mapping[str, str]) -> None:
    """Refuses what a model cannot obey.

    Args:
        model: what is to be trained.
        trainer: by which.
        instead_of: what does the work of an option under manual optimization, by the option's name.

    Raises:
        UserError: a strategy that shards models, batches that are loaded anew; under manual optimization, gradient
            accumulation or clipping by the trainer; batch norm that Lightning would synchronise in its own way.
    """
    if not isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy):
        raise UserError(
            f"trainer.strategy={type(trainer.strategy).__name__} shards a model, of which averages, penalties and "
            "checkpoints need the whole: set trainer.strategy=ddp, or leave it out"
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
