"""Every recipe that is shipped trains and can be exported, and what comes out computes what the model computes."""

import pytest
import torch

import gen_experiments
from conftest import CONFIGS, SHORT, SMALL_PRIOR
from exported_models import check_function, write_livened
from recipes import FEW, RECIPES, described, small

FEWER = [*SHORT, "--trainer.max_steps=1", "--evaluation.extractor=null", "--trainer.limit_val_batches=1"]
AUTOREGRESSIVE = "--model.prior=AutoregressivePrior"
RESTORING = CONFIGS / "experiments" / "translation" / "restoration_prior_digits.yaml"
SMALL_AUTOREGRESSIVE = ["--model.prior.width=16", "--model.prior.depth=2", "--model.prior.heads=2"]
BASES = {
    **{name: ["--config", CONFIGS / name] for name in ("vqvae.yaml", "gan.yaml", "translation.yaml", "extractor.yaml")},
    "masked prior": SMALL_PRIOR,
    "restoration prior": [SMALL_PRIOR[0], f"--config={RESTORING}", *SMALL_PRIOR[1:]],
    "autoregressive prior": [SMALL_PRIOR[0], AUTOREGRESSIVE, *SMALL_AUTOREGRESSIVE],
}


@pytest.mark.long
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: "/".join(path.parts[-2:]))
def test_a_recipe_trains_and_is_exported(experiment, checkpoints, backbone_weights, tmp_path, path):
    assert experiment("fit", *small(path, FEW, checkpoints, backbone_weights)) == 0
    check_export(experiment, tmp_path, described(path)["run"]["name"])


@pytest.mark.long
@pytest.mark.parametrize("base", BASES)
def test_a_base_configuration_is_exported(experiment, checkpoints, tmp_path, base):
    vqvae = [f"--model.vqvae={checkpoints['vqvae']}"] if "prior" in base else []
    few = [option for option in FEWER if "evaluation" not in option or base != "extractor.yaml"]
    assert experiment("fit", *BASES[base], *vqvae, *few, "--run.name=base") == 0
    check_export(experiment, tmp_path, "base")


@torch.no_grad()
def check_export(experiment, folder, run):
    """Exports what a run has trained, with other weights, and compares every function with the model's own."""
    trained = torch.load(folder / "runs" / run / "version_0" / "checkpoints" / "last.ckpt", weights_only=True)
    path = write_livened(trained["hyper_parameters"], folder / "livened.ckpt")
    assert experiment("export", path, "--out=exported") == 0
    functions = gen_experiments.load(path).pure_functions()
    assert functions
    for name, function in functions.items():
        for rows in (1, 7):
            inputs = {key: torch.cat([value, value, value])[:rows] for key, value in function.inputs.items()}
            made = function.compute(*inputs.values())
            expected = dict(zip(function.outputs, made if isinstance(made, tuple) else (made,), strict=True))
            check_function(folder / "exported", name, inputs, expected)
