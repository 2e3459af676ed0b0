"""Writing a whole folder: it is there as a whole or not at all, and what others put there stays."""

import pytest

from paconv.deployment.folder import replacing_folder
from paconv.errors import PaconvError

OURS = frozenset({"config", "1/model"})


def write(target, text, force=False, fail=False):
    with replacing_folder(target, OURS, force=force) as temporary:
        (temporary / "1").mkdir()
        (temporary / "1" / "model").write_text(text)
        if fail:
            raise RuntimeError("stop")
        (temporary / "config").write_text(text)


def tree(folder):
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_a_new_folder_is_whole_and_its_parent_is_made(tmp_path):
    write(tmp_path / "repository" / "net", "new")
    assert tree(tmp_path) == {"repository/net/config": "new", "repository/net/1/model": "new"}


def test_a_failure_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError):
        write(tmp_path / "repository" / "net", "new", fail=True)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_parent_if_it_was_there(tmp_path):
    with pytest.raises(RuntimeError):
        write(tmp_path / "net", "new", fail=True)
    assert tmp_path.is_dir() and list(tmp_path.iterdir()) == []


def test_a_folder_with_files_is_kept_without_force(tmp_path):
    write(tmp_path / "net", "old")
    with pytest.raises(PaconvError, match=r"holds 1/model; .*--force"):
        write(tmp_path / "net", "new")
    assert tree(tmp_path) == {"net/config": "old", "net/1/model": "old"}


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "net").mkdir()
    write(tmp_path / "net", "new")
    assert tree(tmp_path) == {"net/config": "new", "net/1/model": "new"}


def test_force_replaces_our_own_files(tmp_path):
    write(tmp_path / "net", "old")
    write(tmp_path / "net", "new", force=True)
    assert tree(tmp_path) == {"net/config": "new", "net/1/model": "new"}
    assert [p.name for p in tmp_path.iterdir()] == ["net"]


def test_a_failure_under_force_leaves_the_old_folder(tmp_path):
    write(tmp_path / "net", "old")
    with pytest.raises(RuntimeError):
        write(tmp_path / "net", "new", force=True, fail=True)
    assert tree(tmp_path) == {"net/config": "old", "net/1/model": "old"}


def test_force_does_not_remove_files_of_others(tmp_path):
    write(tmp_path / "net", "old")
    (tmp_path / "net" / "2").mkdir()
    (tmp_path / "net" / "2" / "model").write_text("theirs")
    with pytest.raises(PaconvError, match="holds 2/model, which is not ours"):
        write(tmp_path / "net", "new", force=True)
    assert tree(tmp_path)["net/2/model"] == "theirs"


def test_a_file_or_link_of_that_name_is_refused(tmp_path):
    (tmp_path / "file").write_text("theirs")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    for name in ("file", "link"):
        with pytest.raises(PaconvError, match=f"it is a {name}"):
            write(tmp_path / name, "new", force=True)


def test_a_missing_folder_above_the_repository_is_named(tmp_path):
    with pytest.raises(PaconvError, match="a does not exist; create it first"):
        write(tmp_path / "a" / "b" / "net", "new")
