"""A container of another package: one file, one row, one test. The file and the row are those of docs/formats.md."""

import re
from pathlib import Path

import numpy as np
import pytest

from dvs_run.pipeline import formats
from dvs_run.pipeline.errors import RecordingError
from dvs_run.pipeline.formats import open_recording, open_writer

from .files import SMALL, events_for_all, read_all

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text("utf-8")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The container of the page, in an installed package of somebody else."""
    folder = tmp_path / "site"
    (folder / "my_package").mkdir(parents=True)
    (folder / "my_package" / "__init__.py").touch()
    source = next(code for code in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "class Tiny" in code)
    (folder / "my_package" / "tiny.py").write_text(source, encoding="utf-8")
    info = folder / "my_package-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1\n")
    entry = re.search(r'\[project\.entry-points\."(dvs_run\.formats)"\]\n(.*?)```', PAGE, re.S)
    (info / "entry_points.txt").write_text(f"[{entry[1]}]\n{entry[2].replace(chr(34), '')}")
    monkeypatch.syspath_prepend(str(folder))
    for name in ("my_package", "my_package.tiny"):
        monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    formats._added.cache_clear()
    yield
    monkeypatch.undo()
    formats._added.cache_clear()


@pytest.mark.usefixtures("package")
def test_a_container_of_another_package_is_written_known_and_read_like_ours(tmp_path):
    path, events = tmp_path / "made.tiny", events_for_all(300)
    with open_writer(path, SMALL) as writer:
        for piece in np.array_split(events, 3):
            writer.write(piece)
    again, recording = read_all(path, packet_events=64)
    assert (recording.container, recording.sensor) == ("tiny", SMALL)
    assert np.array_equal(again, events)
    part, _ = read_all(path, start_us=1000, stop_us=4000)
    since = events["t"] - events["t"][0]
    assert np.array_equal(part, events[(since >= 1000) & (since < 4000)])


@pytest.mark.usefixtures("package")
def test_its_faults_are_told_as_those_of_ours(tmp_path):
    path, events = tmp_path / "made.tiny", events_for_all(300)
    with open_writer(path, SMALL) as writer:
        writer.write(events)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(RecordingError, match="ends within an event") as raised:
        read_all(path)
    assert (raised.value.byte_offset, raised.value.events_read) == (8 + 13 * 299, 299)
    path.write_bytes(b"TINY\1")
    with pytest.raises(RecordingError, match="ends within its header"):
        open_recording(path)
    path.write_bytes(b"none of them")
    with pytest.raises(RecordingError, match="supported are .*Tiny"):
        open_recording(path)


def test_without_that_package_its_files_are_refused(tmp_path):
    path = tmp_path / "made.tiny"
    path.write_bytes(b"TINY\x80\0\x80\0" + bytes(130))
    with pytest.raises(RecordingError, match="not a recording of a known kind"):
        open_recording(path)
