"""Claims about files and folders that appear as a whole, or not at all."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from gmm_pyro import GaussianMixture
from gmm_pyro.disk.placing import refuse_existing, refuse_unwritable, whole_file, whole_folder


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def begin(writing: AbstractContextManager[Path], file: str, error: BaseException) -> None:
    """Write half of what there is to write, and then fail."""
    with writing as partial:
        (partial / file).write_text("half")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_whatever_ends_the_work_leaves_nothing(error: type[BaseException], tmp_path) -> None:
    with pytest.raises(error):
        begin(whole_file(tmp_path / "a.txt"), "", error())
    with pytest.raises(error):
        begin(whole_folder(tmp_path / "new"), "a.txt", error())
    assert list(tmp_path.iterdir()) == []


def test_a_failure_keeps_what_was_there(tmp_path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(ValueError, match="no"):
        begin(whole_folder(tmp_path, stale=("a.txt",)), "a.txt", ValueError("no"))
    assert contents(tmp_path) == {"a.txt": "old"}


def test_a_new_folder_has_the_modes_of_any_other(tmp_path) -> None:
    with whole_folder(tmp_path / "new" / "fit") as folder:
        (folder / "a.txt").write_text("a")
    (tmp_path / "other").mkdir()
    assert contents(tmp_path / "new") == {"fit/a.txt": "a"}
    modes = [(tmp_path / name).stat().st_mode for name in ("new/fit", "other")]
    assert modes[0] == modes[1]


def test_in_a_folder_that_exists_stale_files_go_and_others_stay(tmp_path) -> None:
    for name in ("a.txt", "b.txt", "mine.txt"):
        (tmp_path / name).write_text("old")
    with whole_folder(tmp_path, stale=("a.txt", "b.txt", "c.txt")) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a.txt").write_text("new")
        (folder / "a.txt").write_text("new")
    assert contents(tmp_path) == {"a.txt": "new", "sub/a.txt": "new", "mine.txt": "old"}


def test_what_exists_is_refused_unless_it_is_empty_or_forced(tmp_path) -> None:
    refuse_existing(tmp_path)
    refuse_existing(tmp_path / "new")
    (tmp_path / "a.txt").touch()
    for path in (tmp_path, tmp_path / "a.txt"):
        with pytest.raises(FileExistsError, match="is replaced with --force only"):
            refuse_existing(path)
        refuse_existing(path, force=True)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "fit"):
        with pytest.raises(NotADirectoryError, match="file"):
            refuse_unwritable(path)
    refuse_unwritable(tmp_path / "new" / "fit")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    if os.geteuid() != 0:  # root may write anywhere
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(PermissionError, match="closed"):
            refuse_unwritable(tmp_path / "closed" / "fit")


class TestSeveralWriters:
    """Each writes its number into its own files and into those that all write."""

    @staticmethod
    def write(path: Path, number: int, meeting: threading.Barrier, *, force: bool = True) -> None:
        with whole_folder(path, stale=("own-*.txt",), force=force) as partial:
            for name in (f"own-{number}.txt", "shared.txt", "sub/shared.txt"):
                (partial / name).parent.mkdir(exist_ok=True)
                (partial / name).write_text(str(number))
            meeting.wait(10)

    @pytest.mark.parametrize("round", range(5))
    @pytest.mark.parametrize("exists", [False, True])
    def test_what_is_there_is_all_of_the_last(self, round, exists, tmp_path) -> None:
        path, meeting = tmp_path / "fit", threading.Barrier(8)
        if exists:
            path.mkdir()
        with ThreadPoolExecutor(8) as pool:
            jobs = [pool.submit(self.write, path, number, meeting) for number in range(8)]
        assert [job.exception() for job in jobs] == [None] * 8
        found = contents(path)
        (last,) = {*found.values()}
        assert found.keys() == {f"own-{last}.txt", "shared.txt", "sub/shared.txt"}
        assert [path.name for path in tmp_path.iterdir()] == ["fit"]

    def test_without_force_all_but_the_first_are_refused_by_the_folder_s_name(
        self, tmp_path
    ) -> None:
        path, meeting = tmp_path / "fit", threading.Barrier(4)
        with ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(self.write, path, i, meeting, force=False) for i in range(4)]
        errors = [error for error in (job.exception() for job in jobs) if error is not None]
        assert [(type(error), error.filename) for error in errors] == [
            (FileExistsError, str(path))
        ] * 3
        assert len({*contents(path).values()}) == 1

    def test_of_one_file_the_last_stays(self, tmp_path) -> None:
        mixtures = [GaussianMixture([1.0], [[float(i)] * 40], [1.0], "VII") for i in range(6)]
        for name in ("m.json", "m.npz"):
            with ThreadPoolExecutor(6) as pool:
                jobs = [pool.submit(m.save, tmp_path / name) for m in mixtures for _ in range(4)]
            assert [job.exception() for job in jobs] == [None] * 24
            assert GaussianMixture.load(tmp_path / name).means[0, 0] in range(6)
        assert {path.name for path in tmp_path.iterdir()} == {"m.json", "m.npz"}


def test_a_folder_in_the_place_of_a_file_is_refused_by_its_own_name(tmp_path) -> None:
    (tmp_path / "fit").write_text("mine")
    with pytest.raises(NotADirectoryError) as caught, whole_folder(tmp_path / "fit"):
        pass
    assert caught.value.filename == str(tmp_path / "fit")
