"""Every YAML that is shipped runs."""

import pytest
import yaml
from conftest import CONFIGS, SHORT

BASES = {"VQVAE": "vqvae.yaml", "GAN": "gan.yaml"}
EXPERIMENTS = sorted((CONFIGS / "experiments").rglob("*.yaml"))
SMALL = [*SHORT, "--trainer.max_steps=2", "--evaluation.samples=50", "--evaluation.batch_size=25"]


def base(path):
    return CONFIGS / BASES[yaml.safe_load(path.read_text())["model"]["class_path"]]


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: "/".join(path.parts[-2:]))
def test_an_experiment_trains(experiment, tmp_path, path):
    name = yaml.safe_load(path.read_text())["run"]["name"]
    assert experiment("fit", "--config", base(path), "--config", path, *SMALL) == 0
    assert (tmp_path / "runs" / name / "version_0" / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.parametrize("path", sorted((CONFIGS / "trainer").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_trainer_config_trains_where_there_is_no_gpu(experiment, path):
    here = ["--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.num_nodes=1"]
    assert experiment("fit", "--config", CONFIGS / "gan.yaml", "--config", path, *SMALL, *here) == 0
