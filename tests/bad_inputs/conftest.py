"""Fixtures of the cases, and the hook that reports them."""

import dataclasses

import pytest

from bad_inputs.corpora import Corpus
from bad_inputs.report import Seen, write_row


@pytest.fixture
def seen():
    """What the test observes, for the report."""
    return Seen()


@pytest.fixture
def corpus(tmp_path, seen, capfd):
    """A corpus of twelve good images of six patients, for a case to spoil."""
    return Corpus.good(tmp_path, seen=seen, capture=capfd)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    case = getattr(item.function, "case", None)
    if case is not None and (report.when == "call" or report.outcome != "passed"):
        fault = ""
        if call.excinfo is not None:
            why = str(call.excinfo.value).strip().split("\n")[0][:300]
            fault = f"**{report.outcome}**: {call.excinfo.typename}: {why}"
        if (callspec := getattr(item, "callspec", None)) is not None:
            case = dataclasses.replace(case, words=f"{case.words} [{callspec.id}]")
        seen = item.funcargs.get("seen") or Seen()
        write_row(case, seen, test=item.nodeid, fault=fault)
    return report
