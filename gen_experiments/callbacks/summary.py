"""Prints the results of a run and the paths of its files."""

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import WandbLogger
from rich.console import Console
from rich.table import Table

from gen_experiments.callbacks.evaluation import Evaluation
from gen_experiments.callbacks.lookups import callbacks_of, data_of
from gen_experiments.callbacks.protocols import HasUnits, Samples, Translates, image_mapping
from gen_experiments.callbacks.resumption import out_of_time
from gen_experiments.callbacks.wandb_logger import WandbRun
from gen_experiments.units import with_unit


class Summary(Callback):
    """Prints the last metrics, the best score, both checkpoints and the run's folder when training ends.

    Below the metrics stands what the scores among them compare, and by which features.
    The summary of a W&B run gets the best score too, for example as `val/fid_best`.
    """

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints, on the first process."""
        if not trainer.is_global_zero:
            return
        checkpoints = callbacks_of(trainer, ModelCheckpoint)
        table = Table("metric", "value", title=f"after {trainer.global_step} iterations")
        best = {
            f"{callback.monitor}_best": callback.best_model_score.item()
            for callback in checkpoints
            if callback.best_model_score is not None
        }
        for logger in trainer.loggers:
            if isinstance(logger, WandbRun):
                logger.log_summary(best)
            elif isinstance(logger, WandbLogger):
                logger.experiment.summary.update(best)
        units = pl_module.units if isinstance(pl_module, HasUnits) else {}
        for name, value in sorted({**trainer.callback_metrics, **best}.items()):
            table.add_row(with_unit(name, units), f"{float(value):.6g}")
        console = Console(soft_wrap=True)
        if table.row_count:
            console.print(table)
        if scored := _protocol_in_words(trainer, pl_module):
            print(scored)
        if out_of_time(trainer):
            print("trainer.max_time was over: go on by --ckpt_path=last and a longer --trainer.max_time")
        for callback in checkpoints:
            if callback.best_model_path:
                score = callback.best_model_score
                label = (
                    f"best checkpoint, {callback.monitor} {float(score):.6g}"
                    if score is not None
                    else "last checkpoint"
                )
                console.print(f"{label}: {callback.best_model_path}", highlight=False)
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            print("this was a trial (trainer.fast_dev_run), of which nothing is kept")
            return
        # The run's folder; that of a logger of Lightning's lies in it.
        console.print(f"everything was written to: {trainer.default_root_dir}", highlight=False)


def _protocol_in_words(trainer: Trainer, model: LightningModule) -> str:
    """Returns what the scores of the last validation compare, and by which features; empty where nothing was scored."""
    evaluation = next(iter(callbacks_of(trainer, Evaluation)), None)
    if evaluation is None or not any(name.startswith("val/") for name in trainer.callback_metrics):
        return ""
    maps_images = image_mapping(model) is not None
    if not maps_images and (evaluation.extractor is None or not isinstance(model, Samples)):
        return ""
    split = "val" if maps_images else evaluation.reference
    data = data_of(trainer)
    count = len(data.split(split))
    images = f"the {count} images of {split}"
    if maps_images:
        scored = sum(map(int, trainer.num_val_batches)) * data.eval_batch_size
        images = f"{scored} of {images}" if scored < count else images
        what = f"{'translations against' if isinstance(model, Translates) else 'reconstructions of'} {images}"
    else:
        what = f"{evaluation.samples} samples against {images}"
    if evaluation.extractor is None:
        return f"scored: {what}"
    protocol = evaluation.protocol()
    return f"scored: {what}; features: {protocol['extractor']}, {protocol['resize']}"
