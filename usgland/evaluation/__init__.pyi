# The public names, each in the module that has it: what type checkers see, and what
# `__init__.py` reads to import a name when it is asked for.
from .audit.findings import audit_published as audit_published
from .baseline.characteristics import table_one as table_one
from .baseline.imputed_estimates import imputed_logistic as imputed_logistic
from .baseline.imputed_estimates import imputed_table_one as imputed_table_one
from .baseline.imputed_estimates import pool_imputations as pool_imputations
from .baseline.missing_values import impute as impute
from .baseline.missing_values import missing_values as missing_values
from .cases.predictions import patient_predictions as patient_predictions
from .cases.predictions import read_predictions as read_predictions
from .cases.thresholds import choose_threshold as choose_threshold
from .comparison.pairs import compare_models as compare_models
from .performance.decision_curve import net_benefit as net_benefit
from .performance.reliability import calibration as calibration
from .performance.reliability import (
    expected_calibration_error as expected_calibration_error,
)
from .performance.smooth_calibration import brier_parts as brier_parts
from .performance.smooth_calibration import smooth_calibration as smooth_calibration
from .performance.subgroup_models import adjusted_difference as adjusted_difference
from .performance.subgroup_models import subgroup_calibration as subgroup_calibration
from .performance.subgroups import subgroups as subgroups
from .planning.model_size import sample_size_development as sample_size_development
from .planning.model_size import sample_size_mrmc as sample_size_mrmc
from .planning.model_size import sample_size_validation as sample_size_validation
from .planning.power import sample_size_auc_difference as sample_size_auc_difference
from .planning.power import (
    sample_size_auc_noninferiority as sample_size_auc_noninferiority,
)
from .planning.power import sample_size_mcnemar as sample_size_mcnemar
from .planning.power import sample_size_noninferiority as sample_size_noninferiority
from .planning.sample_size import sample_size_auc as sample_size_auc
from .planning.sample_size import sample_size_proportion as sample_size_proportion
from .readers.reader_study import reader_study as reader_study
from .readers.readings import read_readers as read_readers
from .statistics.agreement import cohen_kappa as cohen_kappa
from .statistics.agreement import fleiss_kappa as fleiss_kappa
from .statistics.auc_tests import delong_test as delong_test
from .statistics.auc_tests import permutation_test as permutation_test
from .statistics.auc_tests import unpaired_delong_test as unpaired_delong_test
from .statistics.families import holm as holm
from .statistics.graded_agreement import gwet_agreement as gwet_agreement
from .statistics.graded_agreement import (
    intraclass_correlation as intraclass_correlation,
)
from .statistics.graded_agreement import weighted_kappa as weighted_kappa
from .statistics.intervals import auc_interval as auc_interval
from .statistics.intervals import proportion_interval as proportion_interval
from .statistics.measured_cases import bootstrap_interval as bootstrap_interval
from .statistics.measured_cases import measures as measures
from .statistics.paired_tests import average_precision_test as average_precision_test
from .statistics.paired_tests import net_benefit_test as net_benefit_test
from .statistics.paired_tests import predictive_value_test as predictive_value_test
from .statistics.random_effects import random_effects as random_effects
from .statistics.reader_estimates import mrmc as mrmc
from .statistics.reclassification import reclassification as reclassification
from .statistics.roc_curves import roc_points as roc_points
from .statistics.roc_regions import partial_auc as partial_auc
from .statistics.roc_regions import sensitivity_at as sensitivity_at
from .statistics.scores import roc_auc as roc_auc
from .statistics.share_tests import mcnemar_test as mcnemar_test
from .statistics.site_measures import several_sites as several_sites
