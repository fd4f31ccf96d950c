"""Runs that are killed again and again end as one that was not, in everything a person reads, bit for bit."""

import json
import os
import random
import re
import time
from pathlib import Path

import pytest
import torch

import independent
from conftest import CONFIGS, SHORT, SMALL, SMALL_PRIOR
from processes import said, start, wait_until

KILLS = 8
OTHER_DEVICE = Path("/dev/shm")
RESTORING = CONFIGS / "experiments" / "translation" / "restoration_prior_digits.yaml"
ADAPTIVE = json.dumps({"class_path": "AdaptiveStrength", "init_args": {"images": 500}})
ADVERSARY = json.dumps(
    {
        "class_path": "Adversary",
        "init_args": {
            "discriminator": {"class_path": "PatchDiscriminator", "init_args": {"width": 8, "layers": 1}},
            "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 1e-4}},
            "start": 500,
        },
    }
)
FAMILIES = {
    "vqvae": [*SMALL["vqvae"], "--model.quantizer.revive_below=0.5", "--model.ema_half_life=1000"],
    "vqgan": [*SMALL["vqvae"], f"--model.adversary={ADVERSARY}"],
    "gan": [*SMALL["gan"], "--model.n_critic=2"],
    "cgan": [
        *SMALL["gan"],
        "--model.generator.conditional=true",
        "--model.discriminator.conditional=true",
        "--model.augmentation=DiffAugment",
        f"--model.augmentation_strength={ADAPTIVE}",
    ],
    "prior": [*SMALL_PRIOR, "--evaluation.samples=20"],
    "restoration_prior": [SMALL_PRIOR[0], f"--config={RESTORING}", *SMALL_PRIOR[1:], "--evaluation.extractor=null"],
}
OFTEN = [
    "--trainer.max_steps=240",
    "--trainer.val_check_interval=60",
    "--trainer.log_every_n_steps=10",
    "--trainer.logger=MetricsCSV",
    "--trainer.callbacks+=lightning.pytorch.callbacks.ModelCheckpoint",
    "--trainer.callbacks.dirpath=RUN_DIR/checkpoints",
    "--trainer.callbacks.filename=last",
    "--trainer.callbacks.every_n_train_steps=5",
    "--trainer.callbacks.enable_version_counter=false",
]


def neutral(value, name):
    """A checkpoint's contents without the name of its run."""
    if isinstance(value, dict):
        return {neutral(key, name): neutral(item, name) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [neutral(item, name) for item in value]
    if isinstance(value, str):
        return re.sub(rf"/{name}/version_\d+", "/NAME", value)
    return value.tolist() if isinstance(value, torch.Tensor) else value


def difference(a, b, place=""):
    """The first place where two structures differ, and what is there."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return next((found for key in a if (found := difference(a[key], b[key], f"{place}.{key}"))), None)
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        found = (difference(*pair, f"{place}[{number}]") for number, pair in enumerate(zip(a, b, strict=True)))
        return next(filter(None, found), None)
    return None if a == b else f"{place}: {str(a)[:300]} != {str(b)[:300]}"


def read(folder, name):
    """What a person reads of a run: checkpoints, curves, pictures."""
    found = {}
    for which in ("last", "best"):
        held = torch.load(folder / "checkpoints" / f"{which}.ckpt", weights_only=True)
        del held["hparams_name"]
        # Lightning's count of the iterations whose hooks have ended, which a validation that was made up for precedes.
        del held["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        del held["training"]["seconds"], held["training"]["processor_seconds"]
        found[which] = neutral(held, name)
    found["curves"] = independent.curves(folder / "metrics.csv")
    found["pictures"] = {path.name: path.read_bytes() for path in (folder / "images").iterdir()}
    found["config"] = re.sub(rf"name: {name}\n", "", (folder / "config.yaml").read_text())
    return found


def writing(checkpoints):
    return lambda: checkpoints.is_dir() and any(entry.name.startswith(".") for entry in os.scandir(checkpoints))


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("family", FAMILIES)
def test_killed_at_any_moment(family, tmp_path, checkpoints):
    if not OTHER_DEVICE.is_dir() or OTHER_DEVICE.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second device for temporary files")
    vqvae = [f"--model.vqvae={checkpoints['vqvae']}"] if "prior" in family else []
    options = ["fit", *FAMILIES[family], *vqvae, *SHORT, *OFTEN]
    environment = {"TMPDIR": str(OTHER_DEVICE)}
    assert start(*options, "--run.name=whole", folder=tmp_path, **environment).wait(300) == 0, said(tmp_path)
    expected = read(tmp_path / "runs" / "whole" / "version_0", "whole")
    chance = random.Random(family)
    kills = while_writing = 0
    for attempt in range(3):
        name = f"killed{attempt}"
        folder = tmp_path / "runs" / name / "version_0"
        last = folder / "checkpoints" / "last.ckpt"
        while True:
            process = start(*options, f"--run.name={name}", "--run.resume=auto", folder=tmp_path, **environment)
            if kills < KILLS:
                before = last.stat().st_mtime_ns if last.exists() else 0
                moment = chance.random()
                aimed = kills % 2 == 0

                def reached(before=before, last=last, aimed=aimed, moment=moment):
                    return (last.exists() and last.stat().st_mtime_ns > before) or (aimed and moment < 0.2)

                if wait_until(reached, process):
                    if aimed:
                        wait_until(writing(last.parent), process)
                    else:
                        time.sleep(0.5 * moment)
                    if process.poll() is None:
                        process.kill()
                        kills += 1
                        while_writing += writing(last.parent)()
            code = process.wait(300)
            if code == 0:
                break
            assert code == -9, said(tmp_path)[-5:]
        found = read(folder, name)
        assert found.keys() == expected.keys()
        for key in expected:
            assert found[key] == expected[key], (key, difference(found[key], expected[key]))
        assert [path.name for path in folder.parent.iterdir()] == ["version_0"]
        if kills == KILLS:
            break
    print(f"{family}: {kills} kills, {while_writing} of them while a checkpoint was written")
    assert kills == KILLS
    assert while_writing
