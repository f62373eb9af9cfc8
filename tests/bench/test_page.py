"""The listening page: everything is inside."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import soundfile

pytest.importorskip("matplotlib")

from hzc_bench.page import Page
from hzc_bench.pipeline import Coded

SCRIPT = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.S)


@pytest.fixture
def page(compared, rows, recordings, some_metrics) -> str:
    """A page of two of three recordings."""
    made = Page(recordings, 2)
    for codec in compared:
        mine = {row.file: row for row in rows if row.system == codec.name}
        made.add(codec, [Coded(mine[x.name], x.samples) for x in recordings])
    return made.text(rows, some_metrics)


def data_of(page: str) -> dict:
    return json.loads(SCRIPT.search(page)[1])


def test_page_fetches_nothing(page):
    frame = SCRIPT.sub("", page)
    assert not re.search(
        r"https?:|//[a-z]+\.|@import|url\(|<(link|iframe|object)|(src|href)=", frame
    )


def test_page_holds_every_version_of_the_chosen_clips(page):
    data = data_of(page)
    assert [clip["name"] for clip in data["clips"]] == ["clip-0.wav", "clip-2.wav"]
    names = ["original", "hzc", "opus-6", "codec2-1300"]
    assert [codec["codec"] for codec in data["codecs"]] == names
    for clip in data["clips"]:
        assert [version["codec"] for version in clip["versions"]] == names
        assert clip["versions"][0]["figures"] == {}
        assert set(clip["versions"][1]["figures"]) == {"pesq_wb", "stoi", "logmel"}


def test_sound_of_the_page_is_what_was_measured(page, recordings):
    version = data_of(page)["clips"][1]["versions"][0]
    kind, _, coded = version["sound"].partition(",")
    assert kind == "data:audio/wav;base64"
    samples, sample_rate_hz = soundfile.read(io.BytesIO(base64.b64decode(coded)))
    assert sample_rate_hz == 16_000
    assert np.abs(samples - recordings[2].samples).max() < 1e-4
    assert version["picture"].startswith("data:image/png;base64,")


def test_name_of_a_recording_cannot_end_the_script(compared, rows, recordings, some_metrics):
    name = "</script><script>alert(1)</script>.wav"
    recording = replace(recordings[0], name=name)
    made = Page([recording], 1)
    row = replace(rows[0], file=name)
    made.add(compared[0], [Coded(row, recording.samples)])
    page = made.text(rows, some_metrics)
    assert "<script>alert" not in page
    assert data_of(page)["clips"][0]["name"] == name
