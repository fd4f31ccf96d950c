"""Every recipe that is shipped can be exported, and what comes out computes what the model computes."""

from pathlib import Path

import pytest
import torch

import gen_experiments
from conftest import CONFIGS, SHORT, SMALL_PRIOR
from exported_models import check_function, write_livened
from recipes import RECIPES, small

FEW = [*SHORT, "--trainer.max_steps=1", "--evaluation.extractor=null", "--trainer.limit_val_batches=1"]
AUTOREGRESSIVE = "--model.prior=AutoregressivePrior"


def recipes():
    """Yields every recipe's file, and the options of `fit` for the base configurations."""
    for path in RECIPES:
        yield pytest.param(path, id="/".join(path.parts[-2:]))
    for name in ("vqvae.yaml", "gan.yaml", "translation.yaml", "extractor.yaml"):
        yield pytest.param(["--config", CONFIGS / name], id=name)
    yield pytest.param([*SMALL_PRIOR], id="masked prior")
    restoring = CONFIGS / "experiments" / "translation" / "restoration_prior_digits.yaml"
    yield pytest.param([SMALL_PRIOR[0], f"--config={restoring}", *SMALL_PRIOR[1:]], id="restoration prior")
    small = ["--model.prior.width=16", "--model.prior.depth=2", "--model.prior.heads=2"]
    yield pytest.param([SMALL_PRIOR[0], AUTOREGRESSIVE, *small], id="autoregressive prior")


@pytest.mark.long
@pytest.mark.parametrize("recipe", recipes())
@torch.no_grad()
def test_a_recipe(experiment, checkpoints, backbone_weights, tmp_path, recipe):
    if isinstance(recipe, Path):
        options = small(recipe, [*FEW, "--data.val_size=100"], checkpoints, backbone_weights)
    else:
        vqvae = [f"--model.vqvae={checkpoints['vqvae']}"] if "prior" in recipe[0] else []
        few = [option for option in FEW if "evaluation" not in option or "extractor.yaml" not in str(recipe[-1])]
        options = [*recipe, *vqvae, *few]
    assert experiment("fit", *options, "--run.name=recipe") == 0
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
