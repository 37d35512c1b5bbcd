"""The frozen, validated settings of one experiment.

The defaults are the recommended recipe (`configs/squeeze.yaml`); a file in
`configs/` and every `--set` name only what differs from them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml

from usgland.errors import UserError
from usgland.recipe import AugmentationSettings, TrainSettings
from usgland.schema import LEAKS, ClinicalSettings
from usgland.settings import (
    AbsolutePath,
    AutoOrCount,
    Fraction,
    Inside,
    Percentile,
    Seed,
    Settings,
    Words,
    apply_override,
    read_yaml,
    shipped_file,
    validate,
)
from usgland.table_files import normalize_word

PointMethod = Literal["youden", "half", "sensitivity", "specificity", "cost"]
# The keys of `usgland.models.backbones.BACKBONES`, known here without Keras.
BackboneName = Literal[
    "squeezenet1_1",
    "squeezenet1_0",
    "efficientnet_lite0",
    "mobilenet_v2",
    "vgg16",
    "resnet101",
]

ULTRASOUND = "ultrasound"  # of `model.weights`
PICTURE_TO_VIEW = 10 / 7
# Files of `configs/` that `--config` takes by their names, from every folder.
PRESETS = (
    *("squeeze", "paper", "efficientnet_lite0", "mobilenet_v2", "vgg16", "resnet101"),
    "breast_usg",
)


def _absolute(weights: str) -> str:
    named = weights in ("imagenet", ULTRASOUND)
    return weights if named else str(Path(weights).absolute())


# Words of a table may be numbers: `ignore_labels: [2]`.
class DataSettings(Settings, coerce_numbers_to_str=True):
    """Which images, and how the columns of their manifest are read."""

    # CSV or .xlsx of one row an image; null: the embedded synthetic phantoms.
    manifest: AbsolutePath | None = None
    # The same of one row a patient, with the clinical columns; null: the manifest's.
    forms: AbsolutePath | None = None
    # Our column name -> the table's, where they differ, e.g. {label: diagnosis}.
    columns: dict[str, str] = {}
    # Word in the label column -> 0 benign, 1 malignant. Case and spaces are ignored.
    label_words: dict[str, Literal[0, 1]] = {
        "benign": 0,
        "malignant": 1,
        "0": 0,
        "1": 1,
    }
    # Rows with these labels are left out, e.g. [normal].
    ignore_labels: Words = ()
    # Rows with these labels show no lesion, e.g. [normal]: they teach the lesion map
    # where there is none, stand in no other part, and nothing scores them.
    no_lesion_labels: Words = ()
    # Only rows whose column has this value are used, e.g. {keep: "1"}.
    where: dict[str, str | bool | int | float] = {}
    # Where training keeps its preprocessed pictures, 102 kB each at 320 pixels: memory;
    # disk (the cache folder); none (decoded in every epoch); auto: memory up to a
    # quarter of what there is, else disk where it has room, else none.
    cache: Literal["auto", "memory", "disk", "none"] = "auto"
    # A patient with a benign and a malignant image is an error unless true.
    allow_patients_with_two_labels: bool = False

    @pydantic.model_validator(mode="after")
    def _labels_mean_one_thing(self) -> "DataSettings":
        classes = set(map(normalize_word, self.label_words))
        both = [w for w in self.no_lesion_labels if normalize_word(w) in classes]
        if both:
            raise ValueError(
                f"no_lesion_labels: {both[0]!r} is a class of data.label_words, too"
            )
        return self


class SplitSettings(Settings):
    """Who trains, who chooses, who tests: patients, never images.

    A `split` or `fold` column of the manifest goes before all of these but `file`.
    """

    # A splits.csv of an earlier run to follow to the letter.
    file: AbsolutePath | None = None
    # fractions: a stratified draw; balanced: the paper's draw of patients per class.
    protocol: Literal["fractions", "balanced"] = "fractions"
    test_fraction: Fraction = 0.2
    # Of all patients; of the rest for balanced and cv. 0: whoever is not test trains,
    # the last epoch is kept, and threshold and calibration are chosen out of fold.
    val_fraction: Fraction = 0.15
    balanced_train_per_class: pydantic.PositiveInt = 66
    balanced_test_benign: pydantic.PositiveInt = 21
    balanced_test_malignant: pydantic.PositiveInt = 20
    folds: Annotated[int, pydantic.Field(ge=2)] = 5  # of `usgland cv`
    # A column, e.g. site, each of whose values is a fold of `usgland cv`.
    by: str | None = None
    seed: Seed = 0


class PreprocessingSettings(Settings):
    """What the saved model does to an image before the first learned layer."""

    # What the network sees, a view of the picture: pixels, both sides.
    image_size: Annotated[int, pydantic.Field(ge=64)] = 224
    # The picture that is kept of an image, from which views are drawn; auto: 10/7 of
    # image_size, 320 for 224, so that a view of a part of it is sharp.
    picture_size: AutoOrCount = "auto"
    # Grey levels at these percentiles become black and white; null: left as they are.
    grey_percentiles: tuple[Percentile, Percentile] | None = (1.0, 99.0)
    speckle_filter: Literal["none", "median3", "median5"] = "none"

    @pydantic.field_validator("grey_percentiles")
    @classmethod
    def _ascend(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[0] >= value[1]:
            raise ValueError("the first percentile must be below the second")
        return value

    @pydantic.model_validator(mode="after")
    def _pictures_hold_a_view(self) -> "PreprocessingSettings":
        if self.picture_side < self.image_size:
            raise ValueError(
                f"picture_size must be auto or at least image_size, {self.image_size}"
            )
        return self

    @property
    def picture_side(self) -> int:
        """Side of the picture, pixels; what `picture_size` stands for."""
        if self.picture_size == "auto":
            return round(PICTURE_TO_VIEW * self.image_size)
        return self.picture_size


class ModelSettings(Settings):
    """The network."""

    inputs: Literal["image", "clinical", "both"] = "image"
    # How image and form are joined: side by side; weighed against each other; the
    # form scales and shifts what the image says; a weighted mean of two logits; offset:
    # a logistic regression, and what inner folds show that the image adds (docs).
    fusion: Literal["concat", "gated", "film", "late", "offset"] = "concat"
    clinical_units: pydantic.PositiveInt = 16  # width of what each side hands on
    # Chance of a training case to lose its image, and the same for its form, so that
    # one model answers with either alone.
    modality_dropout: Annotated[float, pydantic.Field(ge=0, lt=0.5)] = 0.2
    value_dropout: Fraction = 0.1  # chance of each value of the form to be missing
    backbone: BackboneName = "squeezenet1_1"
    # Width of MobileNetV2; the other backbones have one width.
    alpha: pydantic.PositiveFloat = 1.0
    # imagenet | ultrasound (has learned from BUSI and BrEaST) | a weights file | a run
    # directory | null (start from random)
    weights: Annotated[str, pydantic.AfterValidator(_absolute)] | None = "imagenet"
    dropout: Fraction = 0.5
    # Learns where the lesion is from the images that are marked, and looks there. With
    # it a network holds in other hospitals. No mark is needed for a prediction.
    lesion_head: bool = True
    # At prediction the lesion that the head finds is looked at again, from nearer, and
    # the logits of both views are averaged: twice the time.
    second_view: bool = True
    # At prediction each view is looked at in a mirror as well: twice the time.
    mirror: bool = False


class EvaluationSettings(Settings):
    """How predictions become decisions and measures."""

    # What the validation part makes of a logit: logit / T, or slope and intercept.
    calibration: Literal["none", "temperature", "platt"] = "temperature"
    # Where the validation part puts the threshold on P(malignant), calibrated.
    operating_point: PointMethod = "youden"
    # Further points whose measures are shown beside; the one above is not shown twice.
    further_points: tuple[PointMethod, ...] = ("youden", "sensitivity", "specificity")
    target_sensitivity: Inside = 0.95  # of the point `sensitivity`
    target_specificity: Inside = 0.95
    # Of the point `cost`: how often worse a malignant case called benign is than a
    # benign one called malignant, at this share of malignant cases (null: as found).
    cost_ratio: pydantic.PositiveFloat = 5.0
    prevalence: Inside | None = None
    prevalences: tuple[Inside, ...] = ()  # at which predictive values are also given
    proportion_interval: Literal["wilson", "clopper_pearson"] = "wilson"
    # Intervals of what has no closed form; the bootstraps draw patients.
    bootstrap: Literal["jackknife", "percentile", "bca"] = "jackknife"
    confidence_level: Inside = 0.95
    bootstrap_resamples: pydantic.NonNegativeInt = 2000
    seed: Seed = 0


class Config(Settings):
    """One experiment."""

    data: DataSettings = DataSettings()
    split: SplitSettings = SplitSettings()
    preprocessing: PreprocessingSettings = PreprocessingSettings()
    clinical: ClinicalSettings = ClinicalSettings()
    model: ModelSettings = ModelSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    train: TrainSettings = TrainSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    @property
    def has_lesion_head(self) -> bool:
        """Whether the network draws where the lesion is."""
        return self.model.lesion_head and self.model.inputs != "clinical"

    @property
    def has_later_views(self) -> bool:
        """Whether a prediction is of more than one view of an image."""
        second = self.has_lesion_head and self.model.second_view
        return second or (self.model.mirror and self.model.inputs != "clinical")

    @property
    def keeps_last(self) -> bool:
        """Whether the last epoch is kept: also where nobody is held back to judge."""
        return self.train.keep == "last" or not self.holds_back

    @property
    def holds_back(self) -> bool:
        """Whether patients are held back from training to choose and calibrate by."""
        return self.split.val_fraction > 0

    @pydantic.model_validator(mode="after")
    def _groups_fit(self) -> "Config":
        if self.train.early_stopping_epochs is not None and not self.holds_back:
            raise ValueError(
                "train.early_stopping_epochs needs a split.val_fraction above 0"
            )
        if self.model.inputs == "image":
            if self.augmentation.mixup and self.model.lesion_head:
                raise ValueError("augmentation.mixup needs model.lesion_head=false")
            return self
        if not self.clinical.used():
            raise ValueError(
                f"model.inputs={self.model.inputs} needs a column of the form; see "
                "clinical.columns, clinical.roles and clinical.leave_out"
            )
        if self.augmentation.mixup:
            raise ValueError("augmentation.mixup needs model.inputs=image")
        theirs = [self.data.columns.get(name, name) for name in self.clinical.used()]
        twice = sorted({name for name in theirs if theirs.count(name) > 1})
        if twice:
            raise ValueError(
                f"data.columns: two columns of the form read `{twice[0]}` of the table"
            )
        for name, other in self.data.columns.items():
            if (
                name in self.clinical.used()
                and LEAKS.search(other.lower())
                and name not in self.clinical.allow_leaks
            ):
                raise ValueError(
                    f"data.columns.{name}: `{other}` would give the label away; name "
                    f"{name!r} in clinical.allow_leaks if it must be"
                )
        return self


def load_config(
    path: str | Path | None = None, overrides: Sequence[str] = ()
) -> Config:
    """Reads the settings that differ from the defaults.

    Args:
        path: YAML file, name of a file of `configs/` such as `paper`, or None for the
            defaults alone.
        overrides: `KEY=VALUE` with a dotted key, the value in YAML, e.g.
            `train.epochs=3`; they go before the file.

    Raises:
        UserError: If there is no such file, or a setting is unknown or has the wrong
            type.

    Example:
        >>> import usgland
        >>> usgland.load_config(overrides=["train.epochs=3"]).train.epochs
        3
    """
    settings = {} if path is None else read_yaml(_settings_file(Path(path)))
    _name_what_was_not(settings)
    config = validate(Config, settings, str(path), _known_keys)
    for override in overrides:
        apply_override(settings, override)
    return validate(Config, settings, "--set", _known_keys) if overrides else config


def _name_what_was_not(settings: dict[str, Any]) -> None:
    """Gives a run that was made before there were pictures and views its meaning.

    The settings of a run name all groups, and those of such a run no `picture_size`.
    """
    if Config.model_fields.keys() <= settings.keys():
        preprocessing = settings["preprocessing"]
        if isinstance(preprocessing, dict) and "picture_size" not in preprocessing:
            meant = {
                "preprocessing": {"picture_size": preprocessing.get("image_size", 224)},
                "augmentation": {"equalize_size": 0.0},
                "model": {"lesion_head": False},
            }
            for group, values in meant.items():
                if isinstance(settings[group], dict):  # Else it is told later.
                    settings[group] = values | settings[group]


def _settings_file(path: Path) -> Path:
    """A file, or the one of `configs/` that a bare word such as `paper` names."""
    if path.is_file() or path.suffix or len(path.parts) != 1:
        return path
    preset = shipped_file(f"{path}.yaml")
    if path.name not in PRESETS or not preset.is_file():
        raise UserError(
            f"{path}: expected a YAML file or one of {', '.join(PRESETS)}. "
            "Received: neither"
        )
    return preset


def dump_config(config: Config) -> str:
    """The resolved settings as YAML that `load_config` reads back unchanged."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _known_keys(_: Sequence[Any]) -> list[str]:
    groups = Config.model_fields
    return [*groups] + [
        f"{group}.{name}"
        for group, field in groups.items()
        for name in getattr(field.annotation, "model_fields", {})
    ]


def forced_leaks(config: Config) -> list[str]:
    """Columns of the form that were used though their names say they know the label."""
    if config.model.inputs == "image":
        return []
    return [n for n in config.clinical.allow_leaks if n in config.clinical.used()]
