"""The options of a run: checks, flags and configuration file."""

import re
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import pytest

from reid_ext import training
from reid_ext._runtime.arguments import ArgumentError
from reid_ext.training import RunOptions, command_line, read_config, write_config
from reid_ext.training.options import default_of
from reid_ext.training.setups import SETUPS

ROOT = Path(__file__).parents[2]
EVERYTHING = {
    "dataset": "msmt17",
    "data": "/data/with \"quotes\", 'more'\n\ttab \x7f \\ and ümläut 🦊",
    "split": {"train_on": "trainval"},
    "views": "views.csv",
    "fraction": 0.5,
    "fraction_of": "images",
    "cache": "cache",
    "quick": True,
    "backbone": "small",
    "weights": "none",
    "loss": "va",
    "settings": {"size": (96, 48), "learning_rate": 1e-5, "milestones": (), "neck": "shared"},
    "epochs": 3,
    "batch": (4, 2),
    "seed": 7,
    "device": "cpu",
    "precision": "bfloat16",
    "workers": 0,
    "compile": True,
    "evaluate_on": "val",
    "validate_every": 2,
    "rerank": True,
    "by_viewpoint": True,
    "angles": True,
    "out": "out",
    "resume": True,
    "overwrite": False,
    "profile": True,
    "wandb": "project",
}
FLAGS = [
    *("--data", EVERYTHING["data"], "--train-on", "trainval", "--views", "views.csv"),
    *("--fraction", "0.5", "--fraction-of", "images", "--cache", "cache", "--quick"),
    *("--backbone", "small", "--weights", "none", "--loss", "va"),
    *("--set", "size=96x48", "learning_rate=1e-5", "--set", "milestones=", "neck=shared"),
    *("--epochs", "3", "--batch", "4x2", "--seed", "7", "--device", "cpu"),
    *("--precision", "bfloat16", "--workers", "0", "--compile", "--evaluate-on", "val"),
    *("--validate-every", "2", "--rerank", "--by-viewpoint", "--angles", "--out", "out"),
    *("--resume", "--profile", "--wandb", "project"),
]


def parse(*arguments, dataset="market1501"):
    return command_line.parse("A training script.", dataset, list(map(str, arguments)))


@pytest.mark.parametrize(
    "option, value, message",
    [
        ("dataset", "market", "must be one of 'sysu-mm01', .* got 'market'"),
        ("data", 3, "must be a path, got 3"),
        ("views", "", None),
        ("fraction", 0, "must be a finite number > 0 and <= 1, got 0"),
        ("fraction", "half", "must be a finite number > 0 and <= 1, got 'half'"),
        ("fraction_of", "cameras", "must be one of 'identities', 'images', got 'cameras'"),
        ("quick", 1, "must be True or False, got 1"),
        ("quick", None, "must be True or False, got "),
        ("backbone", "", "must be a non-empty string, got ''"),
        ("loss", "best", "must be one of 'softmax', .* got 'best'"),
        ("settings", ["iterations=3"], "must be a dict with strings as keys, got "),
        ("settings", {"size": 3}, "settings.size must be 2 integers"),
        ("epochs", 0, "must be an integer >= 1, got 0"),
        ("epochs", 1.5, "must be an integer >= 1, got 1.5"),
        ("batch", 8, r"must be identities and images .*, as \(8, 4\) or 8x4, got 8"),
        ("batch", (8, 0), r"must be identities .*, got \(8, 0\)"),
        ("seed", -1, "must be an integer >= 0, got -1"),
        ("device", "tpu", "must be a device of this machine, got 'tpu'; use cpu"),
        ("precision", "half", "must be one of 'float32', 'bfloat16', 'float16', got 'half'"),
        ("workers", -1, "must be an integer >= 0, got -1"),
        ("evaluate_on", "train", "must be one of 'test', 'val', got 'train'"),
        ("split", {"trial": 1}, "split must name options of the dataset's reader, got 'trial'"),
    ],
)
def test_run_options_name_the_option_of_an_invalid_value(option, value, message):
    given = {"dataset": "market1501", option: value}
    if message is None:
        RunOptions(**given)
        return
    with pytest.raises(ArgumentError, match=f"^RunOptions: .*{message}") as raised:
        RunOptions(**given)
    assert raised.value.argument.partition(".")[0] == option


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"dataset": "market1501", "epochs": 2, "settings": {"iterations": 3}},
            "epochs must be left out if settings has iterations, got 2 and iterations=3",
        ),
        ({"dataset": "regdb", "by_viewpoint": True}, "by_viewpoint must be False for regdb"),
        ({"dataset": "regdb", "split": {"trials": 1}}, "trials must be a non-empty list, got 1"),
        ({"dataset": "regdb", "split": {"trials": [11]}}, "trials must be one of 1, .* got 11"),
        ({"dataset": "folders", "split": {"camera": 3}}, "camera must be a string, got 3"),
    ],
)
def test_run_options_raise_when_options_conflict(options, message):
    with pytest.raises(ArgumentError, match=message):
        RunOptions(**options)


def test_run_options_are_frozen_and_plain():
    options = RunOptions(dataset="market1501", data="x", batch=[8, 4], settings={"size": [9, 3]})
    assert options.data == Path("x") and options.batch == (8, 4)
    assert options.settings == {"size": (9, 3)} and options.loss == "expat"
    with pytest.raises(FrozenInstanceError):
        options.seed = 1


def row(item):
    """The row of an option in the table of docs/training.md."""
    name, metavar = item.name, item.metadata.get("metavar", "")
    flag = {"dataset": "the script", "split": "flags of the script", "settings": "`--set`"}
    shown = flag.get(name, f"`--{name.replace('_', '-')}{f' {metavar}' if metavar else ''}`")
    default = default_of(name) or "required"
    return f"| `{name}` | {shown} | {item.metadata['help']} | {default} |"


@pytest.mark.parametrize("item", fields(RunOptions), ids=lambda item: item.name)
def test_every_option_is_documented(item):
    assert f"    {item.name}: " in RunOptions.__doc__
    assert row(item) in (ROOT / "docs" / "training.md").read_text().splitlines()


def test_training_package_uses_no_argparse_namespace():
    for path in (ROOT / "reid_ext" / "training").rglob("*.py"):
        assert "Namespace" not in path.read_text(), path


def test_every_flag_fills_its_option():
    assert parse(*FLAGS, dataset="msmt17") == RunOptions(**EVERYTHING)
    assert set(EVERYTHING) == {item.name for item in fields(RunOptions)}


@pytest.mark.parametrize(
    "option, value, key, twice",
    [
        ("epochs", 3, "iterations", 5),
        ("batch", (8, 4), "identities_per_batch", 4),
        ("batch", (8, 4), "images_per_modality", 4),
        ("backbone", "small", "backbone", "resnet50"),
    ],
)
def test_options_raise_for_a_setting_given_twice(option, value, key, twice):
    with pytest.raises(ArgumentError, match=f"RunOptions: {option} must be left out if .* {key},"):
        RunOptions(dataset="regdb", settings={key: twice}, **{option: value})


def test_overwrite_excludes_resume(tmp_path):
    assert parse("--overwrite").overwrite
    with pytest.raises(ArgumentError, match="RunOptions: overwrite must be False if resume is"):
        RunOptions(dataset="regdb", overwrite=True, resume=True)
    write_config(RunOptions(dataset="regdb", overwrite=True), tmp_path / "config.toml")
    assert "overwrite" not in read_config(tmp_path / "config.toml")


@pytest.mark.parametrize("dataset", SETUPS)
def test_parse_gives_the_defaults_without_flags(dataset):
    assert parse(dataset=dataset) == RunOptions(dataset=dataset)


def test_script_help_shows_groups_and_defaults(capsys):
    with pytest.raises(SystemExit):
        parse("--help", dataset="vehicleid")
    text = " ".join(capsys.readouterr().out.split())
    for shown in ("model: --backbone", "(default: expat)", "--size", "(default: 800)", "--rerank"):
        assert shown in text
    assert "--by-viewpoint" not in text


def test_config_file_repeats_the_options(tmp_path):
    options = RunOptions(**EVERYTHING)
    write_config(options, tmp_path / "config.toml")
    again = RunOptions(**read_config(tmp_path / "config.toml"))
    for item in fields(RunOptions):
        value = getattr(options, item.name)
        want = value.absolute() if isinstance(value, Path) else value
        assert getattr(again, item.name) == (False if item.name == "resume" else want), item.name
    assert parse("--config", tmp_path / "config.toml", dataset="msmt17") == again


def test_flags_take_precedence_over_the_config_file(tmp_path):
    file = tmp_path / "config.toml"
    tables = "[settings]\nflip = 0\niterations = 9\n[split]\ntrials = [2]\n"
    file.write_text(f'seed = 3\nloss = "va"\nquick = true\n{tables}')
    flags = ("--seed", 4, "--no-quick", "--set", "iterations=5", "--trials", 1, 3)
    options = parse("--config", file, *flags, dataset="regdb")
    assert (options.seed, options.loss, options.quick) == (4, "va", False)
    assert options.settings == {"flip": 0.0, "iterations": 5} and options.split == {
        "trials": [1, 3]
    }


@pytest.mark.parametrize(
    "content, message",
    [
        ("epoch = 3", "--config: keys must be options of a run, got 'epoch' in .*mean 'epochs'"),
        ("[settings]\nsizes = 3", "keys must be options of a run, got 'sizes' in .*mean 'size'"),
        ("epochs = ", "--config: path must be valid TOML, got .*config.toml"),
        ('epochs = "3"', "--config .*config.toml: epochs must be an integer >= 1, got '3'"),
        ("settings = 3", "--config .*: settings must be a table"),
        ("[settings]\nflip = 2", "--config .*: settings.flip must be a finite"),
        ('dataset = "regdb"', "must be the file of a run on market1501, got .* of a run on regdb"),
    ],
)
def test_invalid_config_file_exits_with_1(content, message, tmp_path, capsys):
    file = tmp_path / "config.toml"
    file.write_text(content)
    with pytest.raises(SystemExit) as ended, command_line.one_line_errors():
        parse("--config", file)
    assert ended.value.code == 1
    capture = capsys.readouterr()
    assert capture.err.count("\n") == 1 and re.search(message, capture.err)


def test_read_config_raises_for_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="read_config: path must be a file"):
        read_config(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "flags, code, message",
    [
        (["--seed", "-1"], 2, "--seed must be an integer >= 0, got -1"),
        (["--batch", "8"], 2, "--batch must be identities .*, got '8'"),
        (["--loss", "best"], 2, "--loss must be one of .*, got 'best'"),
        (["--evaluate-on", "none"], 2, "--evaluate-on must be one of .*, got 'none'"),
        (
            ["--set", "flip=2"],
            1,
            "error: --set: flip must be a finite number .* <= 1, got 2.0",
        ),
        (["--set", "flip"], 1, "error: --set must be given as KEY=VALUE, got 'flip'"),
        (["--set", "flop=2"], 1, "error: --set must name settings of the recipe, got 'flop'"),
    ],
)
def test_invalid_flag_is_named(flags, code, message, capsys):
    with pytest.raises(SystemExit) as ended, command_line.one_line_errors():
        parse(*flags)
    assert ended.value.code == code
    assert re.search(message, capsys.readouterr().err.splitlines()[-1])


def test_training_exports_the_run_functions():
    assert {"RunOptions", "run", "read_config", "write_config"} <= set(training.__all__)


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("learning_rate", 0.0, "Recipe: learning_rate must be a finite number > 0, got 0.0"),
        (
            "images_per_modality",
            -1,
            "images_per_modality must be a finite number > 0, got -1",
        ),
        ("flip", 1.5, r"Recipe: flip must be a finite number >= 0 and <= 1, got 1.5"),
        ("flip", float("nan"), r"Recipe: flip must be a finite number >= 0 and <= 1, got nan"),
        ("weight_decay", -1.0, "Recipe: weight_decay must be a finite number >= 0, got -1.0"),
        ("center_learning_rate", -1.0, "center_learning_rate must be a finite number >= 0"),
        ("warmup", -3, "Recipe: warmup must be >= 0 and ascending, got -3"),
        ("milestones", (9, 3), r"Recipe: milestones must be >= 0 and ascending, got \(9, 3\)"),
        ("metric_ramp", (9, 3), r"Recipe: metric_ramp must be >= 0 and ascending, got \(9, 3\)"),
        ("schedule", "step", "Recipe: schedule must be one of 'multi_step', 'cosine', got 'step'"),
        ("metric", "cos", "Recipe: metric must be one of .*; did you mean 'cosine'"),
        ("view_labels", "soft", "Recipe: view_labels must be one of 'adaptive', "),
        ("average", 1.0, "Recipe: average must be a finite number .* < 1, got 1.0"),
    ],
)
def test_recipe_raises_for_values_out_of_range(setting, value, message):
    assert isinstance(training.MARKET1501, training.Recipe)
    with pytest.raises(ArgumentError, match=message):
        replace(training.MARKET1501, **{setting: value})
