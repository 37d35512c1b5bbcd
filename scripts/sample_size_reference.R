# Writes what R says of intervals and of pROC's sample sizes; our tests are held against it.
#
#     Rscript scripts/sample_size_reference.R > tests/reference/sample_size.json
#
# Needs pROC (Debian: r-cran-proc). It ran with R and pROC 1.18.0.
suppressPackageStartupMessages(library(pROC))

intervals <- list()
for (case in list(c(18, 20), c(45, 50), c(126, 140), c(80, 100), c(60, 60))) {
  x <- case[1]
  n <- case[2]
  exact <- binom.test(x, n)$conf.int
  wilson <- suppressWarnings(prop.test(x, n, correct = FALSE))$conf.int
  intervals[[length(intervals) + 1]] <- sprintf(
    '{"x": %d, "n": %d, "exact": %.12f, "wilson": %.12f}',
    x, n, diff(exact), diff(wilson)
  )
}
curves <- list()
for (auc in c(0.6, 0.73, 0.9)) {
  for (kappa in c(0.5, 1, 1.7)) {
    found <- power.roc.test(auc = auc, sig.level = 0.05, power = 0.9, kappa = kappa)
    curves[[length(curves) + 1]] <- sprintf(
      '{"auc": %.2f, "kappa": %.1f, "ncases": %.12f}', auc, kappa, found$ncases
    )
  }
}
cat(sprintf('{"proc": "%s", "intervals": [%s], "curves": [%s]}\n',
  packageVersion("pROC"), paste(intervals, collapse = ", "), paste(curves, collapse = ", ")))
