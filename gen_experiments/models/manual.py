"""Manual optimization: a model that steps its own optimizers in turn."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.core.optimizer import LightningOptimizer

from gen_experiments.models.trainer_options import check_trainer


class ManualOptimization(LightningModule):
    """The steps of several optimizers where `automatic_optimization` is off; does nothing where it is on.

    Attributes:
        instead_of: advice for options of the trainer that manual optimization excludes, by their names.
    """

    instead_of: ClassVar[dict[str, str]] = {}

    def check_trainer(self, trainer: Trainer) -> None:
        """Refuses options of the trainer that do not work with this model.

        Raises:
            UserError: see `trainer_options.check_trainer`.
        """
        check_trainer(self, trainer, self.instead_of)

    def own_optimizer(self, number: int) -> LightningOptimizer:
        """Returns one of the optimizers, under manual optimization."""
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        return optimizers[number]

    @contextmanager
    def stepping(self, number: int) -> Iterator[None]:
        """Within it only the parameters of one optimizer get gradients; the optimizer steps at its end.

        `LightningOptimizer.step` advances `global_step`: only the first optimizer uses it, once an iteration.
        """
        optimizer = self.own_optimizer(number)
        self.toggle_optimizer(optimizer)
        optimizer.zero_grad()
        yield
        if number == 0:
            optimizer.step()
        else:
            self.trainer.strategy.optimizer_step(optimizer.optimizer, closure=lambda: None)
        self.untoggle_optimizer(optimizer)
