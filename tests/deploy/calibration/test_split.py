"""How a calibration folder is dealt into pictures that are fitted to and pictures that judge."""

from __future__ import annotations

import shutil

import pytest

from mlu_agent.errors import UserError
from mlu_export.calibration.split import GROUPS, deal, split


@pytest.fixture
def paths(tmp_path):
    found = [tmp_path / f"{number:02}.jpg" for number in range(30)]
    for number, path in enumerate(found):
        path.write_bytes(b"%d" % number)
    return found


def test_a_quarter_judges_and_the_rest_is_fitted_to(paths):
    """Each picture is on one side, in the order given."""
    fit, judge = split(paths)
    assert (len(fit), len(judge)) in {(22, 8), (23, 7)}
    assert sorted([*fit, *judge]) == paths
    assert (fit, judge) == (sorted(fit), sorted(judge))


def test_seeds_let_each_picture_judge_once_and_then_deal_anew(paths):
    """Four seeds are a round; the next four are another."""
    first, second = ([split(paths, seed)[1] for seed in range(start, start + GROUPS)] for start in (0, GROUPS))
    for judges in (first, second):
        assert sorted(path for judge in judges for path in judge) == paths
    assert {tuple(judge) for judge in first}.isdisjoint(tuple(judge) for judge in second)


def test_bytes_deal_not_names(paths, tmp_path):
    """Pictures under other names in another folder are dealt alike, and copies lie on one side."""
    other = tmp_path / "other"
    other.mkdir()
    moved = [shutil.copy(path, other / f"z{number}.png") for number, path in enumerate(paths)]
    assert deal(moved) == deal(paths)
    assert deal([*paths, *moved]) == deal(paths) * 2
    assert split(paths[::-1], 3)[1] == split(paths, 3)[1][::-1]


def test_few_pictures_are_all_fitted_to(paths):
    """Of fewer than eight that differ none judges: copies do not count."""
    assert split(paths[:7]) == (paths[:7], [])
    for path in paths[7:]:
        path.write_bytes(b"0")
    assert (deal(paths), split(paths)) == ([], (paths, []))
    paths[-1].write_bytes(b"7")
    assert len(split([*paths[:7], paths[-1]])[1]) == 2


def test_a_picture_that_cannot_be_read_is_told(paths):
    """By its path."""
    with pytest.raises(UserError, match=r"cannot read .*gone\.jpg: No such file"):
        split([*paths, paths[0].parent / "gone.jpg"])
