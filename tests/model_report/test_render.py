"""The page: one file that loads nothing, and that a keyboard and a screen reader get through."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from paconv.model_report.contents import LevelShare, Report, Totals
from paconv.model_report.drawing import MOST_MARKS
from paconv.model_report.render import KINDS, html
from tests.model_report.page import elements
from tests.model_report.test_steps import LAYER


@pytest.fixture(scope="module", params=["alone", "full"])
def page(request):
    return html(request.getfixturevalue(request.param))


def test_nothing_is_loaded_from_elsewhere(page):
    found = elements(page)
    assert {e.tag for e in found}.isdisjoint({"script", "img", "iframe", "object", "embed"})
    addresses = [e.attributes[k] for e in found for k in ("href", "src", "xlink:href") if k in e.attributes]
    assert all(address.startswith("#") or address == "data:," for address in addresses)
    assert not re.search(r"url\(|@import|https?:", page)


def test_ids_are_unique_and_every_link_and_label_leads_to_one(page):
    found = elements(page)
    ids = [e.attributes["id"] for e in found if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    links = {e.attributes["href"][1:] for e in found if e.attributes.get("href", "").startswith("#")}
    labels = {name for e in found for name in e.attributes.get("aria-labelledby", "").split()}
    assert links | labels <= set(ids) and len(links) > 10


def test_every_layer_has_its_place_and_its_row(page, alone):
    articles = [e for e in elements(page) if e.tag == "article"]
    rows = [e.text for e in elements(page) if e.tag == "th" and e.attributes.get("scope") == "row"]
    for layer, article in zip(alone.layers, articles, strict=True):
        assert layer.name in article.text and layer.name in rows
        assert KINDS[layer.kind][1] in article.text


def test_many_levels_are_folded(full):
    layer = next(layer for layer in full.layers if layer.weights)
    shares = tuple(LevelShare(str(k), 1 / (MOST_MARKS + 1)) for k in range(MOST_MARKS + 1))
    for levels, folded in ((shares, 1), (shares[1:], 0)):
        page = html(replace(full, layers=[replace(layer, weights=replace(layer.weights, levels=levels))]))
        assert sum(e.tag == "details" for e in elements(page)) == folded
        assert ("25 levels and their shares" in page) == bool(folded)


def test_headings_go_down_by_one_level_and_there_is_one_title(page):
    levels = [int(e.tag[1]) for e in elements(page) if re.fullmatch("h[1-6]", e.tag)]
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(b <= a + 1 for a, b in zip(levels, levels[1:], strict=False))


def test_landmarks_and_a_skip_link_are_there(page):
    found = elements(page)
    assert {"header", "nav", "main", "footer"} <= {e.tag for e in found}
    first = next(e for e in found if e.tag == "a")
    assert first.attributes["href"] == "#main" and first.text.startswith("Skip")
    assert next(e for e in found if e.tag == "html").attributes["lang"] == "en"


def test_tables_have_captions_and_scopes_and_drawings_have_titles(page):
    found = elements(page)
    tables = [e for e in found if e.tag == "table"]
    assert len(tables) == len([e for e in found if e.tag == "caption" and e.text.strip()])
    assert all("scope" in e.attributes for e in found if e.tag == "th")
    drawings = [e for e in found if e.tag == "svg"]
    titles = [e for e in found if e.tag == "title" and "svg" in e.inside and e.text.strip()]
    assert len(drawings) == len(titles) > 0
    assert all(e.attributes["role"] == "img" for e in drawings)


def test_each_part_of_a_strip_says_in_words_what_its_colour_says(page):
    parts = [e for e in elements(page) if "aria-label" in e.attributes and e.tag in ("a", "span") and "li" in e.inside]
    layers = [e.attributes["aria-label"] for e in parts if e.tag == "a"]
    assert len(layers) == 2 * 10
    assert all(any(text in label for _, text in KINDS.values()) for label in layers)


def test_the_strips_are_as_wide_as_their_times(alone):
    widths = [float(w) for w in re.findall(r'<li class="\w+" style="width:([\d.]+)%">', html(alone))]
    own, real = sum(widths[:11]), sum(widths[11:])
    ratio = alone.totals.predicted / alone.totals.float_predicted
    assert own == pytest.approx(100 * ratio, abs=0.1) and real == pytest.approx(100, abs=0.1)  # two decimals each


def test_names_are_text_and_never_markup(alone):
    bad = '<script>alert("1")</script>&\'x'
    layers = tuple(replace(layer, name=bad, label=bad, real_reason=layer.real_reason and bad) for layer in alone.layers)
    page = html(replace(alone, source=bad, reference=bad, layers=layers, unmatched=(bad,)))
    found = elements(page)
    assert "script" not in {e.tag for e in found}
    assert next(e for e in found if e.tag == "h1").text == f"What became of {bad}"


def test_what_is_not_known_is_asked_for_and_not_drawn(alone):
    page = html(alone)
    assert "--reference float.onnx" in page and "--inputs samples.npz" in page
    assert "Nothing was measured." in page and "whole call, measured" in page


def test_a_network_without_times_says_why():
    totals = Totals(
        file_bytes=1, packed_bytes=1, float_bytes=1, int8_bytes=1, macs=1, binary_macs=1, flops=1, parameters=1,
        binary_parameters=1,
        predicted=None, float_predicted=None, rest_predicted=None, rest_float_predicted=None,
        rates="no prediction: of another scheme", nodes_measured=None, rest_measured=None, float_nodes_measured=None,
        rest_float_measured=None, same_choice=None, output_error=None,
    )  # fmt: skip
    layer = replace(LAYER, predicted=None, float_predicted=None)
    report = Report(
        source="pa.onnx", reference="", reference_kind="", samples=0, batch=1, version="0", layers=(layer,),
        totals=totals, measurement=None, advice=(), unmatched=(),
    )  # fmt: skip
    page = html(report)
    assert "No times are known: no prediction: of another scheme" in page
    assert "Not known" in page
