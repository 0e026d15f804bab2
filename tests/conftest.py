"""How Hypothesis runs: repeatable in CI, a little random everywhere else; and no Kerberos realm but the tests' own.

`HYPOTHESIS_PROFILE` chooses a profile by name. The deadline is for one example and generous, because machines that
run tests are shared; what it catches is an input that costs seconds.
"""

from __future__ import annotations

import os
import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings

_DEADLINE = timedelta(seconds=2)

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
