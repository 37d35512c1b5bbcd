"""The figures of docs/ingest.md, on real images where they are."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DATA = ROOT.parent / "shared/data"


@pytest.fixture(scope="module")
def benchmark():
    if not (DATA / "busi/duplicates.csv").exists():
        pytest.skip(f"needs the images of BUSI at {DATA}")
    path = ROOT / "scripts/benchmark_check.py"
    spec = importlib.util.spec_from_file_location("benchmark_check", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_copies_in_busi_are_found_and_no_others(benchmark):
    recall, precision, _, _ = benchmark.figures_of_busi(DATA / "busi")
    assert recall >= 0.965
    assert precision >= 0.98


@pytest.mark.slow
def test_made_copies_are_found_and_no_others(benchmark):
    _, recall, precision, false = benchmark.figures_of_made(DATA / "breast_usg", 1)
    assert recall >= 0.97
    assert precision >= 0.98
    assert false == 0


@pytest.mark.slow
def test_callipers_are_where_they_were_seen_by_eye(benchmark):
    labelled, called = benchmark.figures_of_marks(DATA / "busi", words=False)
    truth = labelled["callipers"].to_numpy(bool)
    assert called["callipers"][truth].mean() >= 0.92
    assert (~called["callipers"][~truth]).mean() >= 0.92
