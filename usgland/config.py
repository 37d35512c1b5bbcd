"""The frozen, validated settings of one experiment.

The defaults are the recommended recipe (`configs/squeeze.yaml`); a file in
`configs/` and every `--set` name only what differs from them.
"""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml

from usgland.errors import UserError

Fraction = Annotated[float, pydantic.Field(ge=0, lt=1)]
Seed = Annotated[int, pydantic.Field(ge=0, lt=2**31)]
# A run's settings shall mean the same from every folder.
AbsolutePath = Annotated[Path, pydantic.AfterValidator(Path.absolute)]
BACKBONES = ("squeezenet1_1", "squeezenet1_0", "mobilenet_v2", "vgg16", "resnet101")


BOOL, TIMESTAMP = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"


class Settings(pydantic.BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """A group of settings; a name it does not know is an error."""


def _one_or_many(value: object) -> object:
    """Lets `--set data.ignore_labels=normal` stand for a list of one."""
    return (value,) if isinstance(value, str | int | float) else value


def _absolute(weights: str) -> str:
    return weights if weights == "imagenet" else str(Path(weights).absolute())


# Words of the CSV may be numbers: `ignore_labels: [2]`.
class DataSettings(Settings, coerce_numbers_to_str=True):
    """Which images, and how the columns of their manifest are read."""

    # CSV of one row an image; null: the embedded synthetic phantoms.
    manifest: AbsolutePath | None = None
    # Our column name -> the CSV's, where they differ, e.g. {label: diagnosis}.
    columns: dict[str, str] = {}
    # Word in the label column -> 0 benign, 1 malignant. Case and spaces are ignored.
    label_words: dict[str, Literal[0, 1]] = {
        "benign": 0,
        "malignant": 1,
        "0": 0,
        "1": 1,
    }
    # Rows with these labels are left out, e.g. [normal].
    ignore_labels: Annotated[
        tuple[str, ...], pydantic.BeforeValidator(_one_or_many)
    ] = ()
    # Only rows whose column has this value are used, e.g. {keep: "1"}.
    where: dict[str, str | bool | int | float] = {}
    # A patient with a benign and a malignant image is an error unless true.
    allow_patients_with_two_labels: bool = False


class SplitSettings(Settings):
    """Who trains, who chooses, who tests: patients, never images.

    A `split` or `fold` column of the manifest goes before all of these but `file`.
    """

    # A splits.csv of an earlier run to follow to the letter.
    file: AbsolutePath | None = None
    # fractions: a stratified draw; balanced: the paper's draw of patients per class.
    protocol: Literal["fractions", "balanced"] = "fractions"
    test_fraction: Fraction = 0.2
    val_fraction: Fraction = 0.15  # of all patients; of the rest for balanced and cv
    balanced_train_per_class: pydantic.PositiveInt = 66
    balanced_test_benign: pydantic.PositiveInt = 21
    balanced_test_malignant: pydantic.PositiveInt = 20
    folds: Annotated[int, pydantic.Field(ge=2)] = 5  # of `usgland cv`
    seed: Seed = 0


class PreprocessingSettings(Settings):
    """What the saved model does to an image before the first learned layer."""

    image_size: Annotated[int, pydantic.Field(ge=64)] = 224  # pixels, both sides
    # Grey levels at these percentiles become black and white; null: left as they are.
    grey_percentiles: (
        tuple[
            Annotated[float, pydantic.Field(ge=0, le=100)],
            Annotated[float, pydantic.Field(ge=0, le=100)],
        ]
        | None
    ) = (1.0, 99.0)
    speckle_filter: Literal["none", "median3", "median5"] = "none"

    @pydantic.field_validator("grey_percentiles")
    @classmethod
    def _ascend(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[0] >= value[1]:
            raise ValueError("the first percentile must be below the second")
        return value


class ModelSettings(Settings):
    """The network."""

    inputs: Literal["image"] = "image"
    backbone: Literal[BACKBONES] = "squeezenet1_1"  # type: ignore[valid-type]
    # Width of MobileNetV2; the other backbones have one width.
    alpha: pydantic.PositiveFloat = 1.0
    # imagenet | a weights file | a run directory | null (start from random)
    weights: Annotated[str, pydantic.AfterValidator(_absolute)] | None = "imagenet"
    dropout: Fraction = 0.5


class AugmentationSettings(Settings):
    """Random changes of training images; 0 or false turns one off."""

    horizontal_flip: bool = True
    vertical_flip: bool = False
    rotation_degrees: pydantic.NonNegativeFloat = 10.0
    # Log-uniform magnification in [1 / (1 + zoom), 1 + zoom].
    zoom: pydantic.NonNegativeFloat = 0.45
    # Stretches height against width, likewise.
    aspect: pydantic.NonNegativeFloat = 0.0
    translation: Fraction = 0.1  # of the side
    brightness: Fraction = 0.1  # of the grey range
    contrast: Fraction = 0.4  # relative
    gamma: pydantic.NonNegativeFloat = 0.0  # exponent in [1 / (1 + gamma), 1 + gamma]
    blur_pixels: pydantic.NonNegativeFloat = 1.5  # largest sigma, of half the images
    noise: Fraction = 0.0  # largest sigma of multiplicative speckle noise
    cutout: Fraction = 0.0  # side of one erased square, of the image side
    rand_augment: Fraction = 0.0  # magnitude of keras-cv's RandAugment
    mixup: pydantic.NonNegativeFloat = 0.0  # alpha of the beta distribution


class TrainSettings(Settings):
    """How the network is fitted, and which epoch is kept."""

    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: pydantic.PositiveFloat = 1e-4  # peak of the schedule
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_epochs: pydantic.NonNegativeInt = 1
    momentum: Fraction = 0.9  # of SGD
    weight_decay: pydantic.NonNegativeFloat = 1e-4
    clip_norm: pydantic.PositiveFloat | None = None  # of the whole gradient
    epochs: pydantic.PositiveInt = 30
    batch_size: pydantic.PositiveInt = 16
    loss: Literal["binary_crossentropy", "focal"] = "binary_crossentropy"
    label_smoothing: Fraction = 0.0
    class_weights: Literal["balanced"] | None = None  # as sample weights
    ema_momentum: Fraction | None = 0.99  # moving average of the weights
    # Epochs in which only the head learns, before `epochs` of all layers.
    frozen_epochs: pydantic.NonNegativeInt = 0
    monitor: Literal["val_loss", "val_auc", "val_cohen_kappa", "val_f1"] = "val_loss"
    keep: Literal["best", "last"] = "best"  # by `monitor`
    early_stopping_epochs: pydantic.PositiveInt | None = None  # without a better one
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    xla: bool = False  # compiled steps; two runs then differ in their last digits
    seed: Seed = 0  # of weights, order, dropout and augmentation

    @pydantic.model_validator(mode="after")
    def _has_a_best_epoch_to_wait_for(self) -> "TrainSettings":
        if self.early_stopping_epochs is not None and self.keep == "last":
            raise ValueError("early_stopping_epochs needs keep: best")
        return self


class EvaluationSettings(Settings):
    """How predictions become decisions and figures."""

    # Where the validation part puts the threshold on P(malignant).
    operating_point: Literal["youden", "half"] = "youden"
    confidence_level: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.95
    bootstrap_resamples: pydantic.NonNegativeInt = 2000
    seed: Seed = 0


class Config(Settings):
    """One experiment."""

    data: DataSettings = DataSettings()
    split: SplitSettings = SplitSettings()
    preprocessing: PreprocessingSettings = PreprocessingSettings()
    model: ModelSettings = ModelSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    train: TrainSettings = TrainSettings()
    evaluation: EvaluationSettings = EvaluationSettings()


def load_config(path: Path | None, overrides: Sequence[str] = ()) -> Config:
    """Reads the settings that differ from the defaults.

    Args:
        path: YAML file, or None for the defaults alone.
        overrides: `KEY=VALUE` with a dotted key, the value in YAML, e.g.
            `train.epochs=3`; they go before the file.

    Raises:
        UserError: If a setting is unknown or has the wrong type.
    """
    settings = {} if path is None else _read_yaml(path)
    config = _validate(settings, str(path))
    for override in overrides:
        _apply(settings, override)
    return _validate(settings, "--set") if overrides else config


def _validate(settings: dict[str, Any], source: str) -> Config:
    try:
        return Config.model_validate(settings)
    except pydantic.ValidationError as error:
        wrong = "; ".join(map(_describe, error.errors()))
        raise UserError(f"{source}: {wrong}") from error


def dump_config(config: Config) -> str:
    """The resolved settings as YAML that `load_config` reads back unchanged."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


class _Loader(yaml.SafeLoader):
    """Leaves `yes`, `no` and dates words, as YAML 1.2 does; refuses a key twice."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [one for one in resolvers if one[0] not in (BOOL, TIMESTAMP)]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value]
        if len(set(keys)) < len(keys):
            raise yaml.YAMLError(f"a key twice among {', '.join(keys)}")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(BOOL, re.compile("^(?i:true|false)$"), list("tTfF"))


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        settings = yaml.load(path.read_text(encoding="utf-8"), _Loader) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path}: expected a readable YAML file. Received: {reason}"
        ) from error
    if not isinstance(settings, dict):
        raise UserError(
            f"{path}: expected `key: value` settings. Received: {settings!r:.80}"
        )
    # A group whose lines are all commented out.
    return {key: {} if value is None else value for key, value in settings.items()}


def _apply(settings: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise UserError(f"--set: expected KEY=VALUE. Received: {override!r}")
    try:
        value = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"--set {key}: expected YAML. Received: {text!r}") from error
    group = settings
    for part in parts[:-1]:
        group = group.setdefault(part, {})
        if not isinstance(group, dict):
            raise UserError(
                f"--set {key}: `{part}` is no group of settings. Received: {override!r}"
            )
    group[parts[-1]] = value


def _describe(one: Any) -> str:
    where = ".".join(map(str, one["loc"]))
    if one["type"] == "extra_forbidden":
        names = _known_keys()
        nearest = difflib.get_close_matches(where, names, n=1, cutoff=0.0)
        same_leaf = [name for name in names if name.split(".")[-1] == one["loc"][-1]]
        return (
            f"unknown setting `{where}`; the nearest is `{(same_leaf or nearest)[0]}`"
        )
    message = one["msg"].removeprefix("Value error, ")
    message = message.replace("Input should be", "expected")
    message = re.sub(r"dictionary or instance of \w+", "group of settings", message)
    return f"`{where}`: {message}. Received: {one['input']!r:.80}"


def _known_keys() -> list[str]:
    groups = Config.model_fields
    return [*groups] + [
        f"{group}.{name}"
        for group, field in groups.items()
        for name in getattr(field.annotation, "model_fields", {})
    ]
