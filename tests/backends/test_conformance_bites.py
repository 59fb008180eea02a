"""The conformance suite fails a backend that breaks a promise, and passes one that does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

CAUGHT_BY = {
    "Casts": "test_an_input_of_the_wrong_dtype_is_refused",
    "Overwrites": "test_outputs_are_never_overwritten",
    "ChangesInputs": "test_a_strided_read_only_input_is_read_and_left_alone",
    "AnswersAnother": "test_each_ticket_gets_the_answer_to_its_own_inputs",
    "ReadsInputsLater": "test_inputs_may_change_once_submit_returned",
    "HoldsTheGil": "test_the_gil_is_free_during_infer",
    "UnloadsOnce": "test_unload_twice_is_harmless_and_infer_after_it_says_so",
    "LivesOn": "test_unload_twice_is_harmless_and_infer_after_it_says_so",
    "Leaks": "test_loading_again_and_again_does_not_grow",
    "Boasts": "test_describe_tells_the_truth_about_names_shapes_and_dtypes",
    "MixesRows": "test_a_row_of_a_batch_gets_what_it_gets_alone",
    "RaisesItsOwn": "test_a_file_of_another_digest_is_refused",
    "FallsBack": "test_a_device_that_is_not_there_is_unavailable",
    "SkipsVerifying": "test_a_model_that_mixes_rows_is_run_one_by_one",
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], set[str]]:
    """(class, test) -> outcomes of its cases, from one run of the faulty backends."""
    pytest.importorskip("onnxruntime")
    report = tmp_path_factory.mktemp("report") / "report.xml"
    file = Path(__file__).with_name("faulty_backends.py")
    wanted = [f"{file}::Test{name}::{test}" for name, test in CAUGHT_BY.items()]
    wanted += [f"{file}::TestGood::{test}" for test in sorted(set(CAUGHT_BY.values()))]
    settings = Path(__file__).parents[2] / "pyproject.toml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(settings)]
    subprocess.run(
        [*command, f"--junitxml={report}", *wanted],
        cwd=report.parent,
        capture_output=True,
        timeout=100,
    )
    found: dict[tuple[str, str], set[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        key = (case.attrib["classname"].split(".Test")[-1], case.attrib["name"].split("[")[0])
        outcome = "failed" if case.find("failure") is not None else "passed"
        outcome = "error" if case.find("error") is not None else outcome
        found.setdefault(key, set()).add(outcome)
    return found


@pytest.mark.parametrize(("fault", "test"), CAUGHT_BY.items(), ids=CAUGHT_BY)
def test_a_fault_is_caught_by_the_test_that_names_it(outcomes, fault, test):
    assert "failed" in outcomes[fault, test]
    assert "passed" not in outcomes[fault, test]


def test_a_backend_without_a_fault_passes_the_same_tests(outcomes):
    for test in set(CAUGHT_BY.values()):
        assert outcomes["Good", test] == {"passed"}, test
