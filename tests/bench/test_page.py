"""The listening page: everything inside, and it plays in a browser when somebody clicks."""

from __future__ import annotations

import base64
import io
import json
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
import webdriver

pytest.importorskip("matplotlib")

from hzc_bench.page import Page
from hzc_bench.run import Coded

SCRIPT = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.S)


@pytest.fixture
def page(codecs, rows, recordings, some_metrics) -> str:
    """A page of two of three recordings; every codec but one adds noise."""
    made = Page(recordings, 2)
    rng = np.random.default_rng(0)
    for number, codec in enumerate(codecs):
        coded = []
        for row in (row for row in rows if row.codec == codec.name):
            for recording in recordings:
                if recording.name == row.file:
                    noise = (
                        0.01
                        * number
                        * (codec.name != "original")
                        * rng.standard_normal(len(recording.samples))
                    )
                    samples = (recording.samples + noise).astype(np.float32)
                    coded.append(Coded(replace(row, duration_s=10.0), samples))
        made.add(codec, coded)
    return made.text(rows, some_metrics)


def data_of(page: str) -> dict:
    return json.loads(SCRIPT.search(page)[1])


class Tags(HTMLParser):
    """Collects tags, and checks that they are closed in order."""

    VOID = frozenset({"meta", "img", "input", "br", "hr", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_whole_and_fetches_nothing(page):
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    for tag, attributes in tags.seen:
        assert tag not in ("link", "iframe", "object")
        assert "src" not in attributes
        assert "href" not in attributes
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", SCRIPT.sub("", page))


def test_page_holds_every_version_of_the_chosen_clips(page, recordings, codecs):
    data = data_of(page)
    assert [clip["name"] for clip in data["clips"]] == ["clip-0.wav", "clip-2.wav"]
    names = ["original", "hzc", "opus-6", "codec2-1300"]
    assert [codec["codec"] for codec in data["codecs"]] == names
    for clip in data["clips"]:
        assert [version["codec"] for version in clip["versions"]] == names
        assert clip["versions"][0]["figures"] == {}
        assert set(clip["versions"][1]["figures"]) == {"pesq_wb", "stoi", "logmel"}


def test_sound_of_the_page_is_what_was_measured(page, recordings):
    clip = data_of(page)["clips"][1]
    for version in clip["versions"]:
        kind, _, coded = version["sound"].partition(",")
        assert kind == "data:audio/wav;base64"
        samples, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(coded)))
        assert rate_hz == 16_000
        assert len(samples) == len(recordings[2].samples)
        assert version["picture"].startswith("data:image/png;base64,")
    samples, _ = soundfile.read(
        io.BytesIO(base64.b64decode(clip["versions"][0]["sound"].partition(",")[2]))
    )
    assert np.abs(samples - recordings[2].samples).max() < 1e-4


def test_name_of_a_recording_cannot_end_the_script(codecs, rows, recordings, some_metrics):
    name = "</script><script>alert(1)</script>.wav"
    recording = replace(recordings[0], name=name)
    made = Page([recording], 1)
    row = replace(rows[0], file=name)
    made.add(codecs[0], [Coded(row, recording.samples)])
    page = made.text(rows, some_metrics)
    assert "<script>alert" not in page
    assert data_of(page)["clips"][0]["name"] == name


# --- in a browser ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium."""
    if reason := webdriver.missing():
        pytest.skip(reason)
    with webdriver.browser() as session:
        yield session


@pytest.fixture
def opened(browser, page, tmp_path):
    """The page, opened from its file."""
    path = tmp_path / "listen.html"
    path.write_text(page, encoding="utf-8")
    browser.open(path.as_uri())
    return browser


POSITION = "return document.getElementById('player').currentTime"
IS_PAUSED = "return document.getElementById('player').paused"


def test_click_on_a_player_plays_its_sound(opened):
    assert opened.run(POSITION) == 0
    opened.click(".play[data-codec=hzc]")
    opened.wait_for(f"{POSITION} > 0.2")
    first = opened.run(POSITION)
    opened.wait_for(f"{POSITION} > {first}")
    assert opened.run("return document.querySelectorAll('.cell.playing').length") == 1
    opened.click(".play[data-codec=hzc]")
    assert opened.run(IS_PAUSED)
    assert opened.errors() == []


def test_other_version_goes_on_where_the_first_one_is(opened):
    opened.click(".play[data-codec=original]")
    opened.wait_for(f"{POSITION} > 0.3")
    opened.click(".play[data-codec=opus-6]")
    opened.wait_for(f"{POSITION} > 0.3", 5.0)
    playing = "return document.querySelector('.cell.playing .play').dataset.codec"
    assert opened.run(playing) == "opus-6"


def test_click_on_a_spectrogram_goes_there_and_the_sound_ends_by_itself(opened):
    opened.click(".cell:has([data-codec=codec2-1300]) .picture")
    opened.wait_for(f"{POSITION} > 5")
    assert opened.run(POSITION) < 9
    opened.run("document.getElementById('player').currentTime = 9.5")
    opened.wait_for("return document.getElementById('player').ended")
    assert opened.run(POSITION) == pytest.approx(10.0, abs=0.05)


def test_blind_comparison_hides_and_then_tells_what_was_heard(opened):
    assert opened.run("return document.querySelector('[data-play=a]').disabled")
    opened.click("#draw")
    answer = "return document.getElementById('answer').textContent"
    assert not re.search("hzc|Opus|clip-", opened.run(answer))
    hidden = "return ['left', 'right'].map(id => document.getElementById(id).value)"
    assert opened.run(hidden) == ["hzc", "opus-6"]
    for name in ("original", "a", "b"):
        opened.click(f"[data-play={name}]")
        opened.wait_for(f"return !{IS_PAUSED.removeprefix('return ')}")
        # Nothing beside the buttons may give away which version plays.
        assert opened.run("return document.querySelectorAll('.cell.playing').length") == 0
    opened.click("[data-vote=a]")
    assert re.match(r"A was .*, B was .* \(clip-\d.wav\)", opened.run(answer))
    cells = "return [...document.querySelectorAll('#tally td')].map(c => c.textContent)"
    _pair, *counts = opened.run(cells)
    assert sorted(map(int, counts)) == [0, 0, 1]
    opened.click("#draw")
    opened.click("[data-vote=none]")
    assert int(opened.run(cells)[2]) == 1


def test_blind_comparison_with_the_original_does_not_give_it_away_by_pausing(opened):
    opened.run("for (const id of ['left', 'right']) document.getElementById(id).value = 'original'")
    opened.click("#draw")
    opened.click("[data-play=original]")
    opened.click("[data-play=a]")
    opened.click("[data-play=b]")
    assert not opened.run(IS_PAUSED)
    opened.click("[data-play=b]")
    assert opened.run(IS_PAUSED)


def test_page_looks_as_it_should_to_who_asks(opened):
    """Write a screenshot where HZC_SCREENSHOTS says; the test is that there is one."""
    picture = opened.screenshot()
    assert picture.startswith(b"\x89PNG")
    if folder := os.environ.get("HZC_SCREENSHOTS"):
        (Path(folder) / "listen.png").write_bytes(picture)
