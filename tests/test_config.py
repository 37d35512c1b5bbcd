"""Settings: every mistake is one line that says what to write instead."""

from pathlib import Path

import pydantic
import pytest
import yaml

from usgland import settings
from usgland.config import PRESETS, Config, dump_config, load_config
from usgland.errors import UserError

CONFIGS = Path(__file__).parent.parent / "configs"
# But for the published measures that `usgland audit` checks.
EXPERIMENTS = sorted(set(CONFIGS.glob("*.yaml")) - set(CONFIGS.glob("audit_*.yaml")))


def write(tmp_path, text):
    path = tmp_path / "settings.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def message_of(path=None, *overrides):
    with pytest.raises(UserError) as caught:
        load_config(path, overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


def leaves(settings, prefix=""):
    """Dotted name -> value of every setting, written without the package."""
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("train.epoch", "train.epochs"),
        ("epochs", "train.epochs"),
        ("trian", "train"),
        ("model.backbon", "model.backbone"),
        ("train.image_size", "preprocessing.image_size"),
    ],
)
def test_an_unknown_setting_is_an_error_that_names_the_nearest(wrong, nearest):
    message = message_of(None, f"{wrong}=3")
    assert message == f"--set: unknown setting `{wrong}`; the nearest is `{nearest}`"


def test_an_unknown_setting_of_a_file_is_blamed_on_the_file(tmp_path):
    path = write(tmp_path, "train:\n  epochz: 3\n")
    # The override is right, so the message does not speak of it.
    message = message_of(path, "train.epochs=2")
    assert message.startswith(f"{path}: unknown setting `train.epochz`; the nearest is")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.epochs=many", "`train.epochs`: expected a valid integer.*'many'"),
        ("train.epochs=1.5", "expected a valid integer.*Received: 1.5"),
        ("train.epochs=", "expected a valid integer. Received: None"),
        ("train.epochs=0", "expected greater than 0. Received: 0"),
        ("train.xla=maybe", "`train.xla`: expected auto, true or false.*'maybe'"),
        ("train.xla=2", "`train.xla`: expected auto, true or false. Received: 2"),
        ("train.batch_size=0", "expected auto or a whole number greater than 0.*: 0"),
        ("train.batch_size=large", "`train.batch_size`: expected auto or.*'large'"),
        ("train.devices=true", "expected auto or a whole number.*Received: True"),
        ("train.devices=1.0", "expected auto or a whole number.*Received: 1.0"),
        ("train.learning_rate=.inf", "expected a finite number. Received: inf"),
        ("train.seed=-1", "`train.seed`: expected greater than or equal to 0"),
        ("train=5", "`train`: expected a valid group of settings. Received: 5"),
        ("train.keep=[best]", r"expected 'best' or 'last'. Received: \['best'\]"),
        ("model.dropout=1", "`model.dropout`: expected less than 1. Received: 1"),
        ("model.inputs=video", "expected 'image', 'clinical' or 'both'. Received: 'vi"),
        ("data.label_words={a: 2}", "`data.label_words.a`: expected 0 or 1"),
        ("preprocessing.grey_percentiles=[99, 1]", "first percentile must be below"),
        ("preprocessing.image_size=32", "greater than or equal to 64. Received: 32"),
    ],
)
def test_a_value_of_the_wrong_type_or_range_is_named(override, expected):
    with pytest.raises(UserError, match=f"^--set: .*{expected}"):
        load_config(None, (override,))


def test_a_typo_in_the_backbone_lists_the_five_that_there_are():
    message = message_of(None, "model.backbone=squeeznet")
    for name in ("squeezenet1_1", "squeezenet1_0", "mobilenet_v2", "vgg16"):
        assert f"'{name}'" in message
    assert message.endswith("Received: 'squeeznet'")


def test_all_wrong_settings_stand_in_one_message():
    message = message_of(None, "train.epochs=0", "model.dropout=2", "modle=1")
    assert message.count("; ") == 3  # three problems, one of which has two parts
    for name in ("train.epochs", "model.dropout", "modle"):
        assert f"`{name}`" in message


def test_early_stopping_is_refused_where_the_last_epoch_is_kept_anyway():
    settings = ("train.early_stopping_epochs=3", "train.keep=last")
    with pytest.raises(UserError, match="early_stopping_epochs needs keep: best"):
        load_config(None, settings)
    assert load_config(None, settings[:1]).train.early_stopping_epochs == 3
    unheld = (*settings[:1], "split.val_fraction=0")
    with pytest.raises(UserError, match="needs a split.val_fraction above 0"):
        load_config(None, unheld)


def test_without_a_validation_part_the_last_epoch_is_kept():
    assert not load_config(None).keeps_last
    assert load_config(None, ["split.val_fraction=0"]).keeps_last
    assert load_config(None, ["train.keep=last"]).keeps_last


def test_later_views_are_those_of_the_head_and_of_the_mirror():
    assert load_config(None).has_later_views
    first = ["model.second_view=false"]
    assert not load_config(None, first).has_later_views
    assert load_config(None, [*first, "model.mirror=true"]).has_later_views


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- train\n- model\n", r"expected `key: value` settings. Received: \['train'"),
        ("image,patient_id,label\n", "expected `key: value` settings. Received: 'im"),
        ("a: [", "expected a readable YAML file. Received: .*line 1, column 5"),
        ("train:\n\tepochs: 3\n", "expected a readable YAML file"),
        (b"\xff\xfe\x00", "expected a readable YAML file"),
        (b"\x00\x01", "expected a readable YAML file"),
        ("when: !!python/object/apply:os.getcwd []", "expected a readable YAML file"),
        ("train: {epochs: 3, epochs: 5}", "a key twice among epochs, epochs"),
        ("train: {}\ntrain: {epochs: 5}", "a key twice among train, train"),
        ("1: 2", "`1`: Keys should be strings. Received: 1"),
    ],
)
def test_a_file_that_holds_no_settings_is_named(tmp_path, text, expected):
    path = write(tmp_path, text)
    with pytest.raises(UserError, match=f"^{path}: .*{expected}") as caught:
        load_config(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_no_settings(tmp_path):
    assert "No such file" in message_of(tmp_path / "none.yaml")
    assert "Is a directory" in message_of(tmp_path)


def test_a_long_wrong_value_is_cut(tmp_path):
    path = write(tmp_path, "image,label\n" * 500)
    assert len(message_of(path)) < len(str(path)) + 200


def test_an_empty_file_or_group_stands_for_the_defaults(tmp_path):
    assert load_config(write(tmp_path, "")) == Config()
    assert load_config(write(tmp_path, "train:\n  # epochs: 5\n")) == Config()


@pytest.mark.parametrize("override", ["train.epochs", "=3", "train..epochs=1", ".=1"])
def test_set_wants_a_key_and_a_value(override):
    with pytest.raises(UserError, match="--set: expected KEY=VALUE. Received"):
        load_config(None, (override,))


def test_set_wants_a_value_in_yaml():
    with pytest.raises(UserError, match="--set train.epochs: expected YAML.*'{'"):
        load_config(None, ("train.epochs={",))


def test_set_finds_no_group_below_a_value(tmp_path):
    with pytest.raises(UserError, match="`epochs` is no group of settings"):
        load_config(write(tmp_path, "train: {epochs: 3}"), ("train.epochs.x=1",))


def test_set_takes_lists_bare_words_small_numbers_and_dotted_names():
    config = load_config(
        None,
        (
            "data.ignore_labels=[normal, other]",
            "train.learning_rate=1e-4",
            "data.where.keep=1",
            "data.where.site=yes",
            "data.columns={label: diagnosis}",
            "model.weights=null",
            "preprocessing.grey_percentiles=[2, 98]",
        ),
    )
    assert config.data.ignore_labels == ("normal", "other")
    assert config.train.learning_rate == 0.0001
    assert config.data.where == {"keep": 1, "site": "yes"}
    assert config.data.columns == {"label": "diagnosis"}
    assert config.model.weights is None
    assert config.preprocessing.grey_percentiles == (2, 98)


@pytest.mark.parametrize(
    ("text", "labels"), [("normal", ("normal",)), ("2", ("2",)), ("[2, x]", ("2", "x"))]
)
def test_labels_to_ignore_may_be_one_word_or_a_number(text, labels):
    config = load_config(None, (f"data.ignore_labels={text}",))
    assert config.data.ignore_labels == labels


def test_label_words_may_be_yes_no_and_numbers(tmp_path):
    path = write(tmp_path, "data: {label_words: {no: 0, yes: 1, 3: 1}}")
    assert load_config(path).data.label_words == {"no": 0, "yes": 1, "3": 1}


def test_paths_mean_the_same_from_every_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load_config(
        None, ("data.manifest=a/m.csv", "split.file=s.csv", "model.weights=runs/one")
    )
    assert config.data.manifest == tmp_path / "a" / "m.csv"
    assert config.split.file == tmp_path / "s.csv"
    assert config.model.weights == str(tmp_path / "runs" / "one")
    assert load_config(None, ("model.weights=imagenet",)) == Config()


def test_set_goes_before_the_file_and_the_last_one_wins(tmp_path):
    path = write(tmp_path, "train: {epochs: 3, batch_size: 4}")
    config = load_config(path, ("train.epochs=5", "train.epochs=7"))
    assert (config.train.epochs, config.train.batch_size) == (7, 4)


def test_settings_that_were_dumped_are_read_back_the_same(tmp_path):
    config = load_config(
        None,
        (
            "data.manifest='/data/no: 1/männer 😀.csv'",
            "data.label_words={no: 0, 'true': 1, '01': 1, 2020-01-01: 0}",
            "data.where={keep: 1, share: 0.5, site: 'yes', used: true}",
            "data.ignore_labels=['null', '~']",
            "train.learning_rate=1e-7",
            "train.clip_norm=1",
            "preprocessing.grey_percentiles=null",
        ),
    )
    again = load_config(write(tmp_path, dump_config(config)))
    assert again == config
    assert again.data.where["used"] is True


def test_a_config_cannot_be_changed():
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        Config().train.epochs = 3


def test_the_packaged_defaults_are_configs_squeeze():
    assert load_config(CONFIGS / "squeeze.yaml") == Config()


def test_a_preset_is_named_from_every_folder_and_a_file_goes_before_it(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert set(PRESETS) == {path.stem for path in EXPERIMENTS}
    for path in EXPERIMENTS:
        assert load_config(path.stem) == load_config(path)
    (tmp_path / "paper").mkdir()  # as a folder of runs may be named
    assert load_config("paper").train.optimizer == "sgd"
    (tmp_path / "vgg16").write_text("train: {epochs: 3}")
    assert load_config("vgg16").train.epochs == 3


def test_a_word_that_is_neither_file_nor_preset_lists_the_presets(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    expected = (
        "papr: expected a YAML file or one of squeeze, paper, .*Received: neither"
    )
    with pytest.raises(UserError, match=expected):
        load_config("papr")
    with pytest.raises(UserError, match="papr.yaml: expected a readable YAML file"):
        load_config("papr.yaml")


def test_a_copy_without_the_link_finds_the_files_at_the_top(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    monkeypatch.setattr(settings, "__file__", str(tmp_path / "usgland" / "settings.py"))
    assert settings.shipped_file("a.yaml") == tmp_path / "configs" / "a.yaml"


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_packaged_file_opens_with_its_command_and_lists_only_differences(path):
    text = path.read_text(encoding="utf-8")
    comment = [line for line in text.splitlines() if line.startswith("#")]
    assert text.startswith("#")
    assert any(f"usgland fit --config {path.stem}" in line for line in comment)
    load_config(path)
    defaults = dict(leaves(yaml.safe_load(dump_config(Config()))))
    changed = dict(leaves(yaml.safe_load(text) or {}))
    # A schema of its own names every column, those that are alike as well.
    same = [
        name
        for name, value in changed.items()
        if defaults.get(name) == value and not name.startswith("clinical.columns.")
    ]
    assert same == []


def test_the_json_schema_names_every_setting_and_refuses_others():
    schema = Config.model_json_schema()
    groups = schema["properties"]
    assert schema["additionalProperties"] is False
    assert set(groups) == set(Config.model_fields)
    for name, group in groups.items():
        definition = schema["$defs"][group["$ref"].removeprefix("#/$defs/")]
        fields = Config.model_fields[name].annotation.model_fields
        assert definition["additionalProperties"] is False
        assert set(definition["properties"]) == set(fields)


def test_the_json_schema_is_valid_and_judges_as_the_settings_do():
    jsonschema = pytest.importorskip("jsonschema")
    schema = Config.model_json_schema()
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    check = validator(schema)
    assert check.is_valid(yaml.safe_load(dump_config(Config())))
    assert not check.is_valid({"train": {"epochz": 3}})
    assert not check.is_valid({"model": {"backbone": "squeeznet"}})
    assert not check.is_valid({"train": {"epochs": "many"}})


def test_a_picture_is_larger_than_the_view_of_it():
    preprocessing = load_config().preprocessing
    assert (preprocessing.image_size, preprocessing.picture_side) == (224, 320)
    assert load_config(None, ["preprocessing.image_size=64"]).preprocessing == (
        preprocessing.model_copy(update={"image_size": 64})
    )
    message = message_of(None, "preprocessing.picture_size=223")
    assert "picture_size must be auto or at least image_size, 224" in message


def test_a_run_made_before_there_were_views_keeps_its_meaning(tmp_path):
    stored = yaml.safe_load(dump_config(load_config(None, ["train.epochs=3"])))
    del stored["preprocessing"]["picture_size"]
    del stored["augmentation"]["equalize_size"]
    del stored["model"]["lesion_head"]
    config = load_config(write(tmp_path, yaml.safe_dump(stored)))
    assert config.preprocessing.picture_side == 224
    assert config.augmentation.equalize_size == 0
    assert not config.model.lesion_head
    # What it says all the same goes before.
    stored["model"]["lesion_head"], stored["augmentation"]["equalize_size"] = True, 0.5
    config = load_config(write(tmp_path, yaml.safe_dump(stored)))
    assert config.model.lesion_head
    assert config.augmentation.equalize_size == 0.5
    # A file that names only what differs means what it says.
    config = load_config(write(tmp_path, "preprocessing: {image_size: 64}"))
    assert config.preprocessing.picture_side == 91


@pytest.mark.parametrize(
    ("text", "received"),
    [
        (
            "a: &a [x, x]\nb: &b [*a, *a]\nc: *b\n",
            r"an alias \(\*\) of aliases; write its",
        ),
        ("a: &a [*a]\n", r"an alias \(\*\) of aliases; write its"),
        ("[" * 5_000 + "]" * 5_000, "maximum recursion depth"),
    ],
)
def test_a_few_lines_that_stand_for_very_many_settings_are_refused(
    tmp_path, text, received
):
    with pytest.raises(UserError, match=received):
        load_config(write(tmp_path, text))


def test_a_value_may_be_named_and_used_again(tmp_path):
    text = "augmentation: {zoom: &same 0.25, contrast: *same}"
    assert load_config(write(tmp_path, text)).augmentation.contrast == 0.25
