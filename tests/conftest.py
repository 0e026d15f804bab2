"""Hypothesis: repeatable in CI, a little random everywhere else; no Kerberos realm but the tests' own; the domain.

`HYPOTHESIS_PROFILE` chooses a profile by name. The deadline is for one example and generous, because machines that
run tests are shared; what it catches is an input that costs many seconds. `tests.growth` judges how costs grow.
"""

from __future__ import annotations

import os
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.domain.lab import Domain, require_domain

_DEADLINE = timedelta(seconds=10)

settings.register_profile("dev", max_examples=50, deadline=_DEADLINE, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("dev"), max_examples=100, derandomize=True, print_blob=True)
# A nightly run, or an evening with a doubt: HYPOTHESIS_PROFILE=thorough
settings.register_profile("thorough", settings.get_profile("dev"), max_examples=2000, deadline=None)

settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))

# With the Kerberos libraries installed, a login as LAB\\alice looks for a KDC of LAB: in the DNS, for seconds, and
# tests talk to loopback only. The tests with a KDC bring their own configuration (tests/kdc.py).
_KERBEROS = tempfile.TemporaryDirectory(prefix="credssp-tests-")
Path(_KERBEROS.name, "krb5.conf").write_text(
    "[libdefaults]\n  dns_lookup_kdc = false\n  dns_lookup_realm = false\n  dns_canonicalize_hostname = false\n"
)
os.environ["KRB5_CONFIG"] = str(Path(_KERBEROS.name, "krb5.conf"))


@pytest.fixture(scope="session")
def domain(request: pytest.FixtureRequest) -> Domain:
    """A domain of Active Directory with a member (`credssp.testing.domain`)."""
    require_domain()
    made: Domain = request.getfixturevalue("_credssp_domain")
    return made


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests of the domain more time: the first of them waits for it."""
    for item in items:
        if {"domain", "credssp_domain"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.timeout(300), append=False)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give whole files to a worker, and all of tests/domain to one, since each worker would make a domain of its own.

    ``--dist loadgroup`` is for that, and does not work with pytest 9.2 and xdist 3.8.
    """
    if config.getvalue("dist") != "load":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class OneDomain(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "tests/domain" if nodeid.startswith("tests/domain/") else nodeid.partition("::")[0]

    return OneDomain(config, log)
