"""A mistake on the command line is answered by one line that says what is accepted."""

import pytest
import yaml

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
        (["fit", "CONFIG", "--trainr.max_steps=3"], "there is no key trainr.max_steps; did you mean trainer?"),
        (["fit", "CONFIG", "--data.sorce.root=x"], "data: there is no key sorce.root; did you mean source?"),
        (["fit", "CONFIG", "--model.quantiser.dim=3"], "model: there is no key quantiser.dim; did you mean quantizer?"),
        (
            ["fit", "CONFIG", "--model.optimizer.lr=fast"],
            "optimizer.lr: there is no number in fast: give a float",
        ),
        (
            ["fit", "CONFIG", "--model.quantizer.num_codes=many"],
            "model.quantizer.num_codes: Expected an int. Got value: many",
        ),
        (["fit", "--config=nowhere.yaml"], "there is no configuration at nowhere.yaml"),
        (["fit", "CONFIG", "--config", "~/nowhere.yml"], "there is no configuration at ~/nowhere.yml"),
        (["sample", __file__, "--numm=3"], "there is no key numm; did you mean num?"),
        (["report", "a", "--xyz=3"], "there is no key xyz (accepted: runs, out)"),
        (
            ["sample", "--checkpoint=a.ckpt"],
            "there is no key checkpoint: it is positional, leave out --checkpoint=",
        ),
    ],
)
def test_a_mistake_is_one_line(experiment, capsys, arguments, expected):
    from conftest import CONFIGS

    code = experiment(*(a if a != "CONFIG" else f"--config={CONFIGS}/vqvae.yaml" for a in arguments))
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert code == 2
    assert len(errors) == 1
    assert expected in errors[0]


def test_the_keys_of_a_class_are_its_own(experiment, capsys):
    from conftest import CONFIGS

    assert experiment("fit", f"--config={CONFIGS}/vqvae.yaml", "--model.reconstruction.wait=1") == 2
    assert "no key wait; did you mean weight? (accepted: weight)\n" in capsys.readouterr().err


def test_the_value_of_an_unknown_key_is_not_told_as_one_that_is_accepted(experiment, capsys):
    assert experiment("sample", __file__, "--numm", "3", "more") == 2
    assert capsys.readouterr().err.endswith(" class)\n")


@pytest.mark.parametrize(
    ("argument", "keys", "value"),
    [
        ("--model.ema_half_life=None", "model init_args ema_half_life", None),
        ("--model.quantizer=None", "model init_args quantizer", None),
        ("--data.batch_size=32.0", "data init_args batch_size", 32),
        ("--model.quantizer.num_codes=64.0", "model init_args quantizer init_args num_codes", 64),
        ("--model.optimizer.lr=1.0", "model init_args optimizer init_args lr", 1.0),
        ("--run.version=3.0", "run version", 3),
        # A text stays as it is.
        ("--run.name=2.0", "run name", "2.0"),
        ("--run.name=None", "run name", "None"),
    ],
)
def test_what_sweeps_write_is_understood(experiment, capsys, argument, keys, value):
    from conftest import CONFIGS

    assert experiment("fit", f"--config={CONFIGS}/vqvae.yaml", argument, "--print_config") == 0
    found = yaml.safe_load(capsys.readouterr().out)
    for key in keys.split():
        found = found[key]
    assert (type(found), found) == (type(value), value)
