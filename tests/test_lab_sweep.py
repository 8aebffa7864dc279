"""The engine: the same table whatever happens, and plain words where it must stop."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
from toys import TUNED, write

from lnlib.__main__ import main
from lnlib.lab import evidence, experiment, sweep, verify
from lnlib.lab.experiment import ExperimentError, Run, Tuning, load

RUNS = 2 * 3 * 2 * 3


@pytest.fixture
def toy(tmp_path):
    return write(tmp_path)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("once")
    assert sweep.sweep(str(write(folder)), folder / "whole") == RUNS
    return folder / "whole"


@pytest.fixture
def whole(made_once, tmp_path):
    """The bytes of the table of a run that nothing disturbed; a copy is in whole/."""
    shutil.copytree(made_once, tmp_path / "whole")
    return (made_once / "toy.csv").read_bytes()


def command(*words):
    return [sys.executable, "-m", "lnlib", *map(str, words)]


def record(folder):
    return json.loads((folder / "toy.json").read_text())


# --- the same table --------------------------------------------------------------


def test_rows_are_what_run_returns_in_the_order_of_the_grid(toy, whole, tmp_path):
    toy_experiment = load(str(toy))
    table = evidence.load("toy", tmp_path / "whole")
    runs = toy_experiment.runs()
    assert len(table) == RUNS == len(runs)
    for run, row in zip(runs, table.rows, strict=True):
        measured = toy_experiment.run(run.config, run.seed)
        assert row == {**run.config, "seed": run.seed, **measured}


def test_the_record_says_where_it_comes_from(whole, tmp_path):
    found = record(tmp_path / "whole")
    (session,) = found["sessions"]
    assert found["complete"] and found["rows"] == session["rows"] == RUNS
    assert session["command"] == "python -m lnlib run toy.py"
    assert session["processors"] == [sweep.processor()]
    assert session["versions"]["python"] and "commit" in session
    assert session["cost_of_runs"] == RUNS and session["seconds"] >= 0
    assert str(tmp_path) not in json.dumps(found)


def test_two_processes_make_the_same_table(toy, whole, tmp_path):
    assert sweep.sweep(str(toy), tmp_path, jobs=2) == RUNS
    assert (tmp_path / "toy.csv").read_bytes() == whole


def test_parts_add_up_to_the_same_table(toy, whole, tmp_path):
    only = {"norm": ["layer"], "size": [2, 4]}
    assert sweep.sweep(str(toy), tmp_path, seeds=[2], only=only) == 4
    assert {r["norm"] for r in evidence.load("toy", tmp_path).rows} == {"layer"}
    assert not record(tmp_path)["complete"]
    assert sweep.sweep(str(toy), tmp_path) == RUNS - 4
    assert sweep.sweep(str(toy), tmp_path) == 0
    assert (tmp_path / "toy.csv").read_bytes() == whole
    assert record(tmp_path)["complete"]
    assert [s["rows"] for s in record(tmp_path)["sessions"]] == [4, RUNS - 4]


def test_kill_9_at_any_moment_and_go_on(toy, whole, tmp_path):
    numbers, killed = random.Random(1), 0
    environment = {**os.environ, "TOY_SECONDS": "0.03"}
    for _ in range(4):
        there = tmp_path / "toy.csv"
        before = there.stat().st_size if there.exists() else 0
        child = subprocess.Popen(
            command("run", toy, "--evidence", tmp_path, "--quiet"), env=environment
        )
        # From its first row on, not while Python is still starting.
        end = time.monotonic() + 60
        while child.poll() is None and time.monotonic() < end:
            if there.exists() and there.stat().st_size > before + 60:
                break
            time.sleep(0.005)
        time.sleep(numbers.uniform(0, 0.2))
        killed += child.poll() is None
        child.kill()
        child.wait()
    assert killed >= 2
    done = subprocess.run(
        command("run", toy, "--evidence", tmp_path), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "toy.csv").read_bytes() == whole
    found = record(tmp_path)
    assert sum(s["rows"] for s in found["sessions"]) == RUNS and found["complete"]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_is_clean_and_says_how_to_go_on(toy, whole, tmp_path, sent):
    child = subprocess.Popen(
        command("run", toy, "--evidence", tmp_path, "--jobs", "2"),
        env={**os.environ, "TOY_SECONDS": "0.2"},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    there, end = tmp_path / "toy.csv", time.monotonic() + 60
    while time.monotonic() < end:
        if there.exists() and there.read_bytes().count(b"\n") > 3:
            break
        time.sleep(0.01)
    if sent == signal.SIGINT:
        os.killpg(child.pid, sent)  # as a terminal does: all of its processes
    else:
        child.send_signal(sent)
    said = child.communicate(timeout=60)[1]
    assert child.returncode == 130
    assert "Go on with the same command" in said and "Traceback" not in said
    assert "toy, test, 36 runs" in said  # the progress bar
    assert 2 < len(evidence.load("toy", tmp_path)) < RUNS
    sweep.sweep(str(toy), tmp_path)
    assert there.read_bytes() == whole


def test_an_interrupt_that_python_dropped_stops_after_the_run(toy, tmp_path):
    asked = iter([False, True])
    with pytest.raises(sweep.Interrupted):
        sweep.sweep(str(toy), tmp_path, stop=lambda: next(asked))
    assert len(evidence.load("toy", tmp_path)) == 2


# --- a cluster -------------------------------------------------------------------


def test_a_dask_cluster_makes_the_same_table_though_a_worker_is_killed(
    toy, whole, tmp_path, monkeypatch
):
    pids = tmp_path / "pids"
    pids.mkdir()
    monkeypatch.setenv("TOY_PIDS", str(pids))
    monkeypatch.setenv("TOY_SECONDS", "0.1")
    killed = []

    def kill_one():
        end = time.monotonic() + 60
        while not killed and time.monotonic() < end:
            for path in pids.iterdir():
                os.kill(int(path.name), signal.SIGKILL)
                killed.append(int(path.name))
                break
            time.sleep(0.01)

    thread = threading.Thread(target=kill_one)
    thread.start()
    assert sweep.sweep(str(toy), tmp_path, jobs=2, cluster="local") == RUNS
    thread.join()
    assert killed and os.getpid() not in killed
    assert (tmp_path / "toy.csv").read_bytes() == whole
    assert len(list(pids.iterdir())) >= 2  # it was shared among processes


def test_a_run_that_kills_every_worker_is_given_up(toy, tmp_path, monkeypatch):
    import dask.distributed  # brings its settings, which the block below overlays

    monkeypatch.setenv("TOY_DIES", "layer2")
    monkeypatch.setenv("TOY_PIDS", str(pids := tmp_path / "pids"))
    pids.mkdir()
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        pytest.raises(sweep.Failed, match="each worker that began it died"),
    ):
        # One job, which must still not be done in this process.
        sweep.sweep(str(toy), tmp_path, jobs=1, cluster="local")
    assert len(list(pids.iterdir())) >= 1


def test_workers_with_several_threads_are_refused(toy, tmp_path):
    from dask.distributed import LocalCluster

    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        pytest.raises(ExperimentError, match="dask worker --nthreads 1"),
    ):
        sweep.sweep(str(toy), tmp_path, cluster=cluster.scheduler_address)


def test_without_dask_it_says_what_to_install(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    words = ["run", str(toy), "--evidence", str(tmp_path), "--cluster", "local"]
    assert main(words) == 1
    assert "pip install 'lnlib[cluster]'" in capsys.readouterr().err


# --- what goes wrong -------------------------------------------------------------


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_that_fails_is_named(toy, tmp_path, monkeypatch, capsys, jobs):
    monkeypatch.setenv("TOY_FAILS", "layer4")
    words = ["run", str(toy), "--evidence", str(tmp_path), "--jobs", str(jobs)]
    assert main([*words, "--quiet"]) == 1
    said = capsys.readouterr().err
    assert "norm=layer, size=4, eps=" in said and "made up to fail" in said
    assert "UserWarning" not in said
    assert "go on with the same command" in said
    monkeypatch.delenv("TOY_FAILS")
    assert main([*words, "--quiet"]) == 0
    assert len(evidence.load("toy", tmp_path)) == RUNS


def test_a_worker_that_dies_is_said(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_DIES", "layer4")
    with pytest.raises(sweep.Failed, match="A worker process died"):
        sweep.sweep(str(toy), tmp_path, jobs=2)


def test_a_second_run_at_the_same_time_is_refused(toy, whole, tmp_path, capsys):
    path = tmp_path / "whole" / "toy.csv"
    with evidence.Writer(path, ("norm", "size", "eps"), ("error", "loss")):
        assert main(["run", str(toy), "--evidence", str(path.parent)]) == 1
    assert "another run has it" in capsys.readouterr().err


def test_a_row_of_another_version_is_refused(toy, whole, tmp_path, capsys):
    path = tmp_path / "whole" / "toy.csv"
    path.write_bytes(whole.replace(b"layer,4,0.1,1,", b"layer,3,0.1,1,"))
    assert main(["run", str(toy), "--evidence", str(path.parent)]) == 1
    said = capsys.readouterr().err
    assert "toy.csv, line 36: Expected size to be one of 1, 2, 4, but got 3" in said


def test_another_device_is_kept_apart(toy, whole, tmp_path, capsys):
    words = ["run", str(toy), "--evidence", str(tmp_path / "whole"), "--device", "cuda"]
    assert main(words) == 1
    assert (
        "Expected the device of the rows that are there, cpu" in capsys.readouterr().err
    )


def test_without_joblib_it_says_what_to_install(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sweep.importlib.util, "find_spec", lambda name: None)
    assert main(["run", str(toy), "--evidence", str(tmp_path)]) == 1
    assert "pip install 'lnlib[lab]'" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_said(toy, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["run", str(toy), "--evidence", str(tmp_path / "file" / "x")]) == 1
    assert "The table cannot be written" in capsys.readouterr().err


# --- what is asked for -----------------------------------------------------------


def test_a_dry_run_makes_nothing_and_foretells(toy, whole, tmp_path, capsys):
    words = ["run", str(toy), "--dry-run", "--evidence"]
    assert main([*words, str(tmp_path / "new"), "--only", "size=1,2"]) == 0
    said = capsys.readouterr().out
    assert re.match(r"toy: 24 of 24 runs to do; about \d+ s with --jobs 1", said)
    assert "made just now" in said and not (tmp_path / "new").exists()
    assert main([*words, str(tmp_path / "whole"), "--seeds", "0-4"]) == 0
    assert "24 of 60 runs to do" in (said := capsys.readouterr().out)
    assert "by the times of 36 earlier runs" in said
    assert main([*words, str(tmp_path / "whole")]) == 0
    assert "all 36 runs are there; nothing to do" in capsys.readouterr().out


def test_the_time_foretold_is_that_of_the_costs():
    slow = load("batch_size")
    past = {"sessions": [{"cost_of_runs": 200.0, "seconds_of_runs": 50.0, "rows": 3}]}
    runs = [r for r in slow.runs("tune") if r.config["batch_size"] == 1][:4]
    seconds, source = sweep.expected(slow, runs, past)
    assert seconds == pytest.approx(sum(slow.cost(r.config) for r in runs) / 4)
    assert source == "by the times of 3 earlier runs"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Expected a question, or --all"),
        (["nix"], "Expected a question, one of affine"),
        (["nix.py"], "nix.py is not there"),
        (["TOY", "--jobs", "0"], "Expected --jobs to be at least 1, but got 0"),
        (["TOY", "--only", "norm"], "--only to be like norm=layer, but got 'norm'"),
        (["TOY", "--only", "depth=3"], "one of norm, size, eps, but got 'depth'"),
        (["TOY", "--only", "size=3"], "Expected size to be one of 1, 2, 4, but got 3"),
        (["TOY", "--seeds", "9"], "--seeds to be from 1 to 3"),
        (["TOY", "--seeds", "0"], "--seeds to be from 1 to 3"),
        (["TOY", "--seeds", "a"], "--seeds to be like 5, 0-4 or 3,7, but got 'a'"),
    ],
)
def test_what_makes_no_sense_is_refused(words, said, toy, tmp_path, capsys):
    words = [str(toy) if w == "TOY" else w for w in words]
    assert main(["run", *words, "--evidence", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "toy.csv").exists()


def test_the_questions_are_listed(capsys):
    assert main(["run", "--list"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in experiment.names())


# --- tuning ----------------------------------------------------------------------


@pytest.fixture
def tuned(tmp_path):
    return write(tmp_path, "tuned", TUNED)


def test_the_best_level_of_each_arm_is_what_counts(tuned, tmp_path):
    assert sweep.sweep(str(tuned), tmp_path) == 3 * (3 * 2 + 3)
    table = evidence.load("tuned", tmp_path)
    assert table.factors == ("stage", "norm", "size", "lr")
    counted = table.where(stage="test")
    chosen = {(r["norm"], r["size"]): r["lr"] for r in counted.rows}
    assert chosen == {("none", 1): 0.1, ("none", 8): 1.0, ("layer", 8): 0.3}
    assert counted.levels("seed") == [0, 1, 2]
    assert all(r["test"] is not None for r in counted.rows)
    tuning = table.where(stage="tune")
    assert tuning.levels("seed") == [100, 101]
    assert all(r["test"] is None for r in tuning.rows)
    assert [r["stage"] for r in table.rows] == ["tune"] * 18 + ["test"] * 9


def test_a_tuned_table_in_parts_is_the_same(tuned, tmp_path):
    sweep.sweep(str(tuned), tmp_path / "whole")
    for only in ({"norm": ["layer"]}, {"stage": ["tune"]}, {"size": [1]}, None):
        sweep.sweep(str(tuned), tmp_path, only=only)
    parts, whole = tmp_path / "tuned.csv", tmp_path / "whole" / "tuned.csv"
    assert parts.read_bytes() == whole.read_bytes()


def test_a_dry_run_counts_the_runs_that_are_still_to_be_chosen(tuned, tmp_path):
    tuned_experiment = load(str(tuned))
    said = sweep.foretell(tuned_experiment, tmp_path)
    assert said.startswith("tuned: 27 of 27 runs to do")
    sweep.sweep(str(tuned), tmp_path, only={"norm": ["layer"]})
    assert "18 of 27 runs to do" in sweep.foretell(tuned_experiment, tmp_path)


def test_seeds_of_the_tuning_do_not_count(tuned, tmp_path, capsys):
    words = ["run", str(tuned), "--evidence", str(tmp_path), "--seeds", "99-100"]
    assert main(words) == 2
    assert "Expected seeds other than those the tuning uses" in capsys.readouterr().err
    row = {"stage": "tune", "norm": "none", "size": 1, "lr": 0.1, "seed": 0}
    assert "Expected the seeds [100, 101] in the stage tune" in load(
        str(tuned)
    ).check_row(row)
    row |= {"size": 8, "norm": "layer", "seed": 100}
    assert load(str(tuned)).check_row(row) is None
    row |= {"size": 1}
    assert "allowed, but got norm=layer, size=1" in load(str(tuned)).check_row(row)


def test_what_is_not_finite_loses_and_ties_go_to_the_first():
    tuning = Tuning("lr", (1, 2, 3), seeds=(7,), by="val")

    def choose(*values):
        rows = [
            {"stage": "tune", "norm": "a", "lr": lr, "seed": 7, "val": value}
            for lr, value in zip((1, 2, 3), values, strict=True)
        ]
        return tuning.choose(rows[::-1], ("norm",))[("a",)]

    assert choose(0.3, 0.1, 0.2) == 2
    assert choose(float("nan"), 0.9, float("inf")) == 2
    assert choose(None, 0.9, 0.9) == 2
    assert choose(0.5, 0.5, 0.5) == 1


# --- the form of an experiment ---------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"""Is a made', '"""Short."""\n"""Is a made', "a docstring that states"),
        ("GRID = {", "GRIT = {", "GRID, not empty"),
        ("SEEDS = range(3)", "SEEDS = []", "SEEDS, not empty"),
        ("SEEDS = range(3)", "SEEDS = [1, 1]", "different seeds"),
        ("SEEDS = range(3)", "SEEDS = [1.5]", "seeds that are ints"),
        ("def run(", "def walk(", "run(config, seed)"),
        ('"size": [1, 2, 4]', '"size": [1, 1]', "different levels of size"),
        ('"size": [1, 2, 4]', '"size": ["1"]', "no number"),
        ('"size": [1, 2, 4]', '"Size": [1]', "names of small letters"),
        ('"size": [1, 2, 4]', '"seed": [1]', "a name other than 'seed'"),
        ('"size": [1, 2, 4]', '"loss": [1]', "different names"),
        ('"loss": 0.1', '"loss": -0.1', "a tolerance for loss"),
        ("SEEDS = range(3)", "SEEDS = [1]\nallowed = lambda c: False", "allowed"),
    ],
)
def test_an_experiment_of_another_form_is_refused(toy, old, new, words):
    text = toy.read_text()
    assert old in text
    toy.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match="Expected") as caught:
        load(str(toy))
    assert words in str(caught.value)


def test_a_tuning_of_another_form_is_refused(tuned):
    for old, new, words in [
        (
            "seeds=(100, 101)",
            "seeds=(2, 101)",
            "seeds for tuning that are not in SEEDS",
        ),
        ('by="val"', 'by="other"', "TUNING by a measurement"),
    ]:
        tuned.write_text(TUNED.replace(old, new))
        with pytest.raises(ExperimentError, match=words):
            load(str(tuned))


def test_a_run_that_returns_something_else_is_refused(toy, tmp_path):
    toy.write_text(toy.read_text().replace('"loss": numbers', '"lots": numbers'))
    with pytest.raises(sweep.Failed, match="to return a dict of error, loss"):
        sweep.sweep(str(toy), tmp_path)


def test_a_file_with_a_name_that_no_table_can_have_is_refused(tmp_path):
    with pytest.raises(ExperimentError, match="of small letters"):
        load(str(write(tmp_path, "My Toy")))


# --- verifying -------------------------------------------------------------------


def test_verify_agrees_with_what_was_measured(toy, whole, tmp_path, capsys):
    words = ["verify", str(toy), "--evidence", str(tmp_path / "whole"), "--seed", "3"]
    assert main([*words, "--rows", "4"]) == 0
    said = capsys.readouterr().out
    assert said == "toy: 4 of 36 rows, --seed 3: agree, bit for bit\n"


def test_verify_names_the_row_that_differs(toy, whole, tmp_path, capsys):
    path = tmp_path / "whole" / "toy.csv"
    lines = whole.decode().splitlines()
    cells = lines[7].split(",")
    cells[-2] = repr(float(cells[-2]) * (1 + 2**-52))  # by the last bit
    path.write_text("\n".join([*lines[:7], ",".join(cells), *lines[8:], ""]))
    words = ["verify", str(toy), "--evidence", str(path.parent), "--rows", "99"]
    assert main(words) == 1
    said = capsys.readouterr()
    assert "1 measurements DIFFER" in said.out
    named = f"norm={cells[0]}, size={cells[1]}, eps={cells[2]}, seed={cells[3]}"
    assert named in said.err and "Expected error to be" in said.err


def test_on_another_processor_the_tolerance_decides(toy, whole, tmp_path, capsys):
    path = tmp_path / "whole" / "toy.json"
    found = json.loads(path.read_text())
    found["sessions"][0]["processors"] = ["another"]
    path.write_text(json.dumps(found))
    toy_experiment = load(str(toy))
    row = dict(evidence.load("toy", path.parent).rows[0])
    assert not verify.same_machine(found)
    row["error"] += 0.009
    assert verify.differences(toy_experiment, row, exact=False) == []
    assert len(verify.differences(toy_experiment, row, exact=True)) == 1
    row["error"] += 0.002
    (sentence,) = verify.differences(toy_experiment, row, exact=False)
    assert "within 0.01" in sentence
    assert main(["verify", str(toy), "--evidence", str(path.parent)]) == 0
    assert "within the tolerances" in capsys.readouterr().out


def test_what_is_missing_or_not_finite_must_be_so_again(toy):
    toy_experiment = load(str(toy))
    done = sweep.measure(str(toy), Run({"norm": "none", "size": 1, "eps": 0.1}, 0))
    for value in (None, float("nan"), float("inf")):
        row = {**done["row"], "loss": value}
        assert len(verify.differences(toy_experiment, row, exact=False)) == 1


def test_verify_refuses_what_it_cannot_read(toy, whole, tmp_path, capsys):
    assert main(["verify", str(toy), "--evidence", str(tmp_path / "none")]) == 1
    assert main(["verify", str(toy), "--rows", "0"]) == 2
    assert main(["verify", "nix"]) == 2
    path = tmp_path / "whole" / "toy.csv"
    path.write_bytes(whole.replace(b"error,loss", b"loss,error"))
    assert main(["verify", str(toy), "--evidence", str(path.parent)]) == 1
    assert "Expected the experiment's columns" in capsys.readouterr().err


def test_a_run_that_fails_when_verified_is_said(toy, whole, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_FAILS", "none1")
    row = evidence.load("toy", tmp_path / "whole").rows[0]
    (sentence,) = verify.differences(load(str(toy)), row, exact=True)
    assert "the run failed" in sentence and "made up to fail" in sentence
