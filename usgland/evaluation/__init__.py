"""Statistics of diagnostic accuracy, of arrays and tables, for a notebook.

    import usgland.evaluation as ev

Read
    read_predictions                a table of predictions, one row an image, checked
    patient_predictions             of each patient, from those of the images
    read_readers                    a table of readers' calls or scores, checked

Who was studied, and how many must be
    table_one                       what groups of patients have in common
    missing_values                  of each column, by label
    impute                          copies in which they are filled in
    imputed_table_one               Table 1 of such copies, by Rubin's rules
    imputed_logistic                a logistic regression on a form, likewise
    pool_imputations                any estimate, likewise
    sample_size_proportion          to know a sensitivity or specificity so well
    sample_size_auc                 to know an AUC so well
    sample_size_mcnemar             to find two sensitivities to differ
    sample_size_auc_difference      to find two AUCs to differ
    sample_size_noninferiority      to show a sensitivity not lower by a margin
    sample_size_auc_noninferiority  to show an AUC not lower by a margin
    sample_size_development         to make a model of a form (Riley)
    sample_size_validation          to validate a model elsewhere (Riley)
    sample_size_mrmc                to find two ways of reading to differ

One model
    choose_threshold                where P(malignant) becomes a call, on validation
    measures                        sensitivity, PPV, AUC and others, with intervals
    roc_auc                         area under the ROC curve
    roc_points                      the ROC curve
    sensitivity_at                  what a fixed specificity leaves, with its interval
    partial_auc                     AUC of high specificities alone, with its interval
    auc_interval                    of an AUC: DeLong, clustered by patient
    proportion_interval             of a share: Wilson or Clopper-Pearson
    bootstrap_interval              of any measure, patients drawn
    calibration                     slope, calibration-in-the-large, reliability curve
    smooth_calibration              curve without bins, its band; ICI, E50, E90
    brier_parts                     Brier score, scaled, and what it is made of
    expected_calibration_error      how far probabilities are from shares
    net_benefit                     what acting on a model is worth
    subgroups                       measures by device, sex, age band
    subgroup_calibration            calibration of each, and whether they differ
    adjusted_difference             of sensitivity or specificity, for other columns

Several sites
    several_sites                   AUC and calibration of each, and at a new one
    random_effects                  of any measure with its standard errors

Two models or more
    delong_test                     AUCs on the same cases
    unpaired_delong_test            AUCs on different cases
    permutation_test                AUCs on the same cases, by swapping the models
    mcnemar_test                    sensitivities, specificities or accuracies
    predictive_value_test           PPV or NPV on the same cases
    net_benefit_test                net benefit at a threshold on the same cases
    average_precision_test          average precision on the same cases
    holm                            P values adjusted for their number
    compare_models                  all of these, of every pair of models

Readers
    cohen_kappa                     how two readers agree beyond chance
    fleiss_kappa                    how several readers do
    weighted_kappa                  how two readers agree in grades
    gwet_agreement                  AC1 and AC2 of several, not all reading all
    intraclass_correlation          of scores
    reclassification                NRI and IDI of help, with their caveat
    mrmc                            two modalities, several readers: Obuchowski-Rockette
    reader_study                    all of these, and against a model

What was published
    audit_published                 which cases and tests can give printed measures

Labels are 0 benign or 1 malignant (or bool), scores are higher where a case is more
suspicious, and probabilities are P(malignant). Where `patient_ids` are given, patients
with several cases are counted as patients. Results are named tuples, or tables where
rows are many. What cannot be computed is NaN, and a `reason` says why; a mistake in an
argument is a `ValueError`, one in a file a `UserError`.

`docs/python.md` in the repository shows a whole analysis.
"""

import importlib
import re
from pathlib import Path

# Public name -> the module that has it, as type checkers see it.
MODULES = {
    name: module
    for module, name in re.findall(
        r"from (\S+) import \(?\s*(\w+) as",
        Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"),
    )
}
__all__ = sorted(MODULES)


def __dir__():
    return __all__


def __getattr__(name):
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(MODULES[name], __name__)
    globals()[name] = getattr(module, name)
    return globals()[name]
