"""Names of classes: taken where they fit, told where they do not, and never replaced by COCO's without a word."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from mlu_agent.errors import DataError, MluAgentError, UserError
from mlu_agent.model.label_sets import COCO
from mlu_export.formats.labels import choose_labels, fitting_names, read_labels
from mlu_export.formats.names_beside import choose_names, names_beside, names_of_recipe

THREE = ("cat", "dog", "cow")
EIGHTY = tuple(f"part{number}" for number in range(80))


@pytest.mark.parametrize(
    "names, labels",
    [
        (list(THREE), THREE),
        (THREE, THREE),
        (dict(enumerate(THREE)), THREE),
        ({str(number): name for number, name in enumerate(THREE)}, THREE),
        ({2: "cow", 0: "cat", 1: "dog"}, THREE),
        ([0, 1, 2], ("0", "1", "2")),
        (["no, helmet", "it's", " 安全帽 "], ("no, helmet", "it's", "安全帽")),
        (["x" * 128, "b", "c"], ("x" * 128, "b", "c")),
    ],
)
def test_names_are_taken_in_every_form_that_trainers_write(names, labels):
    """Lists, and tables by number or by the number's text; numbers stand for their texts."""
    assert fitting_names(names, 3, "x.pt") == (labels, "")


@pytest.mark.parametrize(
    "names, problem",
    [
        (["a", "b"], "x.pt: 2 names for 3 classes"),
        (["a", "b", "c", "d"], "x.pt: 4 names for 3 classes"),
        ([], "x.pt: 0 names for 3 classes"),
        (["a", "b", "a"], "x.pt: two classes are called 'a'"),
        (["a", "", "c"], "x.pt: the name of class 1 is empty"),
        (["a", "b", "two\nlines"], "x.pt: the name of class 2 holds control characters: 'two\\nlines'"),
        (["a", "b", "\ud800"], "x.pt: the name of class 2 holds control characters"),
        (["a", "b", "x" * 129], "x.pt: the name of class 2 has 129 bytes, more than 128"),
        (["a", "b", "猫" * 43], "x.pt: the name of class 2 has 129 bytes, more than 128"),
        (["a", "b", None], "x.pt has nothing as the name of class 2"),
        (["a", "b", 10**5000], "x.pt has a int as the name of class 2"),
        ({0: "a", 1: "b", 3: "c"}, "x.pt names 3 classes, and class 2 is not among them"),
        ({1: "a", 2: "b", 3: "c"}, "x.pt names 3 classes, and class 0 is not among them"),
        ({"a": 0, "b": 1, "c": 2}, "x.pt names classes by something else than their numbers"),
        ({0: "a", "0": "b", 1: "c"}, "x.pt names classes by something else than their numbers"),
        ({True: "a", 0: "b", 2: "c"}, "x.pt names classes by something else than their numbers"),
        ({0: {"name": "a"}, 1: {"name": "b"}, 2: {"name": "c"}}, "x.pt has a dict as the name of class 0"),
        ({"names": {0: "a"}}, "x.pt names classes by something else than their numbers"),
        ("abc", "x.pt has a str where the names of classes belong"),
        (3, "x.pt has a int where the names of classes belong"),
    ],
)
def test_names_that_do_not_fit_are_told_with_the_reason(names, problem):
    """And then nobody else's are taken: --labels is asked for, of 80 classes too."""
    labels, said = fitting_names(names, 3, "x.pt")
    assert labels is None
    assert said.startswith(problem)
    with pytest.raises(UserError, match="give --labels FILE"):
        choose_labels(80, None, labels, said, known=True)
    assert choose_labels(3, THREE, labels, said) == THREE


def test_no_names_are_no_problem():
    """A file that holds none leaves the question open."""
    assert fitting_names(None, 3, "x.pt") == (None, "")


@pytest.mark.parametrize("known, word", [(True, "note: its 80 classes are called as COCO's"),
                                         (False, "warning: its 80 classes are taken for COCO's")])  # fmt: skip
def test_cocos_names_stand_in_where_there_are_none_and_that_is_said(capsys, known, word):
    """For 80 classes alone; who knows better has --labels."""
    assert choose_labels(80, None, None, known=known) == COCO
    said = capsys.readouterr().err
    assert word in said
    assert "--labels FILE" in said
    assert choose_labels(80, None, EIGHTY, known=known) == EIGHTY
    assert capsys.readouterr().err == ""
    with pytest.raises(UserError, match="79 classes and the weights do not name them"):
        choose_labels(79, None, None, known=known)


TEXTS = ("\ufeffcat\r\ndog\r\ncow\r\n", "cat\ndog\ncow", "cat \n\ndog\n\n# the third\ncow\n\n\n")


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_file_of_labels_is_read_as_editors_leave_it(tmp_path, capsys, text, encoding):
    """Marks, line ends of any system; empty lines and comments where the others are as many as the classes."""
    (tmp_path / "a.names").write_bytes((text if encoding == "utf-8" else text.lstrip("\ufeff")).encode(encoding))
    assert read_labels(tmp_path / "a.names", 3) == THREE
    assert ("3 empty lines and comments" in capsys.readouterr().err) == ("#" in text)


def test_a_comment_that_counts_as_a_label_is_told(tmp_path, capsys):
    """The lines are as many as the classes, so the mark may be a part of the name; or the last one is missing."""
    (tmp_path / "a.names").write_text("# mine\ncat\ndog\n")
    assert read_labels(tmp_path / "a.names", 3)[0] == "# mine"
    assert "'# mine' in" in capsys.readouterr().err


def test_json_and_known_sets_are_labels_too(tmp_path):
    """A list or a table by number; ``coco`` where no file has that name."""
    for content in (list(THREE), dict(enumerate(THREE))):
        (tmp_path / "a.json").write_text(json.dumps(content))
        assert read_labels(tmp_path / "a.json", 3) == THREE
    assert read_labels(type(tmp_path)("coco"), 80) == COCO


@pytest.mark.parametrize(
    "name, data, words",
    [
        ("a.names", b"a\nb\n", "2 names for 3 classes; give one name a line"),
        ("a.names", b"a\n\nb\n", "3 names for 3 classes|the name of class 1 is empty, 2 without empty lines"),
        ("a.names", b"a\nb\na\n", "two classes are called 'a'"),
        ("a.names", "猫\n狗\n牛\n".encode("gbk"), "line 2 is not UTF-8 text .* it looks like GBK"),
        ("data.yaml", b"names: [a, b, c]\n", "write its names into a file, one a line"),
        ("a.json", b"[1, 2", "is no JSON"),
        ("a.json", b"[" * 100_000, "is no JSON"),
        ("a.json", b'["a"]', "1 name for 3 classes"),
        ("a.names", b"\n \n", "a.names: the file is empty; give one name a line"),
        ("a.names", b"x" * ((1 << 20) + 1), "bytes; labels of at most"),
    ],
)
def test_labels_that_cannot_be_are_refused_with_the_file_and_what_to_do(tmp_path, name, data, words):
    """Before anything is calibrated."""
    (tmp_path / name).write_bytes(data)
    with pytest.raises(MluAgentError, match=words):
        read_labels(tmp_path / name, 3)


@given(st.recursive(st.none() | st.integers() | st.text(max_size=3) | st.floats(), lambda one: st.lists(one, max_size=4)
                    | st.dictionaries(st.integers(0, 4) | st.text(max_size=2), one, max_size=4)))  # fmt: skip
def test_names_of_any_shape_fit_or_are_told(names):
    """Labels that the agent takes, or one sentence."""
    labels, problem = fitting_names(names, 2, "x")
    assert (labels is None) == (bool(problem) or names is None)
    assert labels is None or (len(set(labels)) == 2 and all(one.isprintable() and one for one in labels))


# ---- files beside the network's own ----


def test_the_one_file_of_names_beside_a_cfg_is_found(tmp_path):
    """Darknet keeps names there; a description of the data may say where, as seen from the folder above."""
    (tmp_path / "cfg").mkdir()
    (tmp_path / "data").mkdir()
    cfg = tmp_path / "cfg" / "own.cfg"
    (tmp_path / "data" / "obj.names").write_text("cat\ndog\ncow\n")
    (tmp_path / "cfg" / "obj.data").write_text("classes = 3\nnames = data/obj.names\nbackup = b\n")
    assert choose_names(names_beside(cfg, own_alone=False), 3) == (THREE, "", "obj.names")
    assert names_beside(cfg, own_alone=True) == {}


def test_a_file_called_as_the_cfg_wins_and_two_that_fit_alike_are_told(tmp_path):
    """Whose names they are cannot be guessed; files that do not fit are no rivals."""
    cfg = tmp_path / "own.cfg"
    (tmp_path / "a.names").write_text("cat\ndog\ncow\n")
    (tmp_path / "b.names").write_text("x\ny\nz\n")
    (tmp_path / "c.names").write_text("1\n2\n")
    labels, problem, _ = choose_names(names_beside(cfg, own_alone=False), 3)
    assert (labels, problem) == (None, "a.names and b.names both have names for 3 classes")
    (tmp_path / "b.names").unlink()
    assert choose_names(names_beside(cfg, own_alone=False), 3) == (THREE, "", "a.names")
    (tmp_path / "own.names").write_text("x\ny\nz\n")
    assert choose_names(names_beside(cfg, own_alone=True), 3) == (("x", "y", "z"), "", "own.names")
    _, problem, _ = choose_names(names_beside(cfg, own_alone=True), 4)
    assert problem == "own.names: 3 names for 4 classes"
    (tmp_path / "own.names").write_bytes("猫\n狗\n牛\n".encode("gbk"))
    assert "looks like GBK" in choose_names(names_beside(cfg, own_alone=True), 3)[1]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_a_description_of_data_is_read_in_the_encodings_of_other_texts(tmp_path, encoding):
    """With their mark or in UTF-16, as Windows writes them; the folders may have any name."""
    (tmp_path / "数据").mkdir()
    (tmp_path / "数据" / "类别.txt").write_text("cat\ndog\ncow\n")
    (tmp_path / "own.data").write_bytes("classes = 3\r\nnames = 数据/类别.txt\r\n".encode(encoding))
    assert names_beside(tmp_path / "own.cfg", own_alone=True) == {"类别.txt": THREE}


def test_a_description_of_data_that_is_no_text_is_told(tmp_path):
    """Instead of a network without names, or with those of another; one without names says nothing."""
    (tmp_path / "other.names").write_text("cat\ndog\ncow\n")
    (tmp_path / "own.data").write_bytes("names = 数据/类别.txt\n".encode("gbk"))
    labels, problem, _ = choose_names(names_beside(tmp_path / "own.cfg", own_alone=False), 3)
    assert labels is None
    assert "own.data: line 1 is not UTF-8 text (byte 8); it looks like GBK" in problem
    (tmp_path / "own.data").write_bytes(b"#" * 70000)
    assert "own.data" in choose_names(names_beside(tmp_path / "own.cfg", own_alone=True), 3)[1]
    (tmp_path / "own.data").write_bytes(b"classes = 3\n")
    assert names_beside(tmp_path / "own.cfg", own_alone=True) == {}


def test_a_description_of_data_leads_nowhere_else(tmp_path):
    """No absolute path and none upwards is followed."""
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_text("cat\ndog\ncow\n")
    for path in (tmp_path / "secret", "../../secret", "../secret"):
        (tmp_path / "in" / "own.data").write_text(f"names = {path}\n")
        assert names_beside(tmp_path / "in" / "own.cfg", own_alone=False) == {}


def test_a_checkpoint_has_the_labels_of_the_recipe_beside_it(tmp_path):
    """`quantize` writes both; names have no place in a checkpoint."""
    (tmp_path / "net.recipe.toml").write_text('labels = ["cat", "dog", "cow"]\n')
    found = names_of_recipe(tmp_path / "net_int8.pth")
    assert choose_names(found, 3) == (THREE, "", "net.recipe.toml")
    assert choose_names(found, 80)[1] == "net.recipe.toml: 3 names for 80 classes"
    assert names_of_recipe(tmp_path / "net.pth") == {}
    (tmp_path / "net.recipe.toml").write_text("labels = [3]\n")
    assert names_of_recipe(tmp_path / "net_int16.pth") == {"net.recipe.toml": "net.recipe.toml has no list of labels"}
    (tmp_path / "net.recipe.toml").write_bytes(b"\xff")
    with pytest.raises(DataError, match="UTF-8"):
        raise DataError(names_of_recipe(tmp_path / "net_int8.pth")["net.recipe.toml"])
