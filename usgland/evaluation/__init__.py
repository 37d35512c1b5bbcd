"""Statistics of diagnostic accuracy, of arrays and tables, for a notebook.

    import usgland.evaluation as ev

Read
    read_predictions                a table of predictions, one row an image, checked
    patient_predictions             of each patient, from those of the images
    read_readers                    a table of readers' calls or scores, checked

Who was studied, and how many must be
    table_one                       what groups of patients have in common
    sample_size_proportion          to know a sensitivity or specificity so well
    sample_size_auc                 to know an AUC so well
    sample_size_mcnemar             to find two sensitivities to differ
    sample_size_auc_difference      to find two AUCs to differ
    sample_size_noninferiority      to show a sensitivity not lower by a margin
    sample_size_auc_noninferiority  to show an AUC not lower by a margin

One model
    choose_threshold                where P(malignant) becomes a call, on validation
    measures                        sensitivity, PPV, AUC and others, with intervals
    roc_auc                         area under the ROC curve
    roc_points                      the ROC curve
    auc_interval                    of an AUC: DeLong, clustered by patient
    proportion_interval             of a share: Wilson or Clopper-Pearson
    bootstrap_interval              of any measure, patients drawn
    calibration                     slope, calibration-in-the-large, reliability curve
    expected_calibration_error      how far probabilities are from shares
    net_benefit                     what acting on a model is worth
    subgroups                       measures by device, sex, age band

Two models or more
    delong_test                     AUCs on the same cases
    unpaired_delong_test            AUCs on different cases
    permutation_test                AUCs on the same cases, by swapping the models
    mcnemar_test                    sensitivities, specificities or accuracies
    holm                            P values adjusted for their number
    compare_models                  all of these, of every pair of models

Readers
    cohen_kappa                     how two readers agree beyond chance
    fleiss_kappa                    how several readers do
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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from usgland.evaluation.audit.findings import (
        audit_published as audit_published,
    )
    from usgland.evaluation.baseline.characteristics import (
        table_one as table_one,
    )
    from usgland.evaluation.cases.predictions import (
        patient_predictions as patient_predictions,
        read_predictions as read_predictions,
    )
    from usgland.evaluation.cases.thresholds import (
        choose_threshold as choose_threshold,
    )
    from usgland.evaluation.comparison.pairs import (
        compare_models as compare_models,
    )
    from usgland.evaluation.performance.decision_curve import (
        net_benefit as net_benefit,
    )
    from usgland.evaluation.performance.reliability import (
        calibration as calibration,
        expected_calibration_error as expected_calibration_error,
    )
    from usgland.evaluation.performance.subgroups import (
        subgroups as subgroups,
    )
    from usgland.evaluation.planning.power import (
        sample_size_auc_difference as sample_size_auc_difference,
        sample_size_auc_noninferiority as sample_size_auc_noninferiority,
        sample_size_mcnemar as sample_size_mcnemar,
        sample_size_noninferiority as sample_size_noninferiority,
    )
    from usgland.evaluation.planning.sample_size import (
        sample_size_auc as sample_size_auc,
        sample_size_proportion as sample_size_proportion,
    )
    from usgland.evaluation.readers.reader_study import (
        reader_study as reader_study,
    )
    from usgland.evaluation.readers.readings import (
        read_readers as read_readers,
    )
    from usgland.evaluation.statistics.agreement import (
        cohen_kappa as cohen_kappa,
        fleiss_kappa as fleiss_kappa,
    )
    from usgland.evaluation.statistics.auc_tests import (
        delong_test as delong_test,
        permutation_test as permutation_test,
        unpaired_delong_test as unpaired_delong_test,
    )
    from usgland.evaluation.statistics.families import (
        holm as holm,
    )
    from usgland.evaluation.statistics.intervals import (
        auc_interval as auc_interval,
        proportion_interval as proportion_interval,
    )
    from usgland.evaluation.statistics.measured_cases import (
        bootstrap_interval as bootstrap_interval,
        measures as measures,
    )
    from usgland.evaluation.statistics.reader_estimates import (
        mrmc as mrmc,
    )
    from usgland.evaluation.statistics.roc_curves import (
        roc_points as roc_points,
    )
    from usgland.evaluation.statistics.scores import (
        roc_auc as roc_auc,
    )
    from usgland.evaluation.statistics.share_tests import (
        mcnemar_test as mcnemar_test,
    )
else:
    # Public name -> the module that has it, imported when the name is asked for.
    MODULES = {
        "read_predictions": "cases.predictions",
        "patient_predictions": "cases.predictions",
        "read_readers": "readers.readings",
        "table_one": "baseline.characteristics",
        "sample_size_proportion": "planning.sample_size",
        "sample_size_auc": "planning.sample_size",
        "sample_size_mcnemar": "planning.power",
        "sample_size_auc_difference": "planning.power",
        "sample_size_noninferiority": "planning.power",
        "sample_size_auc_noninferiority": "planning.power",
        "choose_threshold": "cases.thresholds",
        "measures": "statistics.measured_cases",
        "roc_auc": "statistics.scores",
        "roc_points": "statistics.roc_curves",
        "auc_interval": "statistics.intervals",
        "proportion_interval": "statistics.intervals",
        "bootstrap_interval": "statistics.measured_cases",
        "calibration": "performance.reliability",
        "expected_calibration_error": "performance.reliability",
        "net_benefit": "performance.decision_curve",
        "subgroups": "performance.subgroups",
        "delong_test": "statistics.auc_tests",
        "unpaired_delong_test": "statistics.auc_tests",
        "permutation_test": "statistics.auc_tests",
        "mcnemar_test": "statistics.share_tests",
        "holm": "statistics.families",
        "compare_models": "comparison.pairs",
        "cohen_kappa": "statistics.agreement",
        "fleiss_kappa": "statistics.agreement",
        "mrmc": "statistics.reader_estimates",
        "reader_study": "readers.reader_study",
        "audit_published": "audit.findings",
    }
    __all__ = list(MODULES)

    def __dir__():
        return __all__

    def __getattr__(name):
        if name not in MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = importlib.import_module(f"{__name__}.{MODULES[name]}")
        globals()[name] = getattr(module, name)
        return globals()[name]
