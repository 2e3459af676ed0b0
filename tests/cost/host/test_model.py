"""A host model in memory, in its cache file, and in a damaged one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from paconv.cost.host.cache import cache_path, load, store
from paconv.cost.host.calibrate import calibrated, host_model
from paconv.cost.host.model import HostModel
from paconv.errors import ModelError, PaconvError, UsageError
from tests.cost.host import synthetic


def test_a_stored_model_is_read_back_equal(tmp_path):
    path = tmp_path / "made" / "on demand.json"
    host = synthetic.host((4, 5), (1, 1))
    store(path, host)
    assert load(path) == host


def test_no_file_is_no_model(tmp_path):
    assert load(tmp_path / "none.json") is None


def damage(change) -> str:
    data = synthetic.host().as_data()
    change(data)
    return json.dumps(data)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"version": 1}',
        damage(lambda d: d.update(version=1)),
        damage(lambda d: d["seconds"].pop("codes")),
        damage(lambda d: d["seconds"]["real"].pop("weight")),
        damage(lambda d: d["seconds"]["gather"].update(node="fast")),
        damage(lambda d: d["seconds"].update(element=-1)),
        damage(lambda d: d["seconds"].update(element=float("nan"))),
        damage(lambda d: d["seconds"]["planes"].update({"4by5": {}})),
        damage(lambda d: d.update(fit_errors=3)),
        "\udcff",
    ],
)
def test_a_damaged_file_is_one_clear_error_that_says_what_to_do(tmp_path, text):
    path = tmp_path / "host.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ModelError, match=r"host\.json: no valid host model .*measure again with --refresh"):
        load(path)


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PaconvError, match="set PACONV_CACHE"):
        store(tmp_path / "file" / "host.json", synthetic.host())


def test_the_cache_path_differs_by_any_part_of_the_identity_and_follows_PACONV_CACHE(tmp_path, monkeypatch):
    monkeypatch.setenv("PACONV_CACHE", str(tmp_path))
    first = cache_path(synthetic.IDENTITY)
    assert first.is_relative_to(tmp_path)
    for key in synthetic.IDENTITY:
        assert cache_path({**synthetic.IDENTITY, key: 2}) != first


def test_calibration_recovers_the_rates_of_a_synthetic_host():
    told: list[str] = []
    found = calibrated(synthetic.IDENTITY, [(4, 5), (8, 7)], synthetic.stopwatch, progress=told.append)
    assert found.gather == pytest.approx(synthetic.GATHER, rel=1e-6)
    assert found.codes == pytest.approx(synthetic.CODES, rel=1e-6)
    assert found.real == pytest.approx(synthetic.REAL, rel=1e-6)
    for planes in ((4, 5), (8, 7)):
        assert found.planes[planes] == pytest.approx(synthetic.plane_rates(*planes), rel=1e-6)
    assert found.element == pytest.approx(5e-11) and found.integer_mac == pytest.approx(2e-12)
    assert max(found.fit_errors.values()) < 1e-6
    assert len(told) == 3


def test_what_is_known_is_not_measured_again():
    def fail(models, budget):
        raise AssertionError("measured")

    known = synthetic.host((4, 5))
    assert calibrated(synthetic.IDENTITY, [(4, 5)], fail, known) is known
    more = calibrated(synthetic.IDENTITY, [(4, 5), (2, 2)], synthetic.stopwatch, known)
    assert set(more.planes) == {(4, 5), (2, 2)} and more.planes[4, 5] == known.planes[4, 5]
    assert replace(more, planes=known.planes) == known


def test_no_threads_is_an_error():
    with pytest.raises(UsageError, match="--threads: expected at least 1; found 0"):
        host_model(0, [])


def test_from_data_is_the_inverse_of_as_data():
    host = synthetic.host((8, 1))
    assert HostModel.from_data(json.loads(json.dumps(host.as_data()))) == host
