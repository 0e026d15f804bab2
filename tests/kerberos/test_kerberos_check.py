"""What an examination says, from made-up libraries; tests/kerberos/test_doctor.py has the real ones."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from credssp.credentials import CCacheCredentials
from credssp.finding import Severity
from credssp.kerberos import check as check
from credssp.kerberos import pyspnego
from credssp.kerberos.krb5_conf import Krb5Conf
from credssp.target import Target

NOW = 1_000_000
TARGET = Target("TERMSRV", "srv.lab.test")


def severities(findings):
    return [finding.severity.value for finding in findings]


def conf(*, kdcs=None, **libdefaults):
    return Krb5Conf(files=["/etc/krb5.conf"], libdefaults=libdefaults, kdcs=kdcs or {})


@pytest.mark.parametrize(("missing", "severity"), [(None, Severity.OK), ("no gssapi", Severity.NOTE)])
def test_libraries(monkeypatch, missing, severity):
    monkeypatch.setattr(pyspnego, "kerberos_missing", lambda: missing)
    assert check.check_libraries().severity is severity


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        (conf(default_realm="LAB.TEST", kdcs={"LAB.TEST": ["dc"]}), ["ok", "ok"]),
        (conf(default_realm="LAB.TEST"), ["ok", "ok"]),
        (conf(default_realm="LAB.TEST", dns_lookup_kdc="false"), ["ok", "ok", "bad"]),
        (conf(default_realm="lab.test"), ["ok", "ok", "note"]),
        (conf(), ["ok", "note"]),
        (Krb5Conf(missing=["/etc/krb5.conf"]), ["note", "note"]),
    ],
)
def test_configuration(configuration, expected):
    configuration.libdefaults["dns_canonicalize_hostname"] = "false"
    assert severities(check.check_configuration(configuration)) == expected


@pytest.mark.parametrize("settings", [{}, {"dns_canonicalize_hostname": "fallback"}])
def test_configuration_that_lets_dns_choose_the_server(settings):
    found = check.check_configuration(conf(default_realm="LAB.TEST", **settings))[-1]
    assert found.severity is Severity.NOTE
    assert "dns_canonicalize_hostname = false" in found.advice


@pytest.mark.parametrize(
    ("target", "settings", "expected", "text"),
    [
        (TARGET, {}, ["ok"], "TERMSRV/srv.lab.test"),
        (TARGET, {"qualify_shortname": "other.test"}, ["ok"], "TERMSRV/srv.lab.test"),
        (Target("HTTP", "srv"), {}, ["ok", "note"], "HTTP/srv"),
        (Target("HTTP", "srv"), {"qualify_shortname": "lab.test"}, ["ok"], "HTTP/srv.lab.test"),
        (Target("HTTP", "localhost"), {}, ["ok"], "HTTP/localhost"),
        (Target("HTTP", "192.0.2.1"), {}, ["note"], "192.0.2.1 is an address"),
    ],
)
def test_spn(target, settings, expected, text):
    findings = check.check_spn(target, conf(**settings))
    assert severities(findings) == expected
    assert text in findings[0].text


def ticket(server, *, left=3600, flags=2):
    return SimpleNamespace(server=server, times=SimpleNamespace(endtime=NOW + left), ticket_flags=flags)


@pytest.fixture
def krb5(monkeypatch):
    """A krb5 with one cache and one keytab; None is one that is not there."""
    module = ModuleType("krb5")
    module.init_context = object
    module.cache, module.keytab = [], []

    class Cache(list):
        cache_type, name, principal = b"FILE", b"/c", "alice@LAB.TEST"

    def cache(*_):
        if module.cache is None:
            raise OSError("not there")
        return Cache(module.cache)

    module.cc_default = module.cc_resolve = cache
    module.kt_resolve = lambda *_: list(module.keytab)
    monkeypatch.setitem(sys.modules, "krb5", module)
    return module


TGT = "krbtgt/LAB.TEST@LAB.TEST"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([ticket(TGT), ticket("HTTP/srv@LAB.TEST", flags=0)], ["ok", "ok"]),
        ([ticket(TGT, flags=0)], ["ok", "ok", "note"]),
        ([ticket(TGT, left=-1)], ["ok", "bad"]),
        ([ticket("HTTP/srv@LAB.TEST")], ["ok", "bad"]),
        (None, ["note"]),
    ],
)
def test_tickets(krb5, content, expected):
    krb5.cache = content
    for tickets in (None, CCacheCredentials("FILE:/c")):
        assert severities(check.check_tickets(tickets, now=NOW)) == expected


def entry(principal, etype):
    return SimpleNamespace(principal=principal, kvno=1, key=SimpleNamespace(enctype=etype))


@pytest.mark.parametrize(
    ("content", "target", "expected"),
    [
        ([entry("TERMSRV/srv.lab.test@LAB.TEST", 18)], TARGET, ["ok"]),
        ([entry("termsrv/SRV.lab.test@LAB.TEST", 18)], TARGET, ["ok"]),
        ([entry("HTTP/srv.lab.test@LAB.TEST", 18)], None, ["ok"]),
        ([entry("HTTP/srv.lab.test@LAB.TEST", 18)], TARGET, ["ok", "bad"]),
        ([entry("TERMSRV/srv.lab.test@LAB.TEST", 23)], TARGET, ["ok", "bad"]),
        ([entry("host/srv.lab.test@LAB.TEST", 18)], Target("HTTP", "srv.lab.test"), ["ok"]),
        ([entry("host/other.lab.test@LAB.TEST", 18)], TARGET, ["ok", "bad"]),
        ([], None, ["bad"]),
    ],
)
def test_keytab(krb5, content, target, expected):
    krb5.keytab = content
    assert severities(check.check_keytab("/k", target)) == expected


@pytest.mark.parametrize("target", [TARGET, None])
@pytest.mark.parametrize("name", ["host/srv.lab.test", "RestrictedKrbHost/SRV.lab.test", "SRV$"])
def test_keytab_of_a_join_lacks_termsrv_and_what_adds_it_is_said(krb5, target, name):
    krb5.keytab = [entry(f"{name}@LAB.TEST", 18), entry("host/srv.lab.test@LAB.TEST", 18)]
    _, note = check.check_keytab("/k", target)
    assert note.severity is Severity.NOTE
    assert "open tickets for TERMSRV/srv.lab.test" in note.text.replace("SRV.lab", "srv.lab")
    for command in ("net ads keytab add_update_ads TERMSRV", "adcli join --service-name=TERMSRV", "setspn -S TERMSRV/"):
        assert command in note.advice
    krb5.keytab.append(entry("TERMSRV/srv.lab.test@LAB.TEST", 18))
    assert severities(check.check_keytab("/k", target)) == ["ok"]


def test_keytab_that_cannot_be_read(krb5):
    def refuse(*_):
        raise OSError("secret path")

    krb5.kt_resolve = refuse
    (finding,) = check.check_keytab("/k", None)
    assert finding.severity is Severity.BAD
    assert "secret path" not in finding.text
