"""A record per scheme: whoever makes the scheme's quantizers and whoever counts a network under it accept the same."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import fields
from itertools import product
from pathlib import Path

import pytest

import paconv.schemes
from paconv.cost.schemes import under_scheme
from paconv.errors import UsageError
from paconv.network.layers import CONV, Layer, Network
from paconv.nn.convert import convert
from paconv.nn.schemes import SCHEMES as MADE
from paconv.nn.schemes import make_scheme
from paconv.schemes import SCHEMES, SchemeRecord

PLANES = list(product(range(10), (None, *range(10))))


def two_layers() -> Network:
    """A real first convolution, then one that every scheme binarizes."""
    shapes = (1, 1, 3, 3), (1, 1, 3, 3), (1, 1, 1, 1)
    return Network((Layer("first", CONV, *shapes), Layer("second", CONV, *shapes)))


def counted(scheme: str, M: int, N: int | None) -> tuple[int, int | None] | None:
    """The planes that `paconv cost` counts with, None where it refuses."""
    with suppress(UsageError):
        planes = under_scheme(two_layers(), scheme, M, N, full_activations=N is None).layers[1].planes
        return planes.M, planes.N
    return None


def made(scheme: str, M: int, N: int | None) -> tuple[int, int | None] | None:
    """The planes of the scheme that `paconv.convert` makes, None where it refuses."""
    with suppress(UsageError):
        found = make_scheme(scheme, M, N)
        return found.M, found.N
    return None


@pytest.mark.parametrize("name", MADE)
def test_what_can_be_counted_can_be_made_and_the_reverse_and_the_record_says_which(name):
    record = SCHEMES[name]
    for M, N in PLANES:
        expected = (M, N) if M in record.M and N in record.N else None
        assert made(name, M, N) == counted(name, M, N) == expected, (M, N)


def test_the_lists_for_readers_have_every_scheme():
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    table = readme.partition("## Other schemes")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == set(MADE)
    options = (convert.__doc__ or "").partition(" scheme: ")[2].partition(" keep: ")[0]
    assert set(re.findall(r'"(\w+)"', options)) == set(MADE)
    rows = re.findall(
        r"^    (\w+(?:, \w+)*)  ", (paconv.schemes.__doc__ or "").partition("operations\n")[2], re.MULTILINE
    )
    assert {name for row in rows for name in row.split(", ")} == set(SCHEMES)


@pytest.mark.parametrize("name", MADE)
def test_what_is_not_given_is_the_record_s(name):
    record, scheme = SCHEMES[name], make_scheme(name)
    planes = under_scheme(two_layers(), name).layers[1].planes
    assert (scheme.M, scheme.N) == (planes.M, planes.N) == record.default
    assert record.default[0] in record.M and record.default[1] in record.N
    assert (scheme.title, scheme.real_shortcuts) == (record.title, record.real_shortcuts)


def test_each_record_but_that_of_the_float_network_has_a_module_that_makes_it():
    assert set(SCHEMES) == {*MADE, "float"}
    assert not SCHEMES["float"].binary and all(SCHEMES[name].binary for name in MADE)
    assert all(MADE[name].record is SCHEMES[name] for name in MADE)


def test_each_record_names_its_source_and_describes_itself():
    for name, record in SCHEMES.items():
        assert record.name == name and record.title and record.meaning
        assert record.source or name == "float"
        assert list(record.M) == sorted(record.M) and (None not in record.N or record.N[-1] is None)
    assert {field.name for field in fields(SchemeRecord)} >= {"M", "N", "default", "gate"}


def test_the_records_need_no_torch():
    code = "import sys, paconv.schemes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
