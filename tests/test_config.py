"""Config files: what is read, what is written, and the one line that says what is wrong."""

import os
import stat
import sys
from pathlib import Path

import pytest

from helpers import ROOT
from tuimon import ownership
from tuimon.errors import UsageError
from tuimon.launch import config as config_file
from tuimon.launch import user_code

MINIMAL = '[model]\nbuild = "mine:build"\n[data]\nbuild = "mine:data"\n'
CODE = "def build(units=3): ...\ndef data(): ...\ndef loss(a, b): ...\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    directory.mkdir(mode=0o755)
    write_code(directory / "mine.py", CODE)
    (directory / "sample.toml").write_text(MINIMAL)
    return directory


def write_code(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o644)


def test_defaults_are_filled_in_and_written_and_read_again(place: Path) -> None:
    (place / "sample.toml").write_text(
        MINIMAL + '[model.arguments]\nunits = 64\nname = "a \\"b\\""\nlist = [1, 2.5, "x"]\n[training]\nloss = "mse"\n'
        '[[training.callbacks]]\nclass = "ModelCheckpoint"\nfilepath = "best.weights.h5"\n'
    )
    config = config_file.read(place / "sample.toml")
    assert config.run.name == "sample"
    assert config.run.source == str(place / "sample.toml")
    assert config.training.optimizer == "Adam"
    assert config.training.epochs == 1
    config_file.write(config, place / "config.toml")
    assert config_file.read(place / "config.toml") == config
    assert "jit_compile" in (place / "config.toml").read_text()
    assert stat.S_IMODE((place / "config.toml").stat().st_mode) == 0o600


def test_the_sample_configs_are_valid() -> None:
    samples = list((ROOT / "sample_configs").glob("*.toml"))
    assert samples
    for sample in samples:
        config_file.require_functions(config_file.read(sample), sample)


@pytest.mark.parametrize(
    ("addition", "words"),
    [
        ("[training]\nepoch = 3", 'training.epoch: no such key (did you mean "epochs"?)'),
        ("[trainin]\nepochs = 3", 'trainin: no such table (did you mean "training"?)'),
        ('[training]\nepochs = "three"', "training.epochs: expected int, got str"),
        ("[training]\nepochs = 0", "training.epochs: expected int >= 1"),
        ("[training]\nepochs = true", "training.epochs: expected int, got bool"),
        ("[training]\nmetrics = [1]", "training.metrics[0]: expected str, got int"),
        ("[training]\nlearning_rate = 1e-3", "training.learning_rate: without a training.loss"),
        ("[training]\n[[training.callbacks]]\nmonitor = 'loss'", "training.callbacks[0].class: expected"),
        ("[monitor]\noverhead = 2.0", "monitor.overhead: expected float < 1"),
        ("[training\n", "line 5: not TOML"),
    ],
)
def test_an_error_names_file_and_key(place: Path, addition: str, words: str) -> None:
    (place / "sample.toml").write_text(MINIMAL + addition)
    with pytest.raises(UsageError) as caught:
        config_file.read(place / "sample.toml")
    assert str(caught.value).startswith(f"{place / 'sample.toml'}: {words}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [(None, "No such file"), (b"\xff\xfe", "not UTF-8"), (b"", "model: is missing"), (b"x = ", "not TOML")],
)
def test_a_file_that_is_none(place: Path, data: bytes | None, words: str) -> None:
    path = place / "other.toml"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UsageError, match=words):
        config_file.read(path)


def test_set_overrides_with_toml_values_or_strings(place: Path) -> None:
    config = config_file.read(
        place / "sample.toml",
        [
            "training.epochs=7",
            "training.loss=mse",
            "training.learning_rate=1e-5",
            "model.arguments.units=64",
            "data.arguments.name = two words",
            "model.arguments.deep.er=[1, 2]",
        ],
    )
    assert config.training.epochs == 7
    assert config.training.loss == "mse"
    assert config.training.learning_rate == 1e-5
    assert config.model.arguments == {"units": 64, "deep": {"er": [1, 2]}}
    assert config.data.arguments == {"name": "two words"}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.epochs", "expected TABLE.KEY=VALUE"),
        ("epochs=3", "expected TABLE.KEY=VALUE"),
        (".x=3", "expected TABLE.KEY=VALUE"),
        ("training.epoch=3", r"--set training.epoch: no such key"),
        ("trainin.epochs=3", r"--set trainin: no such table"),
        ("training.epochs=many", "--set training.epochs: expected int, got str"),
        ("model.build.x=1", "build is no table"),
    ],
)
def test_a_wrong_override_is_named(place: Path, override: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        config_file.read(place / "sample.toml", [override])


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("model.build", "mine:biuld", r'model.build: .*mine.py has no "biuld" \(did you mean "build"\?\)'),
        ("model.build", "mine:zzz", r'has no "zzz"; it has build, data, loss'),
        ("model.build", "mine", 'not of the form "module:function"'),
        ("model.build", "mine:a b", 'not of the form "module:function"'),
        ("data.build", "nowhere_at_all:x", 'data.build: there is no module "nowhere_at_all"'),
        ("training.loss", "mine:los", r'training.loss: .*did you mean "loss"'),
        ("training.optimizer", "adam", r'training.optimizer: Keras has no "adam" \(did you mean "Adam"'),
        ("training.metrics", '["mine:metric"]', r"training.metrics\[0\]: .*has no"),
        ("training.callbacks", '[{class = "ModelCheckpiont"}]', r'callbacks\[0\].class: .*mean "ModelCheckpoint"'),
        ("training.callbacks", '[{class = "mine:Callback"}]', r'callbacks\[0\].class: .*has no "Callback"'),
    ],
)
def test_what_the_config_names_must_be_there(place: Path, key: str, value: str, words: str) -> None:
    path = place / "sample.toml"
    config = config_file.read(path, ["training.loss=mse", f"{key}={value}"])
    with pytest.raises(UsageError, match=words):
        config_file.require_functions(config, path)


@pytest.mark.parametrize(
    "code",
    [
        "from elsewhere import build",
        "import elsewhere as build",
        "build = lambda: 3",
        "a, (build, b) = 1, (2, 3)",
        "try:\n    from elsewhere import build\nexcept ImportError:\n    build = None",
        "if True:\n    async def build(): ...",
        "from elsewhere import *",
        "def __getattr__(name): ...",
        "class build: ...",
    ],
)
def test_a_name_that_the_module_has_is_found_without_running_it(place: Path, code: str) -> None:
    write_code(place / "mine.py", f"{code}\nraise SystemExit('it was run')\n")
    assert user_code.find("mine:build", [place]).source == place / "mine.py"


def test_a_name_inside_of_a_function_is_none_of_the_module(place: Path) -> None:
    write_code(place / "mine.py", "def other():\n    build = 3\n")
    with pytest.raises(UsageError, match='has no "build"'):
        user_code.find("mine:build", [place])


def test_a_module_that_is_no_python(place: Path) -> None:
    write_code(place / "mine.py", "def build(:\n")
    with pytest.raises(UsageError, match=r"mine.py: line 1: "):
        user_code.find("mine:build", [place])


def test_beside_the_config_comes_before_the_working_directory(place: Path, tmp_path: Path) -> None:
    write_code(tmp_path / "mine.py", CODE)
    write_code(tmp_path / "here.py", CODE)
    config = config_file.read(place / "sample.toml")
    assert user_code.find("mine:build", config.directories).directory == place
    assert user_code.find("here:build", config.directories).directory == tmp_path
    assert user_code.find("keras.applications:MobileNetV2", config.directories).directory is None


@pytest.mark.parametrize(("mode", "letters"), [(0o646, "o"), (0o622, "go"), (0o602, "o")])
def test_code_that_others_can_write_is_not_run(
    place: Path, mode: int, letters: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownership, "_is_private_group", lambda _: False)
    (place / "mine.py").chmod(mode)
    with pytest.raises(UsageError, match=f"others can write this file.*chmod {letters}-w"):
        user_code.load("mine:build", [place])


def test_code_of_another_user_is_not_run(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.getuid() == 0:
        os.chown(place / "mine.py", 12345, -1)
    else:
        mine = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    with pytest.raises(UsageError, match="the file is another user's"):
        user_code.find("mine:build", [place])


def test_loading_takes_what_lies_beside_the_module_and_no_stale_bytecode(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    write_code(place / "beside_it.py", "VALUE = 3\n")
    write_code(place / "mine_too.py", "from beside_it import VALUE\ndef build(): return VALUE\n")
    build = user_code.load("mine_too:build", [place])
    assert callable(build)
    assert build() == 3
    assert user_code.load("mine_too:build", [place]) is build
    assert not list(place.glob("__pycache__/mine_too*"))
    del sys.modules["mine_too"], sys.modules["beside_it"]


def test_a_module_that_has_the_name_of_another_does_not_take_its_place(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    monkeypatch.setattr(sys, "path", list(sys.path))
    write_code(place / "json.py", "def build(): return 4\n")
    build = user_code.load("json:build", [place])
    assert callable(build)
    assert build() == 4
    assert sys.modules["json"] is json
