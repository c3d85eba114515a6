"""Every command, as a person types it, on a tiny study: what it says, what it writes, and its exit code."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triptych import cli, store

pytestmark = pytest.mark.slow

STUDY = """
name = "tiny"
frameworks = ["vae", "gan"]
seeds = 2
data = {{ source = "arrays", path = "{data}", size = 16 }}
network = {{ width = 0.03, latent = 8 }}
training = {{ images = 640, batch_size = 32, log_images = 320 }}
scoring = {{ images = 100, metrics = ["frechet", "pixel_error"] }}
execution = {{ device = "cpu", workers = 2, threads = 1 }}
"""


@pytest.fixture(scope="module")
def home(digits_file, triptych, tmp_path_factory) -> Path:
    """A folder with a study that `run` has brought to its end, in `out`."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "digits.npz").write_bytes(digits_file.read_bytes())
    (folder / "study.toml").write_text(STUDY.format(data="digits.npz"))  # the path is taken from where the file lies
    done = triptych("run", folder / "study.toml", "--out", folder / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert "540 train, 60 validation, 100 test; 16 x 16 pixels, grey, no labels" in done.stdout
    assert "4 runs: vae, gan; 2 seeds; 640 images each; 2 workers with 1 thread on cpu" in done.stdout
    assert "Verdicts" in done.stdout and f"Report: {folder / 'out' / 'report.html'}" in done.stdout
    return folder


@pytest.fixture
def typed(monkeypatch, capfd):
    """`typed("status", "out")`: the command in this process, which saves the seconds that importing PyTorch takes."""

    def typed(*arguments: object) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["triptych", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as end:
            cli.main()
        return subprocess.CompletedProcess(sys.argv, int(str(end.value.code)), *capfd.readouterr())

    return typed


@pytest.fixture(scope="module")
def vae(home) -> Path:
    return next((home / "out" / "runs").glob("vae-s0-*"))


def test_a_finished_study_is_whole(home):
    runs = sorted((home / "out" / "runs").iterdir())
    assert [run.name.rpartition("-")[0] for run in runs] == ["gan-s0", "gan-s1", "vae-s0", "vae-s1"]
    assert all(store.is_complete(run) for run in runs)
    assert not list(home.rglob("*.partial")) and not list(home.rglob("checkpoints"))
    scores = store.read_lines(home / "out" / "scores.jsonl")
    assert {line["run"] for line in scores} == {run.name for run in runs}
    assert {"study.toml", "report.html", "table.csv", "metrics.json"} <= {
        path.name for path in (home / "out").iterdir()
    }


def test_the_same_command_again_is_fast_and_changes_no_byte(home, triptych):
    def written() -> dict[str, bytes]:
        paths = [home / "out" / name for name in ("scores.jsonl", "verdicts.json", "metrics.json", "study.toml")]
        paths += [path for path in (home / "out" / "runs").rglob("*") if path.is_file()]
        return {str(path): path.read_bytes() for path in paths}

    before = written()
    done = triptych("run", home / "study.toml", "--out", home / "out")
    assert done.returncode == 0
    assert done.stdout.count(" finished") == 4
    assert written() == before


def test_a_run_whose_directory_was_deleted_is_done_again_to_the_same_bytes(home, triptych, vae):
    manifest = (vae / "manifest.json").read_bytes()
    for path in sorted(vae.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    done = triptych("run", home / "out" / "study.toml")  # the study in its directory stands for itself
    assert done.returncode == 0, done.stderr
    assert (vae / "manifest.json").read_bytes() == manifest


def test_status_says_where_every_run_stands(home, typed):
    done = typed("status", home / "out")
    assert done.returncode == 0
    assert done.stdout.count("finished") == 4 and done.stdout.count("640 of 640") == 4


def test_report_writes_the_same_verdicts_again(home, typed):
    verdicts = (home / "out" / "verdicts.json").read_bytes()
    (home / "out" / "report.html").unlink()
    done = typed("report", home / "out")
    assert done.returncode == 0 and "Verdicts" in done.stdout
    assert (home / "out" / "verdicts.json").read_bytes() == verdicts
    assert "</html>" in (home / "out" / "report.html").read_text(encoding="utf-8")


def test_plan_says_the_cost_and_runs_nothing(home, typed):
    before = sorted(home.iterdir())
    done = typed("plan", home / "study.toml")
    assert done.returncode == 0
    assert "time per run" in done.stdout and "4 runs" in done.stdout and "TFLOP" in done.stdout
    assert "of scoring" in done.stdout and "once for all runs" in done.stdout and "not counted" not in done.stdout
    assert sorted(home.iterdir()) == before


def test_plan_and_compare_say_which_defaults_of_a_framework_replace_the_projects(home, typed, tmp_path):
    label = "toy_frameworks:Inner"
    study = STUDY.format(data=home / "digits.npz").replace('["vae", "gan"]', f'["vae", "{label}"]')
    (tmp_path / "study.toml").write_text(study.replace("images = 640", "images = 32").replace("seeds = 2", "seeds = 1"))
    for command in (["plan"], ["run", "--out", tmp_path / "out"]):
        done = typed(*command, tmp_path / "study.toml")
        (line,) = [line for line in done.stdout.splitlines() if "has its own defaults" in line]
        assert line.startswith(f"  note: {label} has its own defaults: optimiser.rate = 0.02 instead of 0.001, ")


def test_sample_writes_a_picture_that_the_seed_decides(vae, typed, tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        done = typed("sample", vae, "-n", 10, "--seed", seed, "--out", tmp_path / f"{name}.png")
        assert done.returncode == 0, done.stderr
    a, b, c = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in "abc")
    assert a.shape == (2 * 17 - 1, 8 * 17 - 1) and a.std() > 0
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_reconstruct_puts_each_image_above_its_reconstruction(home, vae, typed, tmp_path):
    done = typed("reconstruct", vae, home / "digits.npz", "-n", 16, "--out", tmp_path / "r.png")
    assert done.returncode == 0, done.stderr
    sheet = np.asarray(Image.open(tmp_path / "r.png"))
    shown = np.asarray(Image.open(max((vae / "reconstructions").iterdir())))  # the run's own, of the same images
    assert sheet.shape == (4 * 17 - 1, 8 * 17 - 1)
    assert np.array_equal(sheet[:16], shown[:16])
    refused = typed("reconstruct", next((home / "out" / "runs").glob("gan-s0-*")), home / "digits.npz", "-n", 16)
    assert refused.returncode == 2 and "no encoder" in refused.stderr


def test_compare_and_train_are_studies_too(home, triptych, tmp_path):
    small = ("--preset", "quick", "--size", 16, "--images", 64, "--device", "cpu", "--threads", 1)
    done = triptych(
        "compare",
        home / "digits.npz",
        "--frameworks",
        "vae",
        "--seeds",
        1,
        *small,
        "--workers",
        2,
        "--metrics",
        "frechet,pixel_error",
        "--features",
        "pixels",
        "--out",
        tmp_path / "compared",
    )
    assert done.returncode == 0, done.stderr
    assert "1 run: vae; 1 seed; 64 images each" in done.stdout
    scored = {
        line["metric"]: line["features"].partition("@")[0]
        for line in store.read_lines(tmp_path / "compared" / "scores.jsonl")
    }
    assert scored.keys() == {"frechet_distance", "frechet_uncorrected", "reconstruction_mse", "psnr"}
    assert scored["frechet_distance"] == "pixels"
    done = triptych("train", "gan", home / "digits.npz", "--seed", 3, *small, "--metrics", "frechet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (run,) = tmp_path.glob("results/gan-s3-digits-quick/runs/*")
    assert store.is_complete(run) and run.name.startswith("gan-s3-")
    assert store.read_lines(run / "scores.jsonl")


def test_networks_and_doctor_say_what_is_there(typed):
    done = typed("networks", "--size", 64)
    assert done.returncode == 0
    for name in ("Encoder", "Decoder", "Discriminator"):
        assert name in done.stdout
    done = typed("doctor")
    assert done.returncode == 0
    assert "torch" in done.stdout and "threads" in done.stdout


def test_help_comes_at_once_and_without_torch():
    times = []  # of the processor, so that other work on the machine does not count
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-m", "triptych.cli", "--help"], capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert done.returncode == 0
    for command in (
        "compare",
        "run",
        "plan",
        "status",
        "report",
        "train",
        "sample",
        "reconstruct",
        "networks",
        "doctor",
    ):
        assert command in done.stdout
    assert min(times) < 0.5, times


@pytest.mark.parametrize(
    "arguments", [["--help"], ["compare", "--help"], ["compare", "mnits"], ["run", "nowhere.toml"]]
)
def test_neither_help_nor_a_typo_waits_for_torch(arguments, tmp_path):
    code = (
        "import json, sys\nfrom triptych.cli import main\n"
        f"sys.argv = ['triptych', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    code = end.code\n"
        "print(json.dumps([code, 'torch' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert json.loads(done.stdout.splitlines()[-1]) == [0 if "--help" in arguments else 2, False]


@pytest.mark.parametrize("command", ["run", "score", "report"])
def test_a_directory_where_another_process_is_at_work_is_refused(command, home, typed):
    before = (home / "out" / "report.html").stat().st_mtime_ns
    with store.locked(home / "out", wait=False) as mine:
        assert mine
        done = typed(command, home / "out" / "study.toml" if command == "run" else home / "out")
    assert done.returncode == 2
    assert "another process is at work" in done.stderr and "Traceback" not in done.stderr
    assert (home / "out" / "report.html").stat().st_mtime_ns == before


def test_a_report_takes_away_what_a_killed_one_left(home, typed):
    left = [home / "out" / "report.html.0a1b2c3d.partial", home / "out" / "figures" / "curves.pdf.0a1b2c3d.partial"]
    kept = home / "out" / "thesis.partial"
    (home / "out" / "figures").mkdir(exist_ok=True)
    for path in (*left, kept):
        path.write_text("half a page")
    assert typed("report", home / "out").returncode == 0
    assert not any(path.exists() for path in left) and kept.exists()
    kept.unlink()


def test_a_file_that_cannot_be_written_is_one_message(vae, typed, tmp_path):
    (tmp_path / "folder").mkdir()
    done = typed("sample", vae, "-n", 4, "--out", tmp_path / "folder")
    assert done.returncode == 2
    assert done.stderr == f"triptych: {tmp_path / 'folder'}: is a directory.\n"
    (tmp_path / "file").write_text("a file")
    done = typed("sample", vae, "-n", 4, "--out", tmp_path / "file" / "samples.png")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("triptych: ") and str(tmp_path / "file") in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_full_disk_is_one_message(vae, typed, tmp_path, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    done = typed("sample", vae, "-n", 4, "--out", tmp_path / "samples.png")
    assert done.returncode == 2
    assert done.stderr == f"triptych: {tmp_path / 'samples.png'}: no space left on device.\n"


def test_ctrl_c_outside_the_scoring_itself_is_a_stop_too(home, typed, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("triptych.study.rescoring.rescore", interrupted)
    done = typed("score", home / "out", "--metrics", "sharpness")
    assert done.returncode == 75 and "Stopped" in done.stdout and str(home / "out") in done.stdout
