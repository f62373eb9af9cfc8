"""`hzc play`: a server for browsers of this machine, or WAV files where there is none."""

from __future__ import annotations

import shutil
import threading
from http.client import HTTPConnection
from pathlib import Path

import pytest
from harness import Cli

from hzc import play
from hzc.model.file import open_model

VECTOR = Path(__file__).parents[2] / "formats" / "vectors" / "valid" / "hop.hzc"


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "index.html").write_text("<title>hzc</title>")
    monkeypatch.setattr(play, "PAGE", folder)
    return folder


def test_play_without_a_page_or_a_browser_then_a_wav(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = shutil.copy(VECTOR, tmp_path / "talk.hzc")
    monkeypatch.setattr(play, "PAGE", tmp_path / "nowhere")
    assert "no page" in cli("play", file).stderr
    assert (tmp_path / "talk.wav").stat().st_size == 44 + 2 * 2000
    cli.refuse(6, "exists already", "play", file)


def test_play_refuses_a_damaged_file_before_it_serves(cli: Cli, page: Path) -> None:
    damaged = VECTOR.parents[1] / "faulty" / "record-crc.hzc"
    cli.refuse(4, "checksum of chunk 0", "play", damaged, "--no-open")


def test_server_gives_page_model_and_named_files_to_this_machine_only(page: Path) -> None:
    data = VECTOR.read_bytes()
    with play.PageServer(open_model(), [("some folder/a b?.hzc", data)]) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def get(path: str, host: str = server.origin) -> tuple[int, bytes]:
            connection = HTTPConnection(server.origin)
            connection.request("GET", path, headers={"Host": host})
            answer = connection.getresponse()
            return answer.status, answer.read()

        assert server.url.endswith("/?url=files/0/a%2520b%253F.hzc")
        assert get("/?url=x") == (200, b"<title>hzc</title>")
        assert get("/files/0/a%20b%3F.hzc") == (200, data)
        assert get("/model/synthesis.onnx.gzip")[0] == 200
        assert get("/../page/index.html")[0] == 404
        assert get("/", host="elsewhere.example")[0] == 404
        server.shutdown()
