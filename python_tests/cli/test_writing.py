"""Files are written completely or not at all, with concurrent writers and after kills."""

import errno
import fcntl
import os
import signal

import pytest

from reid_ext._runtime.writing import whole_file


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.json"


def names(path):
    return sorted(p.name for p in path.parent.iterdir())


def test_whole_file_replaces_only_after_the_block(path):
    path.write_text("old")
    with whole_file(path) as part:
        part.write_text("new")
        assert path.read_text() == "old" and part.suffix == ".json"
    assert path.read_text() == "new" and names(path) == ["metrics.json"]


def test_whole_file_leaves_nothing_when_the_block_raises(path):
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as part:
        part.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and names(path) == ["metrics.json"]


def test_whole_file_reuses_the_part_of_a_killed_process(path):
    for _ in range(3):
        if (child := os.fork()) == 0:
            with whole_file(path) as part:
                part.write_text("half of a longer text")
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
    assert names(path) == [".metrics.part.json"]
    with whole_file(path) as part:
        assert part.read_text() == ""
        part.write_text("new")
    assert path.read_text() == "new" and names(path) == ["metrics.json"]


def test_whole_file_keeps_two_writers_apart(path):
    with whole_file(path) as late:
        late.write_text("la")
        with whole_file(path) as early:
            early.write_text("early")
        assert path.read_text() == "early"
        with late.open("a") as file:
            file.write("te")
    assert path.read_text() == "late" and names(path) == ["metrics.json"]


def test_whole_file_keeps_a_part_renamed_before_its_lock(path, monkeypatch):
    """The writer finishes after we open the unfinished file and before we lock it."""
    other = path.with_name(".metrics.part.json")
    other.write_text("the other's")

    def ends_first(descriptor, how):
        if other.exists():
            other.rename(path)

    monkeypatch.setattr(fcntl, "flock", ends_first)
    with pytest.raises(RuntimeError, match="stopped"), whole_file(path):
        assert path.read_text() == "the other's"
        raise RuntimeError("stopped")
    assert path.read_text() == "the other's" and names(path) == ["metrics.json"]


def test_whole_file_works_without_file_locks(path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with whole_file(path) as part:
        part.write_text("new")
    assert path.read_text() == "new" and names(path) == ["metrics.json"]


def test_whole_file_does_not_follow_a_link(path, tmp_path):
    (tmp_path / "victim").write_text("kept")
    path.with_name(".metrics.part.json").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"), whole_file(path):
        pass
    assert (tmp_path / "victim").read_text() == "kept" and not path.exists()


def test_whole_file_rejects_a_folder_before_the_block(tmp_path):
    with (
        pytest.raises(IsADirectoryError, match=f"it is a folder: .*{tmp_path.name}"),
        whole_file(tmp_path),
    ):
        pytest.fail("began to write")
    assert names(tmp_path / "x") == []
