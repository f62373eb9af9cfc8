"""Models on the command line: unknown, wrong, damaged, and the ones that ship."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from harness import Cli, Wav, snapshot

from hzc import container
from hzc.coding.prior import Prior
from hzc.model import registry

WriteModel = Callable[..., Path]


def with_model_id(coded: bytes, model_id: int) -> bytes:
    parsed = container.unpack(coded)
    return container.pack(replace(parsed.header, model_id=model_id), parsed.chunks)


def test_model_when_the_name_is_unknown_then_exit_5_and_the_known_ones(
    cli: Cli, wav: Wav, hzc: Path
) -> None:
    wav("a.wav")
    known = f"hint: known models: {registry.models()[0].name}"
    for arguments in (
        ["encode", "a.wav"],
        ["decode", hzc],
        ["bitrate", "a.wav"],
        ["bitrate", "--ladder", hzc],
    ):
        says = "unknown model 'nonsense'"
        result = cli.refuse(5, says, *arguments, "-m", "nonsense", model=False)
        assert known in result.stderr


def test_model_when_the_file_names_an_unknown_one_then_says_update(cli: Cli, coded: bytes) -> None:
    (cli.folder / "new.hzc").write_bytes(with_model_id(coded, 201))
    for arguments in (["decode"], ["bitrate", "--ladder"]):
        says = "new.hzc: the file needs model 201, which this hzc lacks"
        result = cli.refuse(5, says, *arguments, "new.hzc", model=False)
        assert "hint: update hzc" in result.stderr


def test_model_when_the_file_names_a_private_one_then_asks_for_its_weights(
    cli: Cli, hzc: Path
) -> None:
    for arguments in (["decode"], ["bitrate", "--ladder"]):
        says = "talk.hzc: the file needs model 240"
        result = cli.refuse(5, says, *arguments, hzc, model=False)
        assert "give its weights with --model FILE" in result.stderr
        default = registry.default_name()
        says = f"talk.hzc: the file needs model 240, not {default}"
        cli.refuse(5, says, *arguments, hzc, "-m", default, model=False)
    assert b"model_id         240" in cli("info", hzc).stdout
    assert b"kbps" in cli("bitrate", hzc, model=False).stdout


def test_model_when_the_weights_are_not_finite_then_exit_5(
    cli: Cli,
    wav: Wav,
    hzc: Path,
    tiny_prior: Callable[..., Prior],
    write_tiny_model: WriteModel,
) -> None:
    broken = cli.folder / "broken.safetensors"
    prior = tiny_prior(240, n_groups=4, group_size=8)
    not_finite = np.full(32, np.nan, dtype=np.float16)
    write_tiny_model(broken, prior, **{"analysis.head.bias": not_finite})
    cli.refuse(5, "not finite", "encode", wav("a.wav"), "-m", broken, model=False)
    (cli.folder / "old.wav").write_bytes(b"old")
    write_tiny_model(broken, prior, base_step=np.full(32, np.inf, dtype=np.float32))
    with np.errstate(all="ignore"):
        cli.refuse(5, "not finite", "decode", hzc, "-f", "old.wav", "-m", broken, model=False)


@pytest.mark.parametrize("missing", ["torch", "onnxruntime"])
def test_one_back_end_is_enough(
    cli: Cli, wav: Wav, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    if missing == "onnxruntime":
        pytest.importorskip("torch")
    monkeypatch.delenv("HZC_BACKEND")
    monkeypatch.setitem(sys.modules, missing, None)
    cli("encode", wav("a.wav"), "a.hzc")
    assert cli("decode", "a.hzc", "b.wav").stderr.count("\n") <= 1


def test_without_a_back_end_then_exit_5_and_what_to_install(
    cli: Cli, wav: Wav, hzc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HZC_BACKEND")
    monkeypatch.setitem(sys.modules, "torch", None)
    cli.refuse(5, "torch is not installed", "decode", hzc, "--backend", "torch")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    result = cli.refuse(5, "neither onnxruntime nor torch", "encode", wav("a.wav"))
    assert "pip install onnxruntime" in result.stderr
    cli.refuse(5, "onnxruntime is not installed", "decode", hzc, "--backend", "onnx")


DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut-in-the-arrays": lambda data: data[: len(data) // 2],
    "longer": lambda data: data + b"\0",
    "other-metadata": lambda data: data.replace(b'\\"model_id\\"', b'\\"model_xx\\"', 1),
    "no-base-step": lambda data: data.replace(b'"base_step"', b'"base_xxxx"', 1),
    "no-prior": lambda data: data.replace(b'"prior.w1"', b'"prior.xx"', 1),
    "no-network": lambda data: data.replace(b'"analysis.head.bias"', b'"analysis.head.xxxx"', 1),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_model_when_the_weight_file_is_damaged_then_exit_5(cli: Cli, wav: Wav, name: str) -> None:
    damaged = DAMAGED[name](cli.model.read_bytes())
    assert damaged != cli.model.read_bytes()
    (cli.folder / "bad.safetensors").write_bytes(damaged)
    cli.put_graphs(cli.folder / "bad.safetensors")
    cli.refuse(5, "bad.safetensors: ", "encode", wav("a.wav"), "-m", "bad.safetensors", model=False)


@pytest.fixture
def own_registry(
    cli: Cli, coded: bytes, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[dict[str, Any]], Path]]:
    """Make the package ship the tiny model alone, as model 7; return its weight file."""
    folder = cli.folder.parent / f"{cli.folder.name}-weights"

    def write(changes: dict[str, Any]) -> Path:
        from hashlib import sha256

        folder.mkdir(exist_ok=True)
        weights = folder / "tiny.safetensors"
        weights.write_bytes(cli.model.read_bytes())
        cli.put_graphs(weights)
        entry = {
            "model_id": 240, "name": "tiny", "file": "tiny.safetensors",
            "sha256": sha256(weights.read_bytes()).hexdigest(), "fingerprint": 0, "n_latent": 32,
            "n_parameters": {"analysis": 1_000_000}, "measured_kbps": 1.25,
            "measured_on": "noise", "date": "2025-01-01", **changes,
        }  # fmt: skip
        text = json.dumps({"default": "tiny", "models": [entry]})
        (folder / "registry.json").write_text(text)
        monkeypatch.setattr(registry, "WEIGHTS", folder)
        registry._registry.cache_clear()
        return weights

    yield write
    registry._registry.cache_clear()


def test_model_when_registered_then_found_by_id_and_listed(
    cli: Cli, wav: Wav, own_registry: Callable[..., Path]
) -> None:
    own_registry({})
    cli("encode", wav("a.wav"), model=False)
    cli("decode", "a.hzc", "b.wav", model=False)
    assert b"model            tiny" in cli("info", "a.hzc").stdout
    assert (
        cli("models").text == "* tiny  id 240  1.250 kbps on noise  (analysis 1.0 M)  2025-01-01\n"
    )
    assert "default model tiny" in cli("--version").text


def test_model_when_the_registered_weights_are_others_then_exit_5(
    cli: Cli, wav: Wav, hzc: Path, own_registry: Callable[..., Path]
) -> None:
    weights = own_registry({})
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    for arguments in (["encode", wav("a.wav")], ["decode", hzc], ["bitrate", "--ladder", hzc]):
        says = "weights of model tiny are not the registered ones (sha256 "
        result = cli.refuse(5, says, *arguments, model=False)
        assert "hint: reinstall hzc" in result.stderr
    weights.unlink()
    cli.refuse(5, "cannot read the weights (No such file", "decode", hzc, model=False)


def test_model_when_hzc_model_is_set_then_used_unless_the_option_is_given(
    cli: Cli, wav: Wav, hzc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HZC_MODEL", str(cli.model))
    cli("decode", hzc, model=False)
    cli("encode", wav("a.wav"), model=False)
    assert container.unpack(Path("a.hzc").read_bytes()).header.model_id == 240
    monkeypatch.setenv("HZC_MODEL", "nonsense")
    cli.refuse(5, "unknown model 'nonsense'", "encode", "-f", "a.wav", model=False)
    cli("encode", "-f", "a.wav")
    monkeypatch.setenv("HZC_MODEL", "")
    cli.refuse(5, "needs model 240", "decode", "-f", hzc, model=False)


def test_default_model_when_used_throughout_then_the_sound_comes_back(
    cli: Cli, wav: Wav, sound: Callable[..., np.ndarray]
) -> None:
    original = sound(32_000)
    wav("a.wav", original)
    (line,) = cli("encode", "a.wav", "--verify", "--json", model=False).objects
    size = os.path.getsize("a.hzc")
    assert line["n_bytes"] == size
    assert line["bitrate_kbps"] == pytest.approx(8 * size / 2.0 / 1000)
    cli("decode", "a.hzc", "b.wav", model=False)
    heard, rate = soundfile.read("b.wav", dtype="float32")
    assert (len(heard), rate) == (32_000, 16_000)
    before = snapshot(cli.folder)
    (line,) = cli("bitrate", "a.wav", "--ladder", "--json", model=False).objects
    ladder = line["ladder_bits_per_s"]
    assert ladder["kl"] <= ladder["ideal"] <= ladder["payload"] + 8 <= ladder["file"] + 8
    assert ladder["file"] == pytest.approx(8 * size / 2.0)
    assert snapshot(cli.folder) == before
    # Loud where the original is loud: more than noise at the right level.
    loudness = [np.abs(x.reshape(-1, 800)).mean(axis=1) for x in (original, heard)]
    assert np.corrcoef(*loudness)[0, 1] > 0.5
