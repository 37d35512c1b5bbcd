"""Prints the tables of docs/benchmarks.md from the runs of scripts/benchmark_real.

python scripts/benchmark_tables.py runs/benchmarks [PART...]
"""

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from usgland.config import EvaluationSettings, load_config
from usgland.evaluation.cases.predictions import read_predictions
from usgland.evaluation.cases.thresholds import read_thresholds
from usgland.evaluation.comparison.pairs import Choices, compare_tables
from usgland.evaluation.performance.measures import metrics_of
from usgland.evaluation.shown.text import format_p
from usgland.explanation.faithfulness import MEASURES
from usgland.explanation.shortcuts import NAMES
from usgland.files import read_json
from usgland.runs import CONFIG, ENVIRONMENT, FOLDS, PREDICTIONS, THRESHOLD, TOGETHER

SEEDS = range(3)
FOLD_FILES = f"{FOLDS}/*/{PREDICTIONS}"
ROUNDS = range(5)


def main(runs: Path, parts: Iterable[str]) -> None:
    """Prints one Markdown table a part."""
    tables = {
        "busi": show_busi,
        "precision": show_precision,
        "groups": show_groups,
        "breastmnist": show_breastmnist,
        "across": show_across,
        "breast": show_breast,
        "choice": show_choice,
        "forms": show_forms,
        "backbones": show_backbones,
        "saliency": show_saliency,
    }
    others = {
        "offset": show_offset,
        "learning_curve": show_learning_curve,
        "appearance": show_appearance,
        "together": show_together,
        "distill": show_distill,
        "nothing_held_back": show_nothing_held_back,
    }
    for part in parts or tables:
        print(f"\n### {part}\n")
        (tables | others)[part](runs)


def show_busi(runs: Path) -> None:
    """Pooled out-of-fold AUC and the spread over folds."""
    rows = _test_rows(runs / "busi")
    print("| | AUC per image |\n|---|---|")
    print(f"| pooled, 95% interval | {_interval(runs / 'busi', rows, 'roc_auc')} |")
    print(f"| mean of folds (range) | {_spread(_fold_aucs(rows))} |")


def show_precision(runs: Path) -> None:
    """BUSI in bfloat16 and in float32, paired, on the folds that both have finished."""
    policies = ("float32", "mixed_bfloat16")
    folds = {
        policy: {
            path.parent.name for path in (runs / f"busi-{policy}").glob(FOLD_FILES)
        }
        for policy in policies
    }
    both = sorted(set.intersection(*folds.values()))
    tables = {
        policy: pd.concat(
            _test_rows(runs / f"busi-{policy}" / FOLDS / fold).assign(fold=fold)
            for fold in both
        ).reset_index(drop=True)
        for policy in policies
    }
    choices = Choices(units=("image", "patient"), reference="float32")
    comparison = compare_tables(tables, dict.fromkeys(tables), choices)
    print(f"Folds {', '.join(both)}: {len(tables['float32'])} test images\n")
    print("| AUC per | float32 | bfloat16 | bfloat16 minus float32 | P |")
    print("|---|---|---|---|---|")
    for unit in choices.units:
        [pair] = comparison[unit]["pairs"]  # without thresholds, the AUC alone
        print(
            f"| {unit} | {pair['value_b']:.3f} | {pair['value_a']:.3f} "
            f"| {pair['difference']:+.3f} ({pair['low']:+.3f} to {pair['high']:+.3f}) "
            f"| {format_p(pair['p_value'])} |"
        )


def show_groups(runs: Path) -> None:
    """One acquisition group of BUSI left out at a time, by two recipes."""
    print("| recipe | AUC by group left out | mean | pooled, 95% interval |")
    print("|---|---|---|---|")
    for name in ("groups-light", "groups"):
        rows = _test_rows(runs / name)
        aucs = _fold_aucs(rows)
        each = " ".join(f"{auc:.3f}" for auc in aucs)
        pooled = _interval(runs / name, rows, "roc_auc")
        print(f"| {name} | {each} | {np.mean(aucs):.3f} | {pooled} |")


def show_appearance(runs: Path) -> None:
    """AUC within each acquisition group left out, less that of the plain recipe."""
    print("| augmentation | seed | AUC by group | mean | less plain, by group | mean |")
    print("|---" * 6 + "|")
    for name in ("plain", "grey_curve", "depth_gain", "sharpen", "speckle", "all"):
        for seed in (0, 1):
            aucs, plain = (
                np.array(_fold_aucs(_test_rows(runs / f"appearance-{recipe}-{seed}")))
                for recipe in (name, "plain")
            )
            each, more = (
                " ".join(f"{value:{form}}" for value in values)
                for values, form in ((aucs, ".3f"), (aucs - plain, "+.3f"))
            )
            change = (aucs - plain).mean()
            print(
                f"| {name} | {seed} | {each} | {aucs.mean():.3f} | {more} "
                f"| {change:+.3f} |"
            )


def show_breastmnist(runs: Path) -> None:
    """AUC and accuracy at 0.5 on the official test part and its unseen images."""
    manifest = pd.read_csv(runs / ".breastmnist" / "manifest.csv", dtype=str)
    seen = manifest.set_index("image")["seen"]
    scores: dict[str, list[tuple[float, float]]] = {"all": [], "not in train": []}
    for seed in SEEDS:
        rows = _test_rows(runs / f"breastmnist-{seed}")
        unseen = rows[rows["image"].map(seen) == "0"]
        for name, part in (("all", rows), ("not in train", unseen)):
            right = (part["probability"] >= 0.5).astype(int) == part["label"]
            auc = roc_auc_score(part["label"], part["probability"])
            scores[name].append((auc, right.mean(), len(part)))
    print("| test images | n | AUC, mean (range) | accuracy, mean (range) |")
    print("|---|---|---|---|")
    for name, values in scores.items():
        aucs, accuracies, counts = zip(*values, strict=True)
        print(f"| {name} | {counts[0]} | {_spread(aucs)} | {_spread(accuracies)} |")


def show_across(runs: Path) -> None:
    """Trained on BUSI, tested on BrEaST."""
    print("| trained on BUSI, tested on BrEaST | AUC per image |\n|---|---|")
    tables = []
    for seed in SEEDS:
        run = runs / f"across-{seed}"
        rows = read_predictions(run / "predictions-breast_usg.csv")
        tables.append(rows)
        print(f"| seed {seed}, 95% interval | {_interval(run, rows, 'roc_auc')} |")
    aucs = [roc_auc_score(rows["label"], rows["probability"]) for rows in tables]
    print(f"| mean (range) | {_spread(aucs)} |")


def show_together(runs: Path) -> None:
    """All folds of BUSI as one model, tested on BrEaST."""
    _show_on_breast(runs / "busi" / TOGETHER, "five folds together")


def show_distill(runs: Path) -> None:
    """One network that the folds of BUSI taught, tested on BrEaST."""
    _show_on_breast(runs / "busi-distilled", "one network that they taught")


def _show_on_breast(run: Path, name: str) -> None:
    rows = read_predictions(run / "predictions-breast_usg.csv")
    print("| trained on BUSI, tested on BrEaST | AUC per image |\n|---|---|")
    print(f"| {name}, 95% interval | {_interval(run, rows, 'roc_auc')} |")


def show_nothing_held_back(runs: Path) -> None:
    """The folds of BUSI with a validation part, without one, and with a mirror."""
    print("| | AUC per image, fold by fold | mean | pooled, 95% interval |")
    print("|---|---|---|---|")
    names = {
        "busi": "15% held back",
        "unheld": "nobody held back",
        "unheld-mirror": "the same, model.mirror=true",
    }
    for name, words in names.items():
        rows = _test_rows(runs / name)
        aucs = _fold_aucs(rows)
        each = " ".join(f"{auc:.3f}" for auc in aucs)
        pooled = _interval(runs / name, rows, "roc_auc")
        print(f"| {words} | {each} | {np.mean(aucs):.3f} | {pooled} |")


def show_breast(runs: Path) -> None:
    """Five rounds of five patient folds from BUSI weights, one from ImageNet's."""
    print("| start | folds | mean AUC of folds (range) | pooled AUC a round |")
    print("|---|---|---|---|")
    names = [f"breast-{number}" for number in ROUNDS]
    for start, members in (("BUSI", names), ("ImageNet", ["breast-imagenet"])):
        tables = [_test_rows(runs / name) for name in members]
        folds = [auc for rows in tables for auc in _fold_aucs(rows)]
        pooled = [roc_auc_score(rows["label"], rows["probability"]) for rows in tables]
        print(f"| {start} | {len(folds)} | {_spread(folds)} | {_spread(pooled)} |")


def show_choice(runs: Path) -> None:
    """How image and form are joined: mean AUC of the folds' validation parts."""
    print("| image branch, fusion | validation AUC of folds, mean (range) |")
    print("|---|---|")
    for name in ("joint", "late", "frozen"):
        aucs = []
        for fold in sorted((runs / f"choice-{name}" / FOLDS).iterdir()):
            rows = read_predictions(fold / PREDICTIONS)
            rows = rows[rows["role"] == "val"]
            aucs.append(roc_auc_score(rows["label"], rows["logit"]))
        print(f"| {name} | {_spread(aucs)} |")


def show_forms(runs: Path) -> None:
    """Image, form and both on BrEaST: five rounds of five folds, paired by patient."""
    names = {
        "image and form": "",
        "image alone": "alone/image/",
        "form alone": "alone/clinical/",
        "form, logistic": "alone/logistic/",
        "demographic, logistic": "alone/logistic_demographic/",
        "image-read, logistic": "alone/logistic_image_read/",
    }
    tables = {}
    for name, folder in names.items():
        rounds = [
            read_predictions(runs / f"forms-{number}" / f"{folder}{PREDICTIONS}")
            for number in ROUNDS
        ]
        tables[name] = pd.concat(
            rows[rows["role"] == "test"].assign(fold=f"{number}-" + rows["fold"])
            for number, rows in enumerate(rounds)
        ).reset_index(drop=True)
    comparison = compare_tables(
        tables,
        dict.fromkeys(tables),
        Choices(units=("patient",), reference="image and form"),
    )
    pairs = {pair["a"]: pair for pair in comparison["patient"]["pairs"]}
    print("| model | pooled AUC a round, mean (range) | this minus both | P |")
    print("|---|---|---|---|")
    for name, rows in tables.items():
        aucs = [
            roc_auc_score(part["label"], part["logit"])
            for _, part in rows.groupby(rows["fold"].str[0])
        ]
        pair, difference, p_value = pairs.get(name), "", ""
        if pair:
            difference = (
                f"{pair['difference']:+.3f} ({pair['low']:+.3f} to {pair['high']:+.3f})"
            )
            p_value = format_p(pair["p_value"])
        print(f"| {name} | {_spread(aucs)} | {difference} | {p_value} |")
    _show_ceiling(tables["form, logistic"], tables["image alone"])


def show_offset(runs: Path) -> None:
    """An image that may add to a form or not, against the logistic regression alone."""
    from usgland.data.sources import run_rows
    from usgland.training.logistic import logistic_predictions

    print("| form | with the image, rounds | alone | difference | P | weights |")
    print("|---" * 6 + "|")
    for name, prefix in (("all", "offset"), ("demographic", "offset-demographic")):
        joined, alone, weights = [], [], []
        for number in ROUNDS:
            for fold in sorted((runs / f"{prefix}-{number}" / FOLDS).iterdir()):
                where = {"fold": f"{number}-{fold.name}"}
                config = load_config(fold / CONFIG)
                rows = run_rows(fold, config, Console(quiet=True))
                said = logistic_predictions(rows, config.clinical)
                alone.append(said[said["role"] == "test"].assign(**where))
                rows = _test_rows(fold)
                # As the regression is: calibration would rank folds otherwise.
                logit = rows["model_logit"].astype("float64")
                rows = rows.assign(logit=logit, probability=expit(logit), **where)
                joined.append(rows)
                weights.append(read_json(fold / "offset.json")["weight"])
        tables = {"with": joined, "alone": alone}
        pooled = {key: pd.concat(parts) for key, parts in tables.items()}
        aucs = [_spread(_round_aucs(rows)) for rows in pooled.values()]
        print(
            f"| {name} | {aucs[0]} | {aucs[1]} | {_difference(pooled, 'alone')} "
            f"| {min(weights):.2f} to {max(weights):.2f} |"
        )


def _round_aucs(rows: pd.DataFrame) -> list[float]:
    """The AUC of each round, its folds pooled."""
    return [
        roc_auc_score(part["label"], part["logit"])
        for _, part in rows.groupby(rows["fold"].str[0])
    ]


def _difference(tables: dict[str, pd.DataFrame], reference: str) -> str:
    """The AUC of one table less that of another, paired by patient, and its P."""
    tables = {name: rows.reset_index(drop=True) for name, rows in tables.items()}
    choices = Choices(units=("patient",), reference=reference)
    compared = compare_tables(tables, dict.fromkeys(tables), choices)
    [pair] = compared["patient"]["pairs"]
    between = f"({pair['low']:+.3f} to {pair['high']:+.3f})"
    return f"{pair['difference']:+.3f} {between} | {format_p(pair['p_value'])}"


def show_learning_curve(runs: Path) -> None:
    """BrEaST from BUSI's weights and from ImageNet's, by number of patients."""
    print("| training patients | from BUSI, AUC | from ImageNet | difference | P |")
    print("|---|---|---|---|---|")
    for size in (50, 100, 170):
        tables = {
            start: pd.concat(
                _test_rows(runs / f"curve-{start}-{size}-{fold}").assign(fold=str(fold))
                for fold in range(5)
            )
            for start in ("busi", "imagenet")
        }
        aucs = [
            _interval(runs / f"curve-{start}-{size}-0", rows, "roc_auc")
            for start, rows in tables.items()
        ]
        print(f"| {size} | {aucs[0]} | {aucs[1]} | {_difference(tables, 'imagenet')} |")


def _show_ceiling(form: pd.DataFrame, image: pd.DataFrame) -> None:
    """What the image could add, were its weight chosen on the test patients."""
    keys = ["fold", "image"]
    both = form.merge(image[[*keys, "logit"]], on=keys, suffixes=("", "_image"))
    rounds = both["fold"].str[0]
    for weight in (0.0, 0.1, 0.2, 0.3, 0.5, 1.0):
        logit = both["logit"] + weight * both["logit_image"]
        aucs = [
            roc_auc_score(both["label"][rounds == number], logit[rounds == number])
            for number in sorted(set(rounds))
        ]
        print(f"\nlogistic regression + {weight} x image: {_spread(aucs)}", end="")
    print()


def show_backbones(runs: Path) -> None:
    """Table 2: time, size and metrics of the five networks on one split of BUSI."""
    names = ("accuracy", "f1", "cohen_kappa", "sensitivity", "specificity", "roc_auc")
    print("| network |", " | ".join(names), "| epochs | s an epoch | s an image | MB |")
    print("|---" * (len(names) + 5) + "|")
    trained = ("squeeze", "mobilenet_v2", "efficientnet_lite0")
    for network in (*trained, "resnet101", "vgg16"):
        run = runs / f"backbone-{network}"
        measures = _metrics(run, _test_rows(run))["image"]["figures"]
        environment = read_json(run / ENVIRONMENT)
        values = " | ".join(f"{measures[name]['value']:.3f}" for name in names)
        print(
            f"| {network} | {values} | {environment['epochs']} "
            f"| {environment['training_seconds'] / environment['epochs']:.0f} "
            f"| {environment['seconds_per_image']:.3f} "
            f"| {environment['model_bytes'] / 1e6:.1f} |"
        )


def show_saliency(runs: Path) -> None:
    """The measures of the maps, and the AUC with parts of the images taken away."""
    probes = {}
    for network in ("across-0", "across-mobilenet_v2-0"):
        for data, folder in (("BUSI", ""), ("BrEaST", "explain-breast_usg")):
            tables = runs / network / folder / "tables"
            measured = pd.read_csv(tables / "saliency.csv")
            for group in ("malignant", "benign"):
                print(f"{network}, {data}, {group} images\n")
                print(_measures(measured[measured["group"] == group]), "\n")
            probes[f"{network}, {data}"] = pd.read_csv(tables / "shortcuts.csv")
    print("| AUC per image |", " | ".join(probes), "|")
    print("|---" * (len(probes) + 1) + "|")
    known = set.intersection(*(set(table["probe"]) for table in probes.values()))
    for probe, name in NAMES.items():
        if probe not in known:
            continue  # of runs that are older than the probe
        rows = [table.set_index("probe").loc[probe] for table in probes.values()]
        cells = [f"{row.value:.3f} ({row.low:.3f} to {row.high:.3f})" for row in rows]
        print(f"| {name} |", " | ".join(cells), "|")


def _measures(table: pd.DataFrame) -> str:
    methods = list(table["method"].unique())
    lines = [f"| | {' | '.join(methods)} |", "|---" * (len(methods) + 1) + "|"]
    for measure, name in MEASURES.items():
        rows = table[table["measure"] == measure].set_index("method")
        cells = [
            _between(*rows.loc[method, ["value", "low", "high"]])
            if method in rows.index
            else ""
            for method in methods
        ]
        lines += [f"| {name} | {' | '.join(cells)} |"] if len(rows) else []
    return "\n".join(lines)


def _between(value: float, low: float, high: float) -> str:
    if np.isnan(low):
        return f"{value:.2f}"
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def _test_rows(run: Path) -> pd.DataFrame:
    rows = read_predictions(run / PREDICTIONS)
    return rows[rows["role"] == "test"]


def _metrics(run: Path, rows: pd.DataFrame) -> dict:
    thresholds = read_thresholds(run / THRESHOLD)
    return metrics_of(rows, thresholds, EvaluationSettings(), synthetic=False)


def _interval(run: Path, rows: pd.DataFrame, name: str) -> str:
    measure = _metrics(run, rows)["image"]["figures"][name]
    return f"{measure['value']:.3f} ({measure['low']:.3f} to {measure['high']:.3f})"


def _fold_aucs(rows: pd.DataFrame) -> list[float]:
    return [
        roc_auc_score(fold["label"], fold["probability"])
        for _, fold in rows.groupby("fold")
    ]


def _spread(values: Iterable[float]) -> str:
    values = np.array(list(values))
    return f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
