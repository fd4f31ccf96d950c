import numpy as np
import pytest
from PIL import Image

from conftest import CONFIGS, SMALL
from exported_models import of_classes, write_livened
from pictures_on_disk import write_pictures
from processes import fit


def pixels(path):
    return np.asarray(Image.open(path))


def test_a_grid_of_samples_needs_nothing_but_the_checkpoint(experiment, checkpoints):
    assert experiment("sample", checkpoints["gan"], "--num=9", "--out=a/grid.png") == 0
    assert pixels("a/grid.png").shape == (3 * 34 + 2, 3 * 34 + 2)


def test_a_seed_names_the_samples(experiment, checkpoints):
    for out, seed in (("a.png", 0), ("b.png", 0), ("c.png", 1)):
        assert experiment("sample", checkpoints["gan"], "--num=4", f"--out={out}", f"--seed={seed}") == 0
    assert np.array_equal(pixels("a.png"), pixels("b.png"))
    assert not np.array_equal(pixels("a.png"), pixels("c.png"))


def test_a_folder_of_samples(experiment, checkpoints, tmp_path):
    assert experiment("sample", checkpoints["gan"], "--num=70", "--out=images") == 0
    assert len(list((tmp_path / "images").glob("*.png"))) == 70
    assert experiment("sample", checkpoints["gan"], "--num=4", "--out=grid.png") == 0
    assert np.array_equal(pixels("grid.png")[2:34, 2:34], pixels("images/00000.png"))


def test_reconstructions_stand_under_their_originals(experiment, checkpoints, tmp_path):
    write_pictures(tmp_path / "pictures", 3, size=(32, 32), mode="L")
    assert experiment("reconstruct", checkpoints["vqvae"], "--images=pictures", "--out=grid.png") == 0
    grid = pixels("grid.png")
    assert grid.shape[0] == 2 * 34 + 2
    original = pixels(tmp_path / "pictures" / "001.png")
    assert np.array_equal(grid[2:34, 36:68], original)
    assert not np.array_equal(grid[36:68, 36:68], original)


def test_predict_writes_an_image_for_every_test_image_into_the_run(experiment, checkpoints, tmp_path, capsys):
    for model, path in [(model, checkpoints[model]) for model in SMALL]:
        small = ["--data.test_size=30", "--data.eval_batch_size=20"]
        folder = path.parent.parent / "predictions"
        folder.mkdir(exist_ok=True)
        (folder / "00000-1-000.png").write_bytes(b"of two processes")
        (folder / "mine.png").write_bytes(b"of the user")
        assert experiment("predict", *SMALL[model], *small, f"--ckpt_path={path}") == 0
        (folder / "mine.png").unlink()
        written = sorted(folder.iterdir())
        assert [file.name for file in written] == [
            f"{batch:05d}-0-{number:03d}.png" for batch, size in enumerate((20, 10)) for number in range(size)
        ]
        assert f"wrote the images to {folder}\n" in capsys.readouterr().out
        assert not (tmp_path / "runs").exists()


def test_predicted_samples_are_the_first_of_those_that_sample_writes(experiment, checkpoints, tmp_path):
    path = checkpoints["gan"]
    batches = ["--data.test_size=30", "--data.eval_batch_size=20"]  # the last one is short
    assert experiment("predict", *SMALL["gan"], *batches, f"--ckpt_path={path}") == 0
    assert experiment("sample", path, "--num=30", "--out=made") == 0
    made = [pixels(file) for file in sorted((tmp_path / "made").glob("*.png"))]
    files = sorted((path.parent.parent / "predictions").glob("*.png"))
    assert [file.stem for file in files] == [f"{i // 20:05d}-0-{i % 20:03d}" for i in range(30)]
    assert np.array_equal([pixels(file) for file in files], made)


@pytest.fixture(scope="module")
def conditional(contents, tmp_path_factory):
    """A GAN whose images differ from class to class, as those of one that is hardly trained do not."""
    path = tmp_path_factory.mktemp("conditional") / "gan.ckpt"
    return write_livened(of_classes(contents["gan"]["hyper_parameters"]), path, gain=2.0)


def test_a_data_set_of_every_class(experiment, conditional, tmp_path):
    assert experiment("sample", conditional, "--per_class=2", "--out=set") == 0
    assert sorted(str(path.relative_to(tmp_path / "set")) for path in (tmp_path / "set").rglob("*.png")) == [
        f"{label}/0000{number}.png" for label in range(10) for number in range(2)
    ]
    assert experiment("sample", conditional, "--per-class=2", "--out=set.png") == 0
    assert pixels("set.png").shape[0] == 10 * 34 + 2
    assert np.array_equal(pixels("set.png")[36:68, 2:34], pixels("set/1/00000.png"))


def test_samples_do_not_mix_with_those_of_an_earlier_call(experiment, checkpoints, refused, tmp_path):
    (tmp_path / "images").mkdir()
    assert experiment("sample", checkpoints["gan"], "--num=2", "--out=images") == 0
    assert "images exists and is no empty folder" in refused("sample", checkpoints["gan"], "--num=1", "--out=images")
    assert len(list((tmp_path / "images").iterdir())) == 2


def test_samples_of_one_class(experiment, conditional):
    assert experiment("sample", conditional, "--num=3", "--class=7", "--out=sevens") == 0
    assert experiment("sample", conditional, "--num=3", "--class=2", "--out=twos") == 0
    assert not np.array_equal(pixels("sevens/00000.png"), pixels("twos/00000.png"))


def test_truncation_makes_samples_more_alike(experiment, checkpoints):
    spreads = []
    for truncation in (1.0, 0.1):
        out = f"truncated_{truncation}"
        assert experiment("sample", checkpoints["gan"], "--num=16", f"--truncation={truncation}", f"--out={out}") == 0
        images = np.stack([pixels(f"{out}/{number:05d}.png") for number in range(16)]).astype(float)
        spreads.append(images.std(axis=0).mean())
    assert spreads[1] < 0.5 * spreads[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--class=3"], "this model knows no classes"),
        (["--truncation=0"], "truncation must be in (0, 1], not 0"),
        (["--truncation=1.5"], "truncation must be in (0, 1], not 1.5"),
        (["--num=0"], "num must be >= 1, not 0"),
    ],
)
def test_what_cannot_be_sampled(experiment, checkpoints, capsys, options, message):
    assert experiment("sample", checkpoints["gan"], *options) not in (0, None)
    assert message in capsys.readouterr().err


def test_classes_that_there_are_not(experiment, conditional, capsys):
    assert experiment("sample", conditional, "--class=10") not in (0, None)
    assert "--class must be a class (0, 1, 2, 3, 4, 5, 6, 7, …) or be in 0 ... 9, not 10" in capsys.readouterr().err


def test_a_run_stands_for_its_best_checkpoint(experiment, checkpoints, tmp_path, capsys):
    run = checkpoints["gan"].parents[1]
    assert experiment("sample", run, "--num=4", "--out=run.png") == 0
    assert f"{run} is a run: taken is {run / 'checkpoints' / 'best.ckpt'}" in capsys.readouterr().out
    assert experiment("sample", run / "checkpoints" / "best.ckpt", "--num=4", "--out=best.png") == 0
    assert "is a run" not in capsys.readouterr().out
    assert np.array_equal(pixels("run.png"), pixels("best.png"))


@pytest.mark.parametrize("command", ["damage", "stats"])
def test_a_recipe_names_kinds_of_damage_by_their_short_names(tmp_path, command):
    """In a process of its own: here other commands may have imported them before."""
    write_pictures(tmp_path / "pictures", 3, size=(32, 32), mode="L")
    recipe = CONFIGS / "experiments" / "translation" / "restoration_digits.yaml"
    options = {
        "damage": [recipe, "--images=pictures", "--out=damaged.png"],
        "stats": [recipe, "--extractor=DigitsFeatures", "--out=stats.npz"],
    }
    fit(tmp_path, *options[command], command=command)
    assert (tmp_path / options[command][-1].removeprefix("--out=")).is_file()
