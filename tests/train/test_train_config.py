"""Training configurations: what is read, and what is refused before any work starts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hzc.errors import TrainingError
from hzc.model.transforms import Analysis, Synthesis
from hzc.train.config import load_config

TRAINING = Path(__file__).resolve().parents[2] / "training"
SMALL = f'extends = "{(TRAINING / "smoke.toml").as_posix()}"\n'


@pytest.fixture
def load(tmp_path):
    """Return the configuration in a text, which extends that of the smoke run."""

    def read(text: str):
        (tmp_path / "c.toml").write_text(SMALL + text, encoding="utf-8")
        return load_config(tmp_path / "c.toml")

    return read


@pytest.mark.parametrize("path", sorted(TRAINING.glob("*.toml")), ids=lambda path: path.stem)
def test_every_configuration_of_the_repository_is_read(path):
    assert load_config(path).n_steps > 0


def test_hertz_has_the_documented_number_of_parameters():
    sizes = load_config(TRAINING / "hertz.toml").model
    with torch.device("meta"):
        n_found = [sum(p.numel() for p in t(sizes).parameters()) for t in (Analysis, Synthesis)]
    assert n_found == pytest.approx([5e6, 95e6], rel=0.1)


def test_files_that_are_missing_damaged_or_extend_themselves_are_refused(tmp_path):
    for text, message in (
        ("extends = 'none.toml'", r"none\.toml: cannot read"),
        ("model = ", r"d\.toml: cannot read"),
        ("n_steps = 3", r"d\.toml: model: field required"),
        ("extends = 'd.toml'", r"d\.toml: the configuration extends itself"),
    ):
        (tmp_path / "d.toml").write_text(text, encoding="utf-8")
        with pytest.raises(TrainingError, match=message) as caught:
            load_config(tmp_path / "d.toml")
        assert caught.value.exit_code == 7


def test_extends_keeps_what_is_not_set_and_files_are_found_from_the_file(tmp_path, load):
    smoke, found = load(""), load("n_steps = 3\n[optimiser]\nlr = 1\nbetas = [0.8, 0.9]\n")
    assert found.n_steps == 3
    assert (found.optimiser.lr, found.optimiser.betas) == (1.0, (0.8, 0.9))
    assert found.optimiser.warmup_steps == smoke.optimiser.warmup_steps
    assert found.model == smoke.model
    (tmp_path / "deep").mkdir()
    path = tmp_path / "deep" / "d.toml"
    path.write_text('extends = "../c.toml"\nseed = 5\n[data.weights]\n"a*" = 2\n', "utf-8")
    found = load_config(path)
    assert (found.n_steps, found.seed, found.data.weights) == (3, 5, {"a*": 2.0})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # Unknown names.
        ("speed = 3", "speed: .*not permitted"),
        ("[prior_fit.optimiser]\nspeed = 1", "prior_fit.optimiser.speed: .*not permitted"),
        ("[model]\ndepth = 1", "unknown fields .*depth"),
        ("frozen = ['head']", "frozen.0: .*found 'head'"),
        # Wrong types.
        ("n_steps = 8.0", "n_steps: .*integer .*found 8.0"),
        ("n_steps = true", "n_steps: .*integer .*found True"),
        ("start_from = false", "start_from: .*string .*found False"),
        ("[optimiser]\nbetas = [1]", "optimiser.betas"),
        ("[model]\nstrides = 2", "strides is 2"),
        # Impossible values.
        ("n_steps = 0", "n_steps: .*found 0"),
        ("[data]\nlevel_db = [-10, -20]", "data.level_db: expected the lower number first"),
        ("[rate]\nstep_index_range = [0, 65]", "rate.step_index_range.1: .*found 65"),
        ("[optimiser]\nlr = nan", "optimiser.lr: .*found nan"),
        ("[distortion]\nwindows = []", "distortion.windows"),
        ("[model]\nstft_hop = 125", "expected 8 frames a second"),
        # Impossible together.
        ("[data]\ncrop_s = 0.13", "data.crop_s is 0.13 .*multiple of 0.125"),
        ("[prior]\nn_groups = 5", "prior.n_groups is 5 .*32 dimensions"),
        ("[prior_fit]\nn_groups = 5", "prior_fit.n_groups is 5"),
        ("[distortion]\nwindows = [256, 65536]", r"distortion.windows has \[65536\]"),
        ("[adversary]\nsegment_s = 0.1\nwindows = [2048]", "adversary.windows .*1600 samples"),
        ("[adversary]\nperiods = [99999]", r"adversary.periods has \[99999\]"),
        ("[adversary]\nwindows = []", "neither windows nor periods"),
        ("frozen = ['analysis', 'synthesis', 'prior', 'log_sigma']", "nothing to train"),
    ],
)
def test_wrong_settings_are_refused_by_file_and_name_in_one_line(tmp_path, load, text, message):
    with pytest.raises(TrainingError, match=message) as caught:
        load(text)
    assert str(caught.value).startswith(f"{tmp_path / 'c.toml'}: ")
    assert "\n" not in str(caught.value)
