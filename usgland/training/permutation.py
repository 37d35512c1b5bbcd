"""What a trained model says when a value of the form belongs to somebody else."""

import keras
import numpy as np

from usgland.models.classifier import pixels_to_pooled, pooled_to_logit
from usgland.training.parts import Form, Part
from usgland.training.predict import predict_inputs

PERMUTATIONS = 50


def permuted_logits(
    model: keras.Model, part: Part, patient_ids: np.ndarray, *, seed: int
) -> dict[str, np.ndarray]:
    """The logits of held-out cases with one column of another patient each time.

    All images of a patient get the value of the same other patient, so that a patient
    stays one patient.

    Args:
        model: A classifier that takes a form.
        part: Held-out cases, as `read_part` gives them.
        patient_ids: Who each case belongs to, `(cases,)`.
        seed: Of the permutations.

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
        pooled = pixels_to_pooled(model).predict(part.pixels, verbose=0)

    def ask(
        form: Form, pooled: np.ndarray | None, without: str | None = None
    ) -> np.ndarray:
        return predict_inputs(head, Part(pooled, part.labels, form).inputs(without))

    donors = _donors(patient_ids, seed)
    found = {"as it is": ask(form, pooled)[None]}
    names = list(dict.fromkeys(form.columns))
    for name in names:
        block = np.array(form.columns) == name
        logits = []
        for donor in donors:
            features = np.where(block, form.features[donor], form.features)
            logits.append(ask(form._replace(features=features), pooled))
        found[name] = np.stack(logits)
    if pooled is None:
        return found
    found["whole form"] = np.stack(
        [
            ask(
                form._replace(features=form.features[donor], given=form.given[donor]),
                pooled,
            )
            for donor in donors
        ]
    )
    found["image"] = np.stack([ask(form, pooled[donor]) for donor in donors])
    for side in ("form", "image"):
        found[f"{side} withheld"] = ask(form, pooled, side)[None]
    return found


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
        for case, (who, number) in enumerate(zip(patient, rank, strict=True)):
            theirs = cases[order[who]]
            row[case] = theirs[number % len(theirs)]
    return donors
