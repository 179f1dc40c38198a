"""Only its user can access the folder of the embedded mode."""

from pathlib import Path

import pytest

from embedded.data_dir import SHORTEST_SECRET, DataDir


def test_other_users_of_the_machine_cannot_read_the_folder(tmp_path: Path) -> None:
    data_dir = DataDir(tmp_path / "data_dir")
    data_dir.folder.mkdir(mode=0o755)
    with data_dir.lock():
        assert data_dir.folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "\n", "short"])
def test_an_empty_secret_is_replaced_and_a_good_one_is_kept(tmp_path: Path, text: str) -> None:
    data_dir = DataDir(tmp_path)
    (tmp_path / "secret").write_text(text)
    secret = data_dir.secret()
    assert len(secret) >= SHORTEST_SECRET
    assert data_dir.secret() == secret
    assert (tmp_path / "secret").stat().st_mode & 0o077 == 0
