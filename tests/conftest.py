"""Options and fixtures that every test may use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests import ready
from tests.feeds.stores import mariadb, redmine, rt
from tests.once import parse_once
from tests.postgres import Server, with_template
from tests.services.root import as_root

__all__ = ["mariadb", "redmine", "rt"]

# How long an example takes on a busy machine says nothing about what it shows. In CI the examples are the same each
# time, so that a run is about the change it is made for; new examples are found by whoever runs the tests without CI.
settings.register_profile(
    "no deadline", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("no deadline")
parse_once()

LONG = 100.0
"""A test that may take so many seconds is one of the long ones."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--kills N`: how long the kill test is."""
    parser.addoption("--kills", type=int, default=4, help="how often the kill test kills the gateway (make chaos: 30)")
    parser.addoption("--postgresql", action="store_true", help="run all that uses a database on PostgreSQL, too")


def pytest_sessionfinish() -> None:
    """Ends what `tests.ready` has started."""
    ready.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """One PostgreSQL for all tests of a process, with a template of an empty database."""
    with with_template() as server:
        yield server


def pytest_itemcollected(item: pytest.Item) -> None:
    """What needs PostgreSQL is marked, so that `-m postgresql` runs it alone."""
    made_with: dict[str, object] = getattr(getattr(item, "callspec", None), "params", {})
    if "postgres" in getattr(item, "fixturenames", ()) or "postgresql" in made_with.values():
        item.add_marker("postgresql")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Groups of tests for one worker: pytest-xdist 3.8 writes them where pytest 9.2 does not look any more.

    It hands out the largest groups first; of what is in none, long stories go first, so that none is left at the end
    with one processor idle.
    """
    if not getattr(config.option, "loadgroup", False):
        return
    items.sort(key=lambda item: -(_limit(item) >= LONG))
    for item in items:
        groups = sorted({str(mark.args[0]) for mark in item.iter_markers("xdist_group")})
        if groups and "@" not in item.nodeid:
            item._id = type(item._id).parse(f"{item.nodeid}@{'_'.join(groups)}")


def _limit(item: pytest.Item) -> float:
    """Seconds that a test of its own account may take; 0: as long as any."""
    mark = item.get_closest_marker("timeout")
    return float(mark.args[0]) if mark is not None and mark.args else 0.0


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked `services(program, …)` needs real programs, one marked `as_root` somebody who may start them:
    where there is none it is skipped, and fails in CI."""
    for mark in item.iter_markers("services"):
        absent = [program for program in mark.args if shutil.which(program) is None]
        if absent and os.environ.get("CI"):
            pytest.fail(f"{', '.join(absent)} must be installed in CI (make services)")
        elif absent:
            pytest.skip(f"needs {', '.join(absent)} (make services)")
    if item.get_closest_marker("as_root") is not None and as_root() is None:
        why = "needs root, or sudo that asks for no password"
        if os.environ.get("CI"):
            pytest.fail(f"{why}: in CI no such test is left out")
        pytest.skip(why)
