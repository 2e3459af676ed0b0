"""`paconv check-models`: every architecture through the whole way, and what it says when one doesn't come through."""

from __future__ import annotations

import json

import pytest

from paconv.studies import architectures


@pytest.mark.slow
def test_each_scheme_goes_through_with_every_eligible_convolution_converted(run):
    schemes = ["pa:4,5", "pa:4,full", "bireal", "syq", "groupnet"]
    words = [word for scheme in schemes for word in ("--scheme", scheme)]
    code, out, err = run("check-models", "digits_resnet", *words, "--format", "json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [each["scheme"] for each in found] == schemes
    assert [each["eligible"] for each in found] == [8, 8, 6, 8, 8]  # Bi-Real Net keeps two shortcuts real
    for each in found:
        assert each["ok"] and each["converted"] == each["eligible"]
        assert 0 < each["file_bytes"] < each["float_bytes"]


@pytest.mark.slow
def test_the_table_has_a_line_for_each_pair(run):
    code, out, _ = run("check-models", "digits_resnet", "--scheme", "twn", "--scheme", "pa:2,1")
    assert code == 0
    lines = [line.split() for line in out.splitlines() if line.startswith(" digits_resnet")]
    assert [line[1:6] for line in lines] == [[s, "8", "of", "8", "verified"] for s in ("twn", "pa:2,1")]


@pytest.mark.slow
def test_what_is_wrong_is_told_in_one_line_and_the_others_are_checked_all_the_same(run, monkeypatch):
    monkeypatch.setattr(architectures, "_left", lambda eligible, *_: eligible[:1] if len(eligible) == 6 else [])
    code, out, err = run("check-models", "digits_resnet", "--scheme", "bireal", "--scheme", "pa:2,1")
    assert code == 1 and err.count("\n") == 1
    failure = "digits_resnet bireal: block1.conv1 was not converted, one of 1"
    assert f"1 of 2 failed, first {failure}" in err and out.splitlines()[-1] == failure
    assert "5 of 6" in out and "8 of 8" in out


def test_unknown_names_are_refused_before_anything_is_built(run):
    for words, message in (
        (("lenet",), "no architecture is called 'lenet'; known are"),
        (("digits_resnet", "--scheme", "magic"), "scheme: expected pa, "),
        (("digits_resnet", "--scheme", "pa:9,5"), "must be 1..8; found 9"),
    ):
        code, out, err = run("check-models", *words)
        assert code == 1 and out == "" and message in err and err.count("\n") == 1


def test_an_error_of_another_library_is_one_failure_of_several(run, monkeypatch):
    monkeypatch.setattr(architectures, "settle_batch_norm", lambda model, batches: 1 / 0)
    code, _out, err = run("check-models", "digits_resnet", "--scheme", "bireal", "--scheme", "pa:2,1")
    assert code == 1 and err.count("\n") == 1
    assert "2 of 2 failed, first digits_resnet bireal: unexpected ZeroDivisionError: division by zero" in err
