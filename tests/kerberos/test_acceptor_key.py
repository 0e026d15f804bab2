"""Which keys an acceptor gets; gssapi and krb5 are stubs here, the real ones are at work in tests/kerberos."""

from types import ModuleType, SimpleNamespace

import pytest

from credssp.errors import AuthenticationError
from credssp.kerberos.acceptor_key import AcceptorKeys
from credssp.kerberos.services import keys_for
from credssp.status import SecurityStatus

KERBEROS = "1.2.840.113554.1.2.2"


@pytest.fixture
def libraries(monkeypatch):
    """Stubs with a default keytab of three keys; `keytabs` holds what was made in memory."""
    gssapi, krb5 = ModuleType("gssapi"), ModuleType("krb5")
    gssapi.OID = SimpleNamespace(from_int_seq=lambda dotted: dotted)
    gssapi.Credentials = lambda **arguments: SimpleNamespace(**arguments)
    krb5.keytabs = {}
    entries = [
        SimpleNamespace(
            principal=f"{service}/srv@LAB.TEST",
            kvno=kvno,
            timestamp=1,
            key=SimpleNamespace(enctype=18, data=f"{service}/srv {kvno}".encode()),
        )
        for service, kvno in [("TERMSRV", 1), ("TERMSRV", 2), ("HTTP", 1)]
    ]
    krb5.init_context = object
    krb5.kt_default_name = lambda context: b"FILE:/default"
    krb5.kt_resolve = lambda context, name: krb5.keytabs.setdefault(name.decode(), [])
    krb5.kt_add_entry = lambda context, keytab, principal, kvno, timestamp, key: keytab.append(key.data)
    krb5.keytabs["FILE:/default"] = entries
    monkeypatch.setitem(__import__("sys").modules, "gssapi", gssapi)
    monkeypatch.setitem(__import__("sys").modules, "krb5", krb5)
    return krb5, entries


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        ([], [("TERMSRV/srv", 1), ("TERMSRV/srv", 2), ("HTTP/srv", 1)]),
        (["TERMSRV/srv"], [("TERMSRV/srv", 1), ("TERMSRV/srv", 2)]),
        (["termsrv/SRV"], [("TERMSRV/srv", 1), ("TERMSRV/srv", 2)]),
        (["HTTP/srv@LAB.TEST"], [("HTTP/srv", 1)]),
        (["HTTP/srv", "TERMSRV/srv"], [("TERMSRV/srv", 1), ("TERMSRV/srv", 2), ("HTTP/srv", 1)]),
        (["HTTP/srv", "HTTP/other"], [("HTTP/srv", 1)]),
    ],
)
def test_demanded_services_get_their_keys_and_no_others(libraries, names, keys):
    krb5, entries = libraries
    krb5.keytabs["FILE:/k"] = entries
    for keytab in (None, "FILE:/k"):
        made = AcceptorKeys(keytab, names)
        assert [(key.service, key.kvno) for key in made.keys] == keys
        assert {key.realm for key in made.keys} == {"LAB.TEST"}
        credential = made.credential()
        assert (credential.usage, credential.mechs) == ("accept", [KERBEROS])
        assert credential.store["keytab"].startswith("MEMORY:credssp-")
        copied = krb5.keytabs[credential.store["keytab"]]
        assert copied == [f"{key.service} {key.kvno}".encode() for key in made.keys]
        assert [key.key.value.reveal() for key in made.keys] == copied


@pytest.mark.parametrize(
    ("names", "services"),
    [
        (["TERMSRV/srv.lab.test"], {"host/SRV.lab.test", "RestrictedKrbHost/srv.lab.test", "SRV$"}),
        (["TERMSRV/srv.lab.test@lab.test"], {"host/SRV.lab.test", "RestrictedKrbHost/srv.lab.test", "SRV$"}),
        (["TERMSRV/srv.lab.test@OTHER.TEST"], set()),
        (["TERMSRV/alias.lab.test"], {"SRV$"}),  # the account may have that SPN as well
        (["HTTP/srv.lab.test"], {"HTTP/srv.lab.test"}),
        (["HTTP/srv.lab.test", "TERMSRV/alias.lab.test"], {"HTTP/srv.lab.test", "SRV$"}),
        (["host/srv.lab.test"], {"host/SRV.lab.test"}),
    ],
)
def test_service_without_a_key_of_its_own_has_that_of_the_computers_account(names, services):
    keytab = ["host/SRV.lab.test", "RestrictedKrbHost/srv.lab.test", "SRV$", "HTTP/srv.lab.test", "imap/srv.lab.test"]
    found = keys_for(names, [f"{service}@LAB.TEST" for service in keytab])
    assert found == {f"{service}@LAB.TEST" for service in services}


def test_every_acceptor_has_its_own_selection(libraries):
    first, second = (AcceptorKeys(None, ["HTTP/srv"]).credential().store["keytab"] for _ in range(2))
    assert first != second


@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize("name", ["TERMSRV/other", "TERMSRV/srv@OTHER.TEST", "TERMSRV", ""])
def test_a_keytab_without_the_key_says_so(name):
    with pytest.raises(AuthenticationError, match="the keytab has no key for") as caught:
        AcceptorKeys(None, [name])
    assert caught.value.status is SecurityStatus.SEC_E_NO_KERB_KEY
    assert caught.value.ntstatus is None
