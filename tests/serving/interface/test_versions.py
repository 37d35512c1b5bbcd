"""Policies and model_config_list, without a server."""

import pytest

from usgland.errors import UserError
from usgland.serving.interface.versions import (
    WantedModel,
    choose,
    find_models,
    find_versions,
    next_number,
    parse_keep_versions,
    publish,
    read_model_config,
    unpublished,
)


def test_versions_are_folders_named_by_a_number(tmp_path):
    for name in ("1", "007", "12", "x3", "3x", "-4", "٣", ".5", str(2**63)):
        (tmp_path / "m" / name).mkdir(parents=True)
    (tmp_path / "m" / "99").touch()
    assert sorted(find_versions(tmp_path / "m")) == [1, 7, 12]
    (tmp_path / "empty").mkdir()
    assert list(find_models(tmp_path, 1)) == ["m"]


def test_a_broken_version_does_not_count_as_one_of_the_newest(tmp_path):
    model = WantedModel(tmp_path, 2)
    assert choose(model, {1, 2, 3, 4}, {4}) == [3, 2]
    assert choose(model, {1}, {1}) == []
    assert choose(WantedModel(tmp_path, None), {2, 9, 1}, ()) == [9, 2, 1]
    assert choose(WantedModel(tmp_path, specific=(1, 9)), {1, 2, 3}, ()) == [1]


def test_a_model_config_is_read_with_its_policies(tmp_path):
    (tmp_path / "here").mkdir()
    path = tmp_path / "models.config"
    path.write_text(
        f"""
        model_config_list {{
          config {{ name: "a" base_path: "/models/a" }}
          config {{
            name: "b" base_path: "{tmp_path}/here"
            model_version_policy {{ all {{}} }}
          }}
          config {{
            name: "c" base_path: "/elsewhere/c" model_platform: "tensorflow"
            model_version_policy {{ latest {{ num_versions: 3 }} }}
            version_labels {{ key: "stable" value: 2 }}
          }}
        }}
        """
    )
    assert read_model_config(path, tmp_path / "saved") == {
        "a": WantedModel(tmp_path / "saved" / "a", 1),
        "b": WantedModel(tmp_path / "here", None),
        "c": WantedModel(tmp_path / "saved" / "c", 3, labels={"stable": 2}),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_config_list { konfig {} }", "expected a model_config_list in .*konfig"),
        ("", "expected a model_config_list with a model. Received: none"),
        (
            'model_config_list { config { name: "a" } }',
            "expected models, each with .*Received: name 'a', base_path ''",
        ),
        (
            "model_config_list {" + 'config { name: "a" base_path: "/m/a" }' * 2 + "}",
            "each with a `name` of its own",
        ),
    ],
)
def test_a_wrong_model_config_is_an_error(tmp_path, text, message):
    path = tmp_path / "models.config"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_model_config(path, tmp_path)


def test_the_next_number_follows_the_largest_of_its_kind(tmp_path):
    assert next_number(tmp_path) == next_number(tmp_path, "onnx-") == 1
    for name in ("2", "007", "x9", "-4", "٣", str(2**63), "onnx-3", "onnx-x"):
        (tmp_path / name).mkdir()
    (tmp_path / "onnx-5").touch()
    assert next_number(tmp_path) == 8
    assert next_number(tmp_path, "onnx-") == 6
    assert next_number(tmp_path, "litert-") == 1


def test_a_folder_is_published_whole_or_not_at_all(tmp_path):
    home = tmp_path / "models" / "mine"
    with unpublished(home) as folder:
        folder.mkdir()
        assert find_versions(home) == {} and find_models(home.parent, 1) == {}
    assert list(tmp_path.iterdir()) == [home.parent]  # and nothing is in it
    assert list(home.parent.iterdir()) == []
    with unpublished(home) as folder:
        folder.mkdir()
        (folder / "file").touch()
        assert publish(folder, home / "1")
    assert [path.name for path in home.rglob("*")] == ["1", "file"]


def test_a_number_that_another_process_took_is_left_as_it_is(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "of_the_other").touch()
    with unpublished(tmp_path) as folder:
        folder.mkdir()
        assert not publish(folder, tmp_path / "1")
        assert not folder.exists()
        with pytest.raises(FileNotFoundError):
            publish(folder, tmp_path / "2")
    assert [path.name for path in tmp_path.rglob("*")] == ["1", "of_the_other"]


def test_what_cannot_be_written_is_named_in_one_line(tmp_path):
    with pytest.raises(UserError, match="under .*/mine: Is a directory"):  # noqa: SIM117
        with unpublished(tmp_path / "mine") as folder:
            folder.mkdir()
            folder.write_text("")
    with pytest.raises(UserError, match="under .*/mine: no room"):  # noqa: SIM117
        with unpublished(tmp_path / "mine", ArithmeticError):
            raise ArithmeticError("no\n  room")
    assert list(tmp_path.iterdir()) == []


def test_how_many_versions_to_keep_is_a_number_or_all():
    assert parse_keep_versions("all") is None
    assert parse_keep_versions("3") == 3
    for text in ("0", "-1", "many", "1.5"):
        with pytest.raises(UserError, match="--keep-versions: expected a number from"):
            parse_keep_versions(text)
