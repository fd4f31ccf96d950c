"""Further sides of `evaluate`: several extractors, LPIPS, copies, another convention, several processes."""

import json
import shutil
import subprocess
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from test_evaluate import BY_DIGITS, digits, features, record, scores

import gen_experiments
import independent
from gen_experiments.__main__ import COMMANDS
from gen_experiments.cli.dispatch import SHARED, TRAINER_COMMANDS
from gen_experiments.commands.devices import chosen_device
from gen_experiments.commands.evaluating.image_sets import Images
from gen_experiments.commands.evaluating.reconstructions import Reconstructions
from gen_experiments.images import ImageSpec
from gen_experiments.losses.reconstruction import MSE
from gen_experiments.models.vqvae import VQVAE
from gen_experiments.networks.autoencoder import PlainDecoder, PlainEncoder
from gen_experiments.quantizers.ema import EMAQuantizer
from processes import TORCHRUN, fit, without_account
from small_models import ADAM


def by(name, **arguments):
    return {"class_path": name, "init_args": arguments}


def test_several_extractors_share_a_pass_and_score_as_each_alone(experiment, inception_weights, tmp_path):
    digits(tmp_path / "real", slice(0, 6))
    digits(tmp_path / "fake", slice(20, 25))
    both = [by("DigitsFeatures", any_images=True), by("InceptionFeatures", weights=str(inception_weights))]
    command = ("evaluate", "fake", "real", "--metrics=[fid,mind]")
    assert experiment(*command, f"--extractor={json.dumps(both)}", "--json=record.json") == 0
    for number, each in enumerate(both):
        assert experiment(*command, f"--extractor={json.dumps(each)}", f"--json={number}.json") == 0
    held = record()
    (other,) = held.pop("by_other_extractors")
    assert held == record("0.json")
    assert other == record("1.json")
    assert other["protocol"]["extractor"] == "InceptionFeatures"


# In a process of its own: whether a class is known by its short name depends on what has been imported before.
@pytest.mark.parametrize("command", ["evaluate", "stats"])
def test_every_extractor_goes_by_its_short_name(tmp_path, command):
    digits(tmp_path / "real", slice(0, 12))
    sides = ["real", "real"] if command == "evaluate" else ["real", "--out=s.npz"]
    done = fit(tmp_path, *sides, "--extractor=TrainedFeatures", "--extractor.weights=w.ckpt", command=command, code=1)
    assert "there is no checkpoint of a classifier at w.ckpt" in done.stderr


def test_covariances_may_be_divided_by_n(experiment, tmp_path, capsys):
    sides = digits(tmp_path / "fake", slice(100, 190)), digits(tmp_path / "real", slice(0, 80))
    command = ("evaluate", "fake", "real", *BY_DIGITS, "--metrics=[fid]", "--bootstrap=40", "--json=record.json")
    assert experiment(*command, "--covariance=n") == 0
    rows = [features(side).astype(np.float64) for side in sides]
    assert scores()["fid"] == pytest.approx(independent.frechet(*rows, ddof=0), rel=1e-4)
    assert record()["protocol"]["covariance"] == "n"
    assert "to 32x32, covariances divided by n\n" in capsys.readouterr().out
    low, high = record()["scores"]["fid"]["interval"]
    assert low < scores()["fid"] < high
    assert experiment(*command) == 0
    assert scores()["fid"] == pytest.approx(independent.frechet(*rows), rel=1e-4)
    assert "to 32x32\n" in capsys.readouterr().out


def test_a_score_outside_of_its_interval_is_named(experiment, tmp_path, capsys):
    digits(tmp_path / "real", slice(0, 80))
    digits(tmp_path / "few", slice(100, 140))
    metrics = ("--metrics=[is,mind]", "--bootstrap=40", "--json=record.json")
    assert experiment("evaluate", "few", "real", *BY_DIGITS, *metrics) == 0
    found = record()["scores"]
    # The mean of ten parts of four images each, far below the score of all forty.
    assert found["is"]["value"] < found["is"]["interval"][0]
    assert found["mind"]["interval"][0] < found["mind"]["value"] < found["mind"]["interval"][1]
    named = "outside of its 95% interval: is; an interval is about very many images"
    assert named in capsys.readouterr().out
    assert experiment("compare", "record.json", "record.json") == 0
    assert capsys.readouterr().out.count(named) == 2
    inside = ("--metrics=[mind]", "--bootstrap=40", "--json=inside.json")
    assert experiment("evaluate", "few", "real", *BY_DIGITS, *inside) == 0
    assert "outside of" not in capsys.readouterr().out
    assert experiment("compare", "inside.json", "record.json") == 0
    assert f"1: inside.json\n2: record.json\n   {named}" in capsys.readouterr().out


def test_missing_modes_are_named_with_the_scores(experiment, tmp_path, capsys):
    labels = np.asarray(independent.digits(32)[1])
    digits(tmp_path / "real", np.arange(0, 600))
    digits(tmp_path / "other", np.arange(600, 1200))
    digits(tmp_path / "half", np.flatnonzero(labels < 5)[300:900])
    command = ("real", *BY_DIGITS, "--metrics=[missed,precision]", "--bootstrap=40", "--json=record.json")
    assert experiment("evaluate", "other", *command) == 0
    assert scores()["missed"] < 0.05
    said = capsys.readouterr().out
    assert "modes are missing" not in said
    assert "no interval is known to hold for missed\n" in said
    assert experiment("evaluate", "half", *command) == 0
    assert (
        f"{scores()['missed']:.0%} of the reference is hardly generated: modes are missing" in capsys.readouterr().out
    )
    assert scores()["missed"] > 0.25


def test_lpips_of_reconstructions_is_that_of_torchmetrics(experiment, checkpoints, backbone_weights, tmp_path):
    from torchmetrics.functional.image.lpips import _NoTrainLpips

    pixels = digits(tmp_path / "real", slice(0, 20))
    weights = backbone_weights / "alexnet-owt-7be5be79.pth"
    lpips = ["--lpips=Perceptual", "--lpips.net=alex", f"--lpips.weights={weights}"]
    command = ("evaluate", checkpoints["vqvae"], "real", *BY_DIGITS, *lpips, "--json=record.json")
    assert experiment(*command, "--metrics=[lpips,psnr]") == 0
    model = gen_experiments.load(checkpoints["vqvae"])
    inputs = pixels.float() / 127.5 - 1
    with torch.no_grad():
        remade = ((model.reconstruct(inputs) + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1
    network = _NoTrainLpips(net="alex", pnet_rand=True)
    held = torch.load(weights, weights_only=True)
    network.net.load_state_dict({name: held["features." + name.partition(".")[2]] for name in network.net.state_dict()})
    enlarged = [
        torch.nn.functional.interpolate(each.expand(-1, 3, -1, -1), (64, 64), mode="bilinear", align_corners=False)
        for each in (remade, inputs)
    ]
    with torch.no_grad():
        assert scores()["lpips"] == pytest.approx(float(network(*enlarged).mean()), rel=1e-5)


def on_two_processes(folder, *arguments):
    # Without the dashes torchrun takes --num for one of its own options.
    command = [*TORCHRUN, "-m", "--", "gen_experiments", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=without_account(folder), capture_output=True, text=True, check=False)


@pytest.mark.parametrize("model", [pytest.param("gan", marks=pytest.mark.long), "vqvae"])
def test_two_processes_of_torchrun_score_as_one(experiment, checkpoints, tmp_path, model):
    command = ("evaluate", checkpoints[model], "--num=600", "--bootstrap=40")
    assert experiment(*command, "--json=one.json") == 0
    done = on_two_processes(tmp_path, *command, "--json=two.json")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("wrote the record to two.json") == 1
    for name, found in record("one.json")["scores"].items():
        assert record("two.json")["scores"][name]["value"] == pytest.approx(found["value"], rel=1e-6), name
    for role in ("evaluated", "reference"):
        protocols = [record(file)["protocol"][role] for file in ("one.json", "two.json")]
        assert protocols[0] == protocols[1]


@pytest.mark.long
def test_two_processes_of_torchrun_share_the_samples(experiment, checkpoints, tmp_path):
    command = ("sample", checkpoints["gan"], "--num=150", "--seed=1")
    assert experiment(*command, "--out=one") == 0
    assert experiment(*command, "--out=one.png") == 0
    for out in ("two", "two.png"):
        done = on_two_processes(tmp_path, *command, f"--out={out}")
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.count(f"wrote 150 images to {out}") == 1
    assert Path("one.png").read_bytes() == Path("two.png").read_bytes()
    one, two = ({path.name: path.read_bytes() for path in Path(folder).iterdir()} for folder in ("one", "two"))
    assert one == two
    assert len(one) == 150


@pytest.mark.long
def test_a_command_that_cannot_share_its_work_says_so(checkpoints, tmp_path):
    done = on_two_processes(tmp_path, "memorisation", checkpoints["gan"])
    assert done.returncode == 1
    assert "memorisation runs in one process: start it without torchrun" in done.stderr


REST = {
    "sample": ["gan"],
    "reconstruct": ["vqvae", "--images=real"],
    "interpolate": ["gan"],
    "explore": ["gan"],
    "project": ["gan", "--images=real"],
    "memorisation": ["gan"],
    "augment-score": ["gan"],
    "inpaint": ["prior", "--images=real"],
    "encode": ["vqvae", "--images=real"],
    "decode": ["vqvae", "--codes=codes.npz"],
    "evaluate": ["gan"],
    "stats": ["gan", "--out=s.npz"],
}


@pytest.mark.parametrize("command", REST)
def test_every_command_takes_a_device(refused, checkpoints, tmp_path, command):
    model, *options = REST[command]
    digits(tmp_path / "real", slice(1))
    assert "there is no device quantum here" in refused(command, checkpoints[model], *options, "--device=quantum")


def test_each_process_of_a_machine_has_its_own_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # as on a machine of two, which tests cannot ask for
    assert chosen_device("auto") == torch.device("cuda:0")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert chosen_device("auto") == torch.device("cuda:1")


def test_every_command_with_a_model_is_tried():
    without_models = {"compare", "report", "sweep", "damage"}
    with_models = {*REST, "export", "demo", "translate", "restore"}
    assert set(COMMANDS) == {*TRAINER_COMMANDS, *with_models, *without_models}
    assert set(COMMANDS) >= SHARED


@pytest.mark.parametrize(("count", "deviates"), [(20, False), (30, True), (15, True)])
def test_kid_of_all_images_at_once_is_shown_without_a_deviation(experiment, tmp_path, capsys, count, deviates):
    sides = digits(tmp_path / "fake", slice(0, 20)), digits(tmp_path / "real", slice(100, 100 + count))
    assert experiment("evaluate", "fake", "real", *BY_DIGITS, "--metrics=[kid]", "--json=record.json") == 0
    said = capsys.readouterr().out
    (line,) = [line for line in said.splitlines() if " kid " in line]
    assert "no interval is known" not in said  # none was asked for
    assert ("±" in line) == deviates
    held = record()["scores"]["kid"]
    assert ("deviation" in held) == deviates
    assert f" {held['value']:.6g} " in line
    if not deviates:
        # The subsets, of 20 images each, are all images: KID is the unbiased estimate of https://arxiv.org/abs/1801.01401.
        x, y = (features(side).astype(np.float64) for side in sides)
        within, across = [], ((x @ y.T / x.shape[1] + 1) ** 3).mean()
        for rows in (x, y):
            kernel = (rows @ rows.T / rows.shape[1] + 1) ** 3
            within.append((kernel.sum() - kernel.trace()) / (len(rows) * (len(rows) - 1)))
        assert held["value"] == pytest.approx(sum(within) - 2 * across, rel=1e-4)
    # On the page about a run it is shown in the same way.
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("model: {}\n")
    (tmp_path / "run" / "metrics.csv").write_text("step,images_seen,val/fid\n1,16,2.5\n")
    shutil.copy(tmp_path / "record.json", tmp_path / "run" / "evaluation.json")
    assert experiment("report", "run") == 0
    cell = f"{held['value']:.6g}" + (f" ± {held['deviation']:.3g}" if deviates else "")
    assert f"<td>kid</td><td>{cell}</td>" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(("size", "known"), [((176, 184), True), ((184, 168), False), ((168, 184), False)])
def test_ms_ssim_is_for_images_of_176_pixels_along_both_sides(tmp_path, size, known):
    network = {"encoder": partial(PlainEncoder, hidden=2), "decoder": partial(PlainDecoder, hidden=2)}
    model = VQVAE(ImageSpec(1, size), quantizer=EMAQuantizer(4, 2), reconstruction=MSE(), optimizer=ADAM, **network)
    described = {"hyper_parameters": model.hyper_parameters(), "state_dict": {}, "images_seen": 1, "global_step": 1}
    torch.save(described, tmp_path / "model.ckpt")
    remade = Reconstructions(model, tmp_path / "model.ckpt", Images({}, 2, lambda part: None))
    assert ("ms_ssim" in remade.metrics) is known
    assert {"psnr", "ssim"} <= {*remade.metrics}
