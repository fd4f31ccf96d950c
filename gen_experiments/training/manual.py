"""Manual optimization: a model that steps its own optimizers in turn."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from lightning.pytorch import LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer


class ManualOptimization(LightningModule):
    """The steps of several optimizers where `automatic_optimization` is off; does nothing where it is on.

    Attributes:
        trainer_alternatives: what to set instead of the trainer's options that manual optimization excludes, by their
            names.
    """

    trainer_alternatives: ClassVar[dict[str, str]] = {}

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
