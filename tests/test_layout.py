"""The four top-level names are generic: each must be ours and nobody else's."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("gateway", "channels", "normalizer", "router")


@pytest.mark.parametrize("name", PACKAGES)
def test_the_name_resolves_to_our_folder(name: str) -> None:
    found = import_module(name).__file__
    assert found is not None
    assert Path(found).parent == ROOT / name


@pytest.mark.parametrize("name", PACKAGES)
def test_no_other_distribution_owns_the_name(name: str) -> None:
    # An editable install lists no files, so the name may have no owner at all; it must have no other.
    assert set(packages_distributions().get(name, [])) <= {"intake-gateway"}


def test_top_level_is_as_given() -> None:
    here = {path.name for path in ROOT.iterdir()}
    assert {"gateway", "channels", "normalizer", "router", "tests", "config", "pyproject.toml"} <= here


def test_sizes() -> None:
    """Files stay small enough to be read at once; a test file counts as well."""
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in (*PACKAGES, "tests", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if (lines := path.read_text(encoding="utf-8").count("\n")) > 500
    }
    assert not long
