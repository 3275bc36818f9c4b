"""The ablation script: tables of finished runs, planned runs, and invalid flags."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "ablation.py"


def script():
    spec = importlib.util.spec_from_file_location("ablation", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*flags, folder):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, flags)], cwd=folder, text=True, capture_output=True
    )


@pytest.mark.slow
def test_tables_show_means_over_seeds_and_paper_values(tmp_path):
    listed = run("va", "--list", "--seeds", 0, 1, "--out", "out", folder=tmp_path)
    for line in listed.stdout.splitlines():
        folder = tmp_path / line.split(" --out ")[1]
        folder.mkdir(parents=True)
        seed = int(line.split("--seed ")[1][0])
        results = {"plain": {"rank1": 0.5 + 0.02 * seed, "mAP": 0.4}}
        if "--rerank" in line:
            results["re-ranked"] = {"rank1": 0.7, "mAP": 0.6}
        (folder / "metrics.json").write_text(json.dumps({"results": results}))
    done = run("va", "--seeds", 0, 1, "--out", "out", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    table = (tmp_path / "out" / "va.md").read_text()
    assert table in done.stdout
    assert "| L_y + L_v | 51.0 ±1.0 (40.0) | 95.37 (88.67) | 51.0 ±1.0 (40.0) |" in table
    assert table.count("| 70.0 ±0.0 (60.0) | 95.09") == 0
    assert table.count("70.0 ±0.0 (60.0)") == 4  # two datasets, with and without local branches


def test_every_run_has_a_script_and_valid_flags(tmp_path):
    module = script()
    from reid_ext import training
    from reid_ext.training.overrides import checked_settings, settings_from_text

    for table in module.TABLES.values():
        for dataset in table.datasets:
            assert (SCRIPT.parent / f"train_{dataset}.py").exists()
        for row in table.rows:
            flags = list(row.flags)
            assert flags[flags.index("--loss") + 1] in training.OBJECTIVES
            if "--set" in flags:
                changes = [f for f in flags[flags.index("--set") + 1 :] if "=" in f]
                assert checked_settings(settings_from_text(changes))


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags, message",
    [
        (["expatt"], "TABLE must be one of expat, "),
        (["--data", "market1501"], "--data must be NAME=ROOT"),
        (["--data", "viper=x"], "NAME one of dukemtmc, market1501"),
    ],
)
def test_script_exits_with_2_for_invalid_flags(flags, message, tmp_path):
    done = run(*flags, folder=tmp_path)
    assert done.returncode == 2 and message in done.stderr


@pytest.mark.slow
def test_script_reports_a_failed_run_in_one_line(tmp_path):
    done = run("expat", "--seeds", 0, "--data", "market1501=nowhere", folder=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "root must be the folder of the dataset" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ablation: ")
