"""Policies and model_config_list, without a server."""

import pytest

from usgland.errors import UserError
from usgland.serving.interface.versions import (
    WantedModel,
    choose,
    find_models,
    find_versions,
    parse_keep_versions,
    read_model_config,
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


def test_how_many_versions_to_keep_is_a_number_or_all():
    assert parse_keep_versions("all") is None
    assert parse_keep_versions("3") == 3
    for text in ("0", "-1", "many", "1.5"):
        with pytest.raises(UserError, match="--keep-versions: expected a number from"):
            parse_keep_versions(text)
