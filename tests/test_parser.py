"""A mistake on the command line is answered by one line that says what is accepted."""

import pytest
import yaml

from conftest import CONFIGS

CONFIG = f"--config={CONFIGS}/vqvae.yaml"


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
        (["fit", "--config=https://some.where/a.yaml"], "there is no configuration at https://some.where/a.yaml"),
        (["sample", __file__, "--numm=3"], "there is no key numm; did you mean num?"),
        # The beginning of an option is not taken for it.
        (["sample", __file__, "--nu", "3"], "there is no key nu; did you mean num? (accepted: checkpoint, num,"),
        (["translate", __file__, "--ima=x"], "there is no key ima; did you mean images?"),
        (["fit", "CONFIG", "--ckpt=x"], "there is no key ckpt; did you mean ckpt_path?"),
        (
            ["fit", "CONFIG", "--trainer.max_step=3"],
            "there is no key trainer.max_step; did you mean trainer.max_steps?",
        ),
        (
            ["fit", "CONFIG", "--trainer.qqqq=3"],
            "there is no key trainer.qqqq (accepted: accelerator, strategy, devices, ",
        ),
        (["fit", "CONFIG", "--trainer.qqqq=3"], "enable_checkpointing, enable_progress_bar, …)"),
        (["fit", "CONFIG", "--max_steps=3"], "there is no key max_steps; did you mean trainer.max_steps?"),
        (
            ["fit", "CONFIG", "--evaluation.extractor=runs/a"],
            "evaluation.extractor: there is no class runs/a (accepted: ChosenChannels, DigitsFeatures, ",
        ),
        (["fit", "CONFIG", "--data.source=/"], "options that are files: CIFAR10.root, "),
        (
            ["fit", "CONFIG", "--model.quantizer=no/such.ckpt"],
            "write it as package.module.Class (accepted: EMAQuantizer,",
        ),
        (["fit", "CONFIG", "--config=/"], "config: there is no file at /, which is a folder: name a YAML file"),
        (["fit", "CONFIG", "--run=/"], "run: there is no file at /, which is a folder: name a YAML file"),
        (["fit", "CONFIG", "--config=nowhere"], "nowhere: name a YAML file"),
        # Help needs a class where there are several.
        (
            ["fit", "--data.damage.help"],
            "data: there is no help without a class: name one behind .help (accepted: Blur,",
        ),
        (["fit", "CONFIG", "--model.quantizer.help"], "name one behind .help (accepted: EMAQuantizer, FSQ, "),
        (["fit", "--trainer.logger.help", "--config=x"], "name one behind .help (accepted: CSVLogger, "),
        (["fit", "--evaluation.extractor.help"], "name one behind .help (accepted: ChosenChannels, DigitsFeatures, "),
        (["evaluate", "--extractor.help"], "name one behind .help (accepted: ChosenChannels, DigitsFeatures, "),
        (["fit", "--data.damage.help=Blurr"], "data: there is no class Blurr; did you mean Blur?"),
        # The class that has the option is not named: no class is taken for it.
        (["fit", "--data.source.groups.help", "CSVGroups"], "data.source: there is no class yet that has options: "),
        (["fit", "--data.source.groups.file=a.csv"], "data.source: there is no class yet that has options: name one"),
        (["fit", "--model.quantizer.help=FSQ"], "model: there is no class yet that has options: name one first (acc"),
        (["fit", "--model.quantizer.num_codes=3"], "(accepted: CUT, Classifier, CodePrior, "),
        (["fit", "CONFIG", "--model=ImageModel"], "model: ImageModel is not finished"),
        (
            ["fit", "--data.source=PairedFolders", "--data.source.a.help"],
            "data.source.a: Expected a str. It has no option help",
        ),
        (["report", "a", "--xyz=3"], "there is no key xyz (accepted: runs, out)"),
        (
            ["sample", "--checkpoint=a.ckpt"],
            "there is no key checkpoint: it is positional, leave out --checkpoint=",
        ),
    ],
)
def test_a_mistake_is_one_line(experiment, capsys, arguments, expected):
    code = experiment(*(CONFIG if a == "CONFIG" else a for a in arguments))
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert code == 2
    assert len(errors) == 1
    assert expected in errors[0]


def test_the_keys_of_a_class_are_its_own(experiment, capsys):
    assert experiment("fit", CONFIG, "--model.reconstruction.wait=1") == 2
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
        # All batches are other than one.
        ("--trainer.limit_train_batches=1.0", "trainer limit_train_batches", 1.0),
        ("--trainer.val_check_interval=1.0", "trainer val_check_interval", 1.0),
        ("--trainer.limit_train_batches=20.0", "trainer limit_train_batches", 20),
        # A text stays as it is.
        ("--run.name=2.0", "run name", "2.0"),
        ("--run.name=None", "run name", "None"),
    ],
)
def test_what_sweeps_write_is_understood(experiment, capsys, argument, keys, value):
    assert experiment("fit", CONFIG, argument, "--print_config") == 0
    found = yaml.safe_load(capsys.readouterr().out)
    for key in keys.split():
        found = found[key]
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("--evaluation.extractor", "evaluation.extractor: there is no text in a.ckpt: name a class (accepted: Chosen"),
        ("--evaluation.extractor", "options that are files: FidelityFeatures.weights, InceptionFeatures.weights, "),
        ("--model.quantizer", "model.quantizer: there is no text in a.ckpt: name a class (accepted: EMAQuantizer, "),
        ("--trainer.callbacks", "trainer.callbacks: there is no text in a.ckpt: name a class (accepted: "),
        ("--trainer", "there is no text in a.ckpt: name a YAML file"),
        ("--run", "there is no text in a.ckpt: name a YAML file"),
        ("--config", "there is no text in a.ckpt: name a YAML file"),
    ],
)
def test_a_checkpoint_in_place_of_a_class_or_a_yaml_is_named(mistake, tmp_path, option, expected):
    (tmp_path / "a.ckpt").write_bytes(b"PK\x03\x04\x80\xff")
    assert expected in mistake("fit", CONFIG, f"{option}=a.ckpt")


def test_help_on_a_class_is_printed(experiment, capsys):
    for shown, *words in (
        ["--data.batch_size", "--data.help"],
        ["--damage.deviation", "--data.damage.help", "Blur"],
        ["--model.quantizer", "--model.help=VQVAE"],
        ["--groups.group_column", "--data.source=ImageFolder", "--data.source.groups.help=CSVGroups"],
    ):
        assert experiment("fit", *words) == 0
        printed = capsys.readouterr().out
        assert printed.startswith("usage: gen_experiments COMMAND ")
        assert shown in printed


@pytest.mark.parametrize(
    "option",
    ["--trainer.callbacks+=os.system", "--model.quantizer=os.system", "--model.optimizer=os.system"],
)
def test_a_configuration_cannot_run_commands(mistake, tmp_path, option):
    assert "os.system is not imported: a configuration may not run commands" in mistake("fit", CONFIG, option)
