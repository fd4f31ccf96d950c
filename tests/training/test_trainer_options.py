"""Options of the Trainer that a model cannot obey get one line before the first step; others are obeyed."""

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.strategies import DDPStrategy

from conftest import CONFIGS, SHORT, SMALL
from gen_experiments.data.sampling import epoch_order
from gen_experiments.images import ImageSpec
from gen_experiments.losses.adversarial import NonSaturating
from gen_experiments.losses.lecam import LeCam
from gen_experiments.losses.penalties import R1
from gen_experiments.models.gan import GAN
from gen_experiments.networks.discriminators import DCGANDiscriminator
from gen_experiments.networks.generators import DCGANGenerator
from gen_experiments.training.batch_norm import synchronise
from small_models import adam, gan, quiet_trainer


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            "--trainer.strategy={class_path: lightning.pytorch.strategies.ModelParallelStrategy}",
            "set trainer.strategy=ddp, or leave it out",
        ),
        ("--trainer.reload_dataloaders_every_n_epochs=1", "order of the first epoch"),
        ("--trainer.gradient_clip_val=0.5", "set model.gradient_clip_norm instead"),
    ],
)
def test_what_a_gan_cannot_obey_is_refused(refused, option, message):
    assert message in refused("fit", *SMALL["gan"], *SHORT, option)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("lr=-1", "one of the model's optimizers is out of range: Invalid learning rate: -1.0"),
        ("lr=.inf", "the lr of Adam must be >= 0, not inf"),
        ("betas=[0.5, 1.5]", "Invalid beta parameter at index 1: 1.5"),
        ("eps=-1", "Invalid epsilon value: -1.0"),
        ("weight_decay=-1", "Invalid weight_decay value: -1.0"),
    ],
)
def test_an_optimizer_out_of_range_is_refused_before_pictures_are_decoded(refused, tmp_path, option, message):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "broken.png").write_text("no picture")
    folder = (
        f"--config={CONFIGS / 'data' / 'folder.yaml'}",
        "--data.source.root=pictures",
        "--data.size=16",
        "--evaluation.extractor=null",
    )
    assert message in refused("fit", *SMALL["vqvae"], *SHORT, *folder, f"--model.optimizer.{option}")


def test_batch_norm_is_not_synchronised_by_lightning(refused):
    several = ["--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.sync_batchnorm=true"]
    assert "without trainer.sync_batchnorm: leave it out" in refused("fit", *SMALL["gan"], *SHORT, *several)


def dcgan(penalty, batch_norm):
    return GAN(
        image=ImageSpec(channels=1, size=32),
        generator=lambda image: DCGANGenerator(image, width=4),
        discriminator=lambda image: DCGANDiscriminator(image, width=4, batch_norm=batch_norm),
        loss=NonSaturating(),
        optimizer_g=adam,
        optimizer_d=adam,
        penalties=[penalty],
    )


def kinds(network):
    return {type(part).__name__ for part in network.modules() if "BatchNorm" in type(part).__name__}


# There are no GPUs here: `device` is where the processes' tensors would lie.
@pytest.mark.parametrize(
    ("device", "penalty", "judge", "maker"),
    [
        ("cuda", R1(), "GlobalBatchNorm", "SyncBatchNorm"),
        ("cuda", LeCam(), "SyncBatchNorm", "SyncBatchNorm"),
        ("cpu", R1(), "GlobalBatchNorm", "GlobalBatchNorm"),
    ],
)
def test_batch_norm_of_several_processes_can_be_differentiated_as_often_as_is_needed(
    monkeypatch, device, penalty, judge, maker
):
    """PyTorch's synchronised batch norm has no second derivative, and none on CPUs."""
    monkeypatch.setattr(DDPStrategy, "root_device", torch.device(device))
    model = dcgan(penalty, batch_norm=True)
    model.trainer = several_processes()
    weights = {name: id(weight) for name, weight in model.named_parameters()}
    synchronise(model)
    assert (kinds(model.discriminator), kinds(model.generator)) == ({judge}, {maker})
    assert {name: id(weight) for name, weight in model.named_parameters()} == weights


def several_processes(**options):
    return Trainer(accelerator="cpu", devices=2, strategy="ddp", logger=False, enable_checkpointing=False, **options)


class Seen(Callback):
    def __init__(self):
        self.batches = []

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.batches.append(batch.indices.tolist())


@pytest.mark.parametrize("overfit", [2, 0.012])  # of 179 batches
def test_an_overfitted_run_sees_the_same_batches_in_every_epoch(tmp_path, overfit):
    from gen_experiments.data.datamodule import ImageDataModule

    seen = Seen()
    trainer = quiet_trainer(seen, -1, tmp_path, max_epochs=3, overfit_batches=overfit, limit_val_batches=0)
    trainer.fit(gan(), datamodule=ImageDataModule(size=8, batch_size=8, eval_batch_size=1))
    first, second = seen.batches[:2]
    assert first != second
    assert seen.batches == [first, second] * 3


@pytest.mark.parametrize("limit", [3, 0.65])  # of 5 batches
def test_epochs_of_a_part_of_the_batches_are_equally_long(tmp_path, limit):
    from gen_experiments.data.datamodule import ImageDataModule

    seen, model = Seen(), gan()
    trainer = quiet_trainer(seen, -1, tmp_path, max_epochs=3, limit_train_batches=limit, limit_val_batches=0)
    trainer.fit(model, datamodule=ImageDataModule(size=8, batch_size=287, eval_batch_size=1))
    orders = [epoch_order(1437, seed=0, epoch=epoch)[: 3 * 287].reshape(3, -1).tolist() for epoch in range(3)]
    assert seen.batches == [batch for order in orders for batch in order]
    assert model.images_seen == model.run_images  # by which schedules end


def test_a_single_callback_is_taken(experiment, tmp_path):
    alone = ["--trainer.callbacks=StopOnNonFinite", "--evaluation.extractor=null", "--trainer.max_steps=1"]
    assert experiment("fit", *SMALL["vqvae"], *SHORT, *alone) == 0
    assert (tmp_path / "runs" / "vqvae" / "version_0" / "metrics.csv").exists()
