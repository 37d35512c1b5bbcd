"""The whole model: an image file, a clinical form or both in, P(malignant) out."""

from typing import Any

import keras

from usgland.config import Config
from usgland.models import backbones
from usgland.models.clinical import ClinicalEncoding, IsGiven
from usgland.models.fusion import OFFSET, fuse
from usgland.models.lesion_head import MAP, LesionPooling, lesion_map
from usgland.models.preprocessing import Preprocessing
from usgland.models.views import WholeView

# Other parts of the package look for these layers by name.
INPUT = "image_bytes"
PREPROCESSING = "preprocessing"
VIEW = "view"
ENCODING = "clinical_encoding"
HAS_IMAGE = "has_image"
POOLED = "mean"
LOGIT = "logit"
PROBABILITY = "probability"
# Where a part of a classifier begins: name of its input -> tensor of the graph.
Cut = dict[str, keras.KerasTensor]


def build_classifier(
    config: Config, encoding: list[dict[str, Any]] | None = None
) -> keras.Model:
    """Builds the network of the settings, with its starting weights.

    One flat graph. Image: preprocessing, pixel scaling, backbone, mean of the feature
    map over the image, dropout. Form: encoding, one layer of ReLU units, dropout. Then
    one logit, from either or from both (see `usgland.models.fusion`), and a sigmoid.
    There is no ReLU before the sigmoid (the original SqueezeNet has one before its
    softmax): it would clip every negative logit to 0 and so keep P(malignant) from
    falling below one half.

    Args:
        config: Gives `preprocessing`, `model` and the seed of the new weights.
        encoding: What `learn_encoding` took from the training patients; needed
            unless `model.inputs` is `image`.

    Returns:
        Maps `image_bytes`, strings `(batch,)`, to `probability`, P(malignant) in
        [0, 1], `(batch, 1)` float32. With a form its input is a dict of `image_bytes`
        (unless `model.inputs` is `clinical`) and one tensor a column, `(batch,)`; an
        empty string, or NaN, is a value that is missing.

    Raises:
        UserError: If the starting weights are missing or of another network.
        ValueError: If there is a form and no encoding.
    """
    settings = config.model
    keras.utils.set_random_seed(config.train.seed)
    inputs: dict[str, keras.KerasTensor] = {}
    if settings.inputs != "clinical":
        inputs[INPUT] = keras.Input((), dtype="string", name=INPUT)
        image = _image_branch(inputs[INPUT], config)
    if settings.inputs != "image":
        if encoding is None:
            raise ValueError("`encoding` must be given where there is a form")
        columns = _form_inputs(encoding)
        inputs |= columns
        form, form_given = _form_branch(list(columns.values()), encoding, config)
    if settings.inputs == "both":
        image_given = IsGiven(name=HAS_IMAGE)(inputs[INPUT])
        sides = (image, form, image_given, form_given)
        units = settings.clinical_units
        logit = fuse(*sides, fusion=settings.fusion, units=units, name=LOGIT)
    else:
        # From zero every case starts at one half, and the first step moves this layer
        # alone. Drawn weights on features of this size would start far off.
        logit = keras.layers.Dense(
            1, kernel_initializer="zeros", dtype="float32", name=LOGIT
        )(image if settings.inputs == "image" else form)
    sigmoid = keras.layers.Activation("sigmoid", dtype="float32", name=PROBABILITY)
    taken = inputs[INPUT] if settings.inputs == "image" else inputs
    model = keras.Model(taken, sigmoid(logit), name="usgland")
    if settings.weights is not None and settings.inputs != "clinical":
        backbones.load_weights(
            model, settings.backbone, settings.weights, settings.alpha
        )
    return model


def _image_branch(image_bytes: keras.KerasTensor, config: Config) -> keras.KerasTensor:
    settings = config.model
    pixels = Preprocessing(
        config.preprocessing.picture_side,
        config.preprocessing.grey_percentiles,
        config.preprocessing.speckle_filter,
        allow_empty=settings.inputs == "both",
        name=PREPROCESSING,
    )(image_bytes)
    view = WholeView(
        config.preprocessing.image_size,
        second_view=settings.lesion_head and settings.second_view,
        mirror=settings.mirror,
        name=VIEW,
    )(pixels)
    x = backbones.scale_pixels(view, settings.backbone)
    backbone = backbones.BACKBONES[settings.backbone]
    x = backbone.build(x, settings.alpha)
    if settings.lesion_head:
        earlier = keras.Model(view, x).get_layer(backbone.earlier).output
        x = LesionPooling(name=POOLED)([x, lesion_map(x, earlier)])
    else:
        x = keras.layers.GlobalAveragePooling2D(name=POOLED)(x)
    seed = config.train.seed
    return keras.layers.Dropout(settings.dropout, seed=seed, name="dropout")(x)


def _form_inputs(encoding: list[dict[str, Any]]) -> dict[str, keras.KerasTensor]:
    return {
        column["name"]: keras.Input(
            (),
            dtype="float32" if column["kind"] == "number" else "string",
            name=column["name"],
        )
        for column in encoding
    }


def _form_branch(
    columns: list[keras.KerasTensor], encoding: list[dict[str, Any]], config: Config
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    encode = ClinicalEncoding(encoding, name=ENCODING, dtype="float32")
    features, form_given = encode(columns)
    if config.model.inputs == "both" and config.model.fusion == OFFSET:
        return features, form_given  # as a logistic regression takes them
    x = keras.layers.Dense(
        config.model.clinical_units, activation="relu", name="clinical_units"
    )(features)
    dropout = keras.layers.Dropout(
        config.model.dropout, seed=config.train.seed + 1, name="clinical_dropout"
    )
    return dropout(x), form_given


def pixels_to_logit(model: keras.Model) -> keras.Model:
    """The learned part of a classifier, which shares its layers and weights.

    `layer.output` of a shared layer is still its place in `model`. What looks layers
    up that way, as tf-keras-vis does, needs a `keras.models.clone_model` of this, and
    `set_weights`.

    Returns:
        Maps preprocessed pixels `(batch, size, size, 1)` in [0, 255], uint8 or float,
        to the logit of P(malignant), `(batch, 1)` float32. Of a classifier with a form
        it takes a tuple: pixels (unless it takes the form alone), the form's features
        `(batch, features)` and, of both, whether image and form are given, 1 or 0,
        `(batch, 1)` each.
    """
    cut = _image_cut(model, PREPROCESSING, "pixels") | _form_cut(model)
    return _part(model, cut, "pixels_to_logit")


def view_network(model: keras.Model) -> keras.Model:
    """What training fits: like `pixels_to_logit`, of views in place of pictures.

    A view is `(batch, size, size, 1)` in [0, 255], of `preprocessing.image_size`. With
    a lesion head it gives a list: the logit, and the head's logits, float32 `(batch,
    side, side, 1)`.
    """
    cut = _image_cut(model, _view_layer(model), "view") | _form_cut(model)
    logit = model.get_layer(LOGIT).output
    ends = [logit, model.get_layer(MAP).output] if has_head(model) else logit
    return _part(model, cut, "view_network", ends)


def pooled_to_logit(model: keras.Model) -> keras.Model:
    """The last, small part of a classifier: from what the image branch says.

    Like `pixels_to_logit`, with the mean of the feature map, `(batch, channels)`, in
    place of the pixels.
    """
    cut = _image_cut(model, POOLED, "pooled") | _form_cut(model)
    return _part(model, cut, "pooled_to_logit")


def pixels_to_pooled(model: keras.Model) -> keras.Model:
    """The image branch: preprocessed pixels to the mean of the feature map."""
    cut = _image_cut(model, PREPROCESSING, "pixels")
    return _part(model, cut, "pixels_to_pooled", model.get_layer(POOLED).output)


def view_to_feature_map(model: keras.Model) -> keras.Model:
    """A view to what is pooled.

    That is the last feature map or, with a lesion head, a list of it and of the head's
    logits.
    """
    cut = _image_cut(model, _view_layer(model), "view")
    end = model.get_layer(POOLED).input
    return _part(model, cut, "view_to_feature_map", end)


def inputs_of_network(model: keras.Model) -> keras.Model:
    """From what a classifier takes to what `pixels_to_logit` does, a list."""
    cut = _image_cut(model, PREPROCESSING, "pixels") | _form_cut(model)
    return keras.Model(model.input, list(cut.values()))


def has_head(model: keras.Model) -> bool:
    """Whether a classifier draws where the lesion is."""
    return MAP in layer_names(model)


def layer_names(model: keras.Model) -> list[str]:
    """The names of the layers, which tell what a classifier takes."""
    return [layer.name for layer in model.layers]


def image_layers(model: keras.Model, config: Config) -> list[str]:
    """Names of the layers of the image branch that have weights."""
    if PREPROCESSING not in layer_names(model):
        return []
    return backbones.backbone_layers(config.model.backbone, config.model.alpha)


def _view_layer(model: keras.Model) -> str:
    """The picture is the view of a model that was made before there were views."""
    return VIEW if VIEW in layer_names(model) else PREPROCESSING


def _image_cut(model: keras.Model, layer: str, name: str) -> Cut:
    """A layer of the image branch; nothing of a model of the form alone."""
    has_image = PREPROCESSING in layer_names(model)
    return {name: model.get_layer(layer).output} if has_image else {}


def _form_cut(model: keras.Model) -> Cut:
    names = layer_names(model)
    if ENCODING not in names:
        return {}
    features, form_given = model.get_layer(ENCODING).output
    if HAS_IMAGE not in names:
        return {"features": features}
    image_given = model.get_layer(HAS_IMAGE).output
    return {"features": features, "image_given": image_given, "form_given": form_given}


def _part(
    model: keras.Model,
    cut: Cut,
    name: str,
    output: keras.KerasTensor | list[keras.KerasTensor] | None = None,
) -> keras.Model:
    """The graph from a cut to the logit, or to another place, on inputs of its own."""
    tensors = tuple(cut.values())
    end = model.get_layer(LOGIT).output if output is None else output
    part = keras.Model(tensors if len(tensors) > 1 else tensors[0], end, name=name)
    # The tensors of the cut themselves would round augmented pixels to uint8.
    inputs = tuple(
        keras.Input(tensor.shape[1:], dtype="float32", name=input_name)
        for input_name, tensor in cut.items()
    )
    return keras.models.clone_model(
        part,
        input_tensors=inputs if len(inputs) > 1 else inputs[0],
        clone_function=lambda layer: layer,
    )
