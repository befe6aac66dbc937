"""What a quantization spec allows and how it is written down."""

from __future__ import annotations

from typing import Any

import pytest

from quant.spec import QuantSpec

SPECS = [QuantSpec(4), QuantSpec(4, 64, symmetric=True), QuantSpec(4, 128), QuantSpec(8, 0), QuantSpec(8, 32)]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_metadata_gives_the_same_spec_back(spec: QuantSpec) -> None:
    assert QuantSpec.from_metadata(spec.to_metadata()) == spec


@pytest.mark.parametrize(("bits", "group_size"), [(3, 32), (4, 0), (4, 16), (4, 48), (8, 16), (0, 32), (16, 32)])
def test_a_combination_that_the_format_lacks_is_refused(bits: int, group_size: int) -> None:
    with pytest.raises(ValueError):
        QuantSpec(bits, group_size)


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"bits": 4, "group_size": 32},
        {"bits": 4, "group_size": 32, "symmetric": False, "zero_point": 1},
        {"bits": "4", "group_size": 32, "symmetric": False},
        {"bits": 4, "group_size": 32.0, "symmetric": False},
        {"bits": 4, "group_size": 32, "symmetric": 0},
        {"bits": True, "group_size": 32, "symmetric": False},
        {"bits": 8, "group_size": 32, "symmetric": False},
        None,
    ],
)
def test_metadata_that_is_not_exactly_a_spec_is_refused(metadata: Any) -> None:
    with pytest.raises(ValueError):
        QuantSpec.from_metadata(metadata)


def test_int8_is_always_symmetric() -> None:
    assert QuantSpec(8).symmetric


def test_bits_per_weight_count_scale_and_minimum() -> None:
    assert [spec.bits_per_weight for spec in SPECS] == [5.0, 4.25, 4.25, 8.0, 8.5]


def test_rows_that_do_not_fill_groups_are_not_accepted() -> None:
    assert [QuantSpec(4).accepts(k) for k in (0, 16, 32, 48, 96)] == [False, False, True, False, True]
    assert [QuantSpec(4, 64).accepts(k) for k in (32, 64, 96)] == [False, True, False]
    assert [QuantSpec(8, 0).accepts(k) for k in (31, 32, 576)] == [False, True, True]
