"""Every recipe that is shipped can be exported, and what comes out computes what the model computes."""

import pytest
import torch
import yaml

import gen_experiments
from conftest import CONFIGS, SHORT, SMALL_PRIOR
from exported_models import check_function, write_livened
from test_configs import BASES, narrow

FEW = [*SHORT, "--trainer.max_steps=1", "--evaluation.extractor=null", "--trainer.limit_val_batches=1"]
AUTOREGRESSIVE = "--model.prior=AutoregressivePrior"


def recipes():
    """Yields the options of `fit` for every recipe, made small as `test_configs.py` makes them."""
    for path in sorted((CONFIGS / "experiments").rglob("*.yaml")):
        described = yaml.safe_load(path.read_text())
        if described["model"]["class_path"] == "RestorationPrior":
            continue  # what it exports is what other priors do
        base, parts = CONFIGS / BASES[described["model"]["class_path"]], described["model"]["init_args"]
        held = ["--data.val_size=100"]
        yield pytest.param(["--config", base, "--config", path, *narrow(parts), *held], id="/".join(path.parts[-2:]))
    for name in ("vqvae.yaml", "gan.yaml", "translation.yaml", "extractor.yaml"):
        yield pytest.param(["--config", CONFIGS / name], id=name)
    yield pytest.param([*SMALL_PRIOR], id="masked prior")
    small = ["--model.prior.width=16", "--model.prior.depth=2", "--model.prior.heads=2"]
    yield pytest.param([SMALL_PRIOR[0], AUTOREGRESSIVE, *small], id="autoregressive prior")


@pytest.mark.long
@pytest.mark.parametrize("recipe", recipes())
@torch.no_grad()
def test_a_recipe(experiment, checkpoints, tmp_path, recipe):
    options = [option for option in FEW if "extractor.yaml" not in str(recipe[-1]) or "evaluation" not in option]
    vqvae = [f"--model.vqvae={checkpoints['vqvae']}"] if "prior" in str(recipe[0]) else []
    assert experiment("fit", *recipe, *vqvae, *options, "--run.name=recipe") == 0
    trained = torch.load(tmp_path / "runs" / "recipe" / "version_0" / "checkpoints" / "last.ckpt", weights_only=True)
    path = write_livened(trained["hyper_parameters"], tmp_path / "livened.ckpt")
    assert experiment("export", path, "--out=exported") == 0
    functions = gen_experiments.load(path).pure_functions()
    assert functions
    for name, function in functions.items():
        for rows in (1, 7):
            inputs = {key: torch.cat([value, value, value])[:rows] for key, value in function.inputs.items()}
            made = function.compute(*inputs.values())
            expected = dict(zip(function.outputs, made if isinstance(made, tuple) else (made,), strict=True))
            check_function(tmp_path / "exported", name, inputs, expected)
