"""Whatever certificate a server sends is judged, dated and shown; nothing foreign leaves, not even a warning."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp.binding import subject_public_key
from credssp.errors import LocalProtocolError
from credssp.fleet.facts import certificate_facts
from credssp.tls.certificate import generate_certificate
from credssp.tls.trust import expiry_of, judge
from tests.fuzz.test_fuzz_core import mutate
from tests.sspi.certificates import Authority

ROOT = Authority()
LEAF = ROOT.issue("srv.lab.test", "*.lab.test")
SEEDS = [LEAF.der, ROOT.der, generate_certificate("p256").der, generate_certificate("rsa", common_name="DE").der]
# Extensions and attributes of names that mean something; one in the place of another, or twice.
OIDS = [bytes.fromhex(f"06035504{n}") for n in ("03", "06")] + [
    bytes.fromhex(f"0603551d{n}") for n in ("0e", "11", "13", "25")
]


@pytest.mark.filterwarnings("error")
@given(st.sampled_from(SEEDS), st.sampled_from(OIDS), st.sampled_from(OIDS), st.randoms(use_true_random=False))
def test_damaged_certificates(seed: bytes, old: bytes, new: bytes, source: random.Random) -> None:
    damaged = seed.replace(old, new)
    if source.random() < 0.8:
        damaged = mutate(damaged, source)
    for chain in ((damaged,), (LEAF.der, damaged), (damaged, ROOT.der)):
        for roots in ((), (ROOT.der,), (damaged,)):
            trusted = judge(chain, "srv.lab.test", roots).trusted
            assert not trusted or chain[0] in SEEDS or chain[0] in roots
    expiry_of(damaged)
    assert certificate_facts(damaged)["sha256"] == hashlib.sha256(damaged).hexdigest()
    try:
        subject_public_key(damaged)
    except LocalProtocolError:
        return
