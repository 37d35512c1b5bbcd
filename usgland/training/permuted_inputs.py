"""What a trained model says when a value of the form belongs to somebody else."""

import keras
import numpy as np

from usgland.models.classifier import pixels_to_pooled, pooled_to_logit
from usgland.training.parts import Form, Part
from usgland.training.predict import apply_network, predict_inputs

PERMUTATIONS = 50


def permuted_logits(
    model: keras.Model, part: Part, patient_ids: np.ndarray, *, seed: int
) -> dict[str, np.ndarray]:
    """The logits of held-out cases with one column of another patient each time.

    All images of a patient get the value of the same other patient, so that a patient
    stays one patient.

    Returns:
        Name -> logits. `as it is` `(1, cases)`; every column, `whole form` and, where
        there is an image, `image`: `(PERMUTATIONS, cases)` each; then also
        `form withheld` and `image withheld` `(1, cases)`.
    """
    if part.form is None:
        raise ValueError("`part` must have a form. Received: images alone")
    head, form = pooled_to_logit(model), part.form
    pooled = None
    if part.pixels is not None:
        pooled = apply_network(pixels_to_pooled(model), part.pixels)

    donors = _donors(patient_ids, seed)
    cases = len(patient_ids)
    own = np.broadcast_to(np.arange(cases), donors.shape)

    def ask(
        features: np.ndarray, forms: np.ndarray, images: np.ndarray, without: str | None
    ) -> np.ndarray:
        """Logits of features with the forms' and images' owners, as row numbers."""
        borrowed = Form(
            features.reshape(-1, features.shape[-1]),
            form.presence[forms.ravel()],
            form.missing,
            form.columns,
        )
        pixels = None if pooled is None else pooled[images.ravel()]
        part = Part(pixels, np.empty(0), borrowed)
        return predict_inputs(head, part.inputs(without)).reshape(-1, cases)

    as_it_is = form.features[None]
    logits = {"as it is": ask(as_it_is, own[:1], own[:1], None)}
    for name in dict.fromkeys(form.columns):
        block = np.array(form.columns) == name
        features = np.where(block, form.features[donors], form.features)
        logits[name] = ask(features, own, own, None)
    if pooled is None:
        return logits
    logits["whole form"] = ask(form.features[donors], donors, own, None)
    logits["image"] = ask(form.features[own], own, donors, None)
    for side in ("form", "image"):
        logits[f"{side} withheld"] = ask(as_it_is, own[:1], own[:1], side)
    return logits


def _donors(patient_ids: np.ndarray, seed: int) -> np.ndarray:
    """Whose values each case gets, as row numbers, `(PERMUTATIONS, cases)`."""
    patients, patient = np.unique(patient_ids.astype(str), return_inverse=True)
    cases = [np.flatnonzero(patient == number) for number in range(len(patients))]
    rank = np.zeros(len(patient), int)
    for own in cases:
        rank[own] = np.arange(len(own))
    rng = np.random.default_rng(seed)
    donors = np.zeros((PERMUTATIONS, len(patient)), int)
    for row in donors:
        order = rng.permutation(len(patients))
        for case, (person, number) in enumerate(zip(patient, rank, strict=True)):
            theirs = cases[order[person]]
            row[case] = theirs[number % len(theirs)]
    return donors
