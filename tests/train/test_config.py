"""Training configurations: what is read, and what is refused before any work starts."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import get_type_hints

import pytest

from hzc.errors import TrainingError
from hzc.train import config as module
from hzc.train.config import (
    PRIOR_OPTIMISER,
    DataConfig,
    OptimiserConfig,
    PriorConfig,
    TrainConfig,
    load_config,
)

ROOT = Path(__file__).resolve().parents[2]
MINIMAL = 'model = "tiny"\nn_steps = 8\n[data]\nfolders = ["a", "b"]\n'


def load_text(folder: Path, text: str) -> TrainConfig:
    path = folder / "c.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


def test_load_config_of_the_least_takes_defaults_for_the_rest(tmp_path):
    found = load_text(tmp_path, MINIMAL)
    assert found == TrainConfig(model="tiny", n_steps=8, data=DataConfig(folders=("a", "b")))


def test_load_config_reads_every_section(tmp_path):
    text = MINIMAL + (
        'cache = "c.npy"\n[data.weights]\n"a*" = 2\n[optimiser]\nlr = 1\nbetas = [0.8, 0.9]\n'
        "[rate]\nlmbda_range = [1e-3, 1e-2]\n[distortion]\nwindows = [64]\n"
        "[prior]\nstep_index_range = [-8, 8]\n"
    )
    found = load_text(tmp_path, text)
    assert found.data.cache == "c.npy"
    assert found.data.weights == {"a*": 2.0}
    assert isinstance(found.optimiser.lr, float)
    assert found.optimiser.lr == 1.0
    assert found.optimiser.betas == (0.8, 0.9)
    assert found.rate.lmbda_range == (1e-3, 1e-2)
    assert found.distortion.windows == (64,)
    assert found.prior.step_index_range == (-8, 8)


def test_load_config_of_a_section_in_a_section_keeps_the_rest_of_it(tmp_path):
    found = load_text(tmp_path, MINIMAL + "[prior.optimiser]\nlr = 0.5\n")
    assert found.prior == PriorConfig(optimiser=replace(PRIOR_OPTIMISER, lr=0.5))
    assert found.optimiser == OptimiserConfig()


@pytest.mark.parametrize(
    "path", sorted((ROOT / "training").glob("*.toml")), ids=lambda path: path.stem
)
def test_load_config_reads_every_configuration_of_the_repository(path):
    assert load_config(path).n_steps > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("speed = 3\n" + MINIMAL, r"unknown setting \['speed'\]"),
        (MINIMAL + "crop = 2\n", r"unknown setting \['crop'\] in \[data\]"),
        (MINIMAL + "[optimiser]\nmomentum = 1\n", r"unknown setting \['momentum'\]"),
        (MINIMAL + "[rate]\nlambda = 1\n", r"unknown setting \['lambda'\] in \[rate\]"),
        (MINIMAL + "[distortion]\nwindow = 1\n", "unknown setting"),
        (MINIMAL + "[prior]\nsteps = 1\n", "unknown setting"),
        (
            MINIMAL + "[prior.optimiser]\nspeed = 1\n",
            r"unknown setting \['speed'\] in \[prior.optimiser\]",
        ),
        (MINIMAL + "[prior.optimizer]\nlr = 1\n", r"unknown setting \['optimizer'\] in \[prior\]"),
        (MINIMAL + "[gan]\nsteps = 1\n", r"unknown setting \['gan'\]"),
        ('model = "tiny"\nn_steps = 8\n[data]\ncrop_s = 1.0\n', r"\[data\] lacks \['folders'\]"),
        ('model = "tiny"\nn_steps = 8\n', r"the configuration lacks \['data'\]"),
        ('model = "tiny"\n[data]\nfolders = ["a"]\n', r"the configuration lacks \['n_steps'\]"),
        ('model = "tiny"\nn_steps = 8\ndata = 3\n', r"\[data\] is not a section"),
        (MINIMAL + "[[rate]]\nlmbda = 1\n", r"\[rate\] is not a section"),
        (MINIMAL + "[prior]\noptimiser = 3\n", r"\[prior.optimiser\] is not a section"),
        ("model = \n", "cannot read the configuration"),
        ("model = 'a\xa0", "cannot read the configuration"),
        (MINIMAL.replace("tiny", "huge"), "unknown model 'huge'"),
        (MINIMAL + "[optimiser]\nname = 'sgd'\n", "unknown optimiser 'sgd'"),
        (MINIMAL + "[prior.optimiser]\nname = 'sgd'\n", "unknown optimiser 'sgd'"),
        (MINIMAL + "[prior]\nn_groups = 5\n", "n_groups is 5 .*the latent's 32 dimensions"),
        (MINIMAL + "[prior]\nn_groups = 0\n", "n_groups is 0 "),
        (MINIMAL + "[prior]\nn_groups = -4\n", "n_groups is -4 "),
    ],
)
def test_load_config_of_a_wrong_file_raises(tmp_path, text, message):
    with pytest.raises(TrainingError, match=message) as caught:
        load_text(tmp_path, text)
    assert caught.value.path == tmp_path / "c.toml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL.replace("8", '"many"'), r"n_steps is 'many' \(expected a whole number\)"),
        (MINIMAL.replace("8", "8.0"), r"n_steps is 8.0 \(expected a whole number\)"),
        (MINIMAL.replace("8", "true"), r"n_steps is True \(expected a whole number\)"),
        (MINIMAL.replace('"tiny"', "3"), r"model is 3 \(expected text\)"),
        ("bf16 = 1\n" + MINIMAL, r"bf16 is 1 \(expected true or false\)"),
        ("init_from = false\n" + MINIMAL, r"init_from is False \(expected text\)"),
        (MINIMAL.replace('["a", "b"]', '"x"'), r"data.folders is 'x' \(expected a list of texts\)"),
        (MINIMAL.replace('"b"', "2"), r"data.folders is \['a', 2\] \(expected a list of texts\)"),
        (MINIMAL + "weights = [1]\n", r"data.weights is \[1\] \(expected a table of numbers\)"),
        (MINIMAL + '[data.weights]\na = "b"\n', r"data.weights is .*\(expected a table of numbers"),
        (MINIMAL + "[optimiser]\nlr = true\n", r"optimiser.lr is True \(expected a number\)"),
        (MINIMAL + "[optimiser]\nlr = 2020-01-01\n", r"optimiser.lr is .* \(expected a number\)"),
        (MINIMAL + "[optimiser]\nbetas = [1]\n", r"betas is \[1\] \(expected a list of two number"),
        (MINIMAL + "[optimiser]\nbetas = 0.9\n", r"betas is 0.9 \(expected a list of two numbers"),
        (MINIMAL + "[distortion]\nwindows = [1.5]\n", r"\(expected a list of whole numbers\)"),
        (MINIMAL + "[prior]\nstep_index_range = [0]\n", r"\(expected a list of two whole numbers"),
        (MINIMAL + "[prior.optimiser]\nlr = 'x'\n", r"prior.optimiser.lr is 'x' \(expected a numb"),
    ],
)
def test_load_config_of_a_value_of_another_type_names_file_key_and_type(tmp_path, text, message):
    with pytest.raises(TrainingError, match=message) as caught:
        load_text(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "c.toml"))


def test_every_setting_has_a_type_that_errors_can_name():
    def check(cls: type) -> None:
        for name, kind in get_type_hints(cls).items():
            if is_dataclass(kind):
                check(kind)
            else:
                assert module._EXPECTED[kind], name

    check(TrainConfig)
    assert len(fields(TrainConfig)) > 5


def test_load_config_of_a_missing_file_raises(tmp_path):
    with pytest.raises(TrainingError, match="cannot read the configuration") as caught:
        load_config(tmp_path / "c.toml")
    assert caught.value.exit_code == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[data]\nbatch_size = 0", r"data.batch_size is 0 \(expected 1 … 65536\)"),
        ("[data]\nlevel_db = [-10, -20]", "data.level_db .*lower number first"),
        ("[data]\ncrop_s = 0.13", "data.crop_s is 0.13 .*multiple of 0.125"),
        ('[data.weights]\n"a*" = -1', "data.weights is .*expected 0"),
        ("[optimiser]\nlr = nan", "optimiser.lr is nan"),
        ("[optimiser]\nbetas = [0.9, 1.0]", "optimiser.betas"),
        ("[distortion]\nwindows = []", "distortion.windows is empty"),
        ("[distortion]\nwindows = [256, 65536]", r"distortion.windows has \[65536\]"),
        ("[adversary]\nsegment_s = 0.1\nwindows = [2048]", "adversary.windows .*1600 samples"),
        ("[prior]\nhidden = 0", "prior.hidden is 0"),
        ("[prior.optimiser]\nlr = -1", "prior.optimiser.lr is -1"),
        ("[rate]\nlmbda_range = [0, 1]", "rate.lmbda_range"),
    ],
)
def test_load_config_of_an_impossible_number_names_it(tmp_path, text, message):
    section, _, rest = text.partition("\n")
    inside = f"{MINIMAL}{rest}\n" if section == "[data]" else f"{MINIMAL}{text}\n"
    with pytest.raises(TrainingError, match=message):
        load_text(tmp_path, inside)


def test_every_number_has_a_range_that_its_default_keeps():
    numbers = {int, float, dict[str, float], tuple[int, ...], tuple[int, int], tuple[float, float]}
    found = [c for c in vars(module).values() if isinstance(c, type) and is_dataclass(c)]
    sections = [c for c in found if c.__name__ != "ModelConfig"]
    wanted = {
        f"{section.__name__}.{name}"
        for section in sections
        for name, kind in get_type_hints(section).items()
        if kind in numbers
    }
    assert wanted == set(module._RANGES)
    assert set(module._PAIRS) < wanted
    for section in sections:
        for setting, value in module._defaults(section).items():
            module._check_range(f"{section.__name__}.{setting}", value, setting)
