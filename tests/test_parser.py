"""A mistake on the command line is answered by one line that says what is accepted."""

import pytest

CONFIG = "--config={configs}/vqvae.yaml"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["fti"], "did you mean fit?"),
        (
            ["fit", "CONFIG", "--model.quantizer.num_code=3"],
            "model.quantizer: there is no key num_code; did you mean num_codes?",
        ),
        (
            ["fit", "CONFIG", "--model.quantizer=EMAQuantiser"],
            "model.quantizer: there is no class EMAQuantiser; did you mean EMAQuantizer?",
        ),
        (["fit", "CONFIG", "--model.encoder.hiden=3"], "model.encoder: there is no key hiden; did you mean hidden?"),
        (["fit", "CONFIG", "--model=VQVEA"], "model: there is no class VQVEA; did you mean VQVAE?"),
        (["fit", "CONFIG", "--data.source=MNISTT"], "data.source: there is no class MNISTT; did you mean MNIST?"),
        (["fit", "CONFIG", "--trainr.max_steps=3"], "there is no key trainr.max_steps"),
        (
            ["fit", "CONFIG", "--model.quantizer.num_codes=many"],
            "model.quantizer.num_codes: Expected a int. Got value: many",
        ),
        (["fit", "--config=nowhere.yaml"], "nowhere.yaml"),
        (["sample", "a.ckpt", "--numm=3"], "there is no key numm; did you mean num?"),
    ],
)
def test_a_mistake_is_one_line(experiment, capsys, arguments, expected):
    from conftest import CONFIGS

    code = experiment(*(a if a != "CONFIG" else f"--config={CONFIGS}/vqvae.yaml" for a in arguments))
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert code == 2
    assert len(errors) == 1
    assert expected in errors[0]
