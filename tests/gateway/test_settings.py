"""A configuration is read strictly: what is unknown or unsafe is refused, and the text names the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from credssp.errors import LocalProtocolError
from credssp.gateway.groups import with_group_sids
from credssp.gateway.settings import GatewaySettings, read_settings
from credssp.tls.certificate import process_certificate

PIN = "ab" * 32
LISTEN = 'address = "127.0.0.1:3389"\ncertificate = "gw.pem"\nusers_file = "accounts"\n'
WINBIND = 'address = "127.0.0.1:3389"\ncertificate = "gw.pem"\nwinbind = true\n'
TARGET = f'name = "office"\naddress = "192.0.2.1:3389"\nfingerprint = "{PIN}"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("a password\nmore\n")
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / "ca.pem").write_bytes(process_certificate().chain)
    return tmp_path


def read(folder: Path, listen: str = LISTEN, target: str = TARGET, rest: str = "") -> GatewaySettings:
    file = folder / "gateway.toml"
    file.write_text(f"[listen]\n{listen}\n{rest}\n[[target]]\n{target}\n")
    file.chmod(0o600)
    return read_settings(file)


def test_the_defaults(folder: Path) -> None:
    settings = read(folder)
    (target,) = settings.targets
    assert settings.listen.address == ("127.0.0.1", 3389)
    assert settings.listen.certificate == str(folder / "gw.pem")
    assert (settings.listen.security, target.security, target.credentials) == ("nla", "nla", "delegated")
    assert (target.users, target.tokens, target.mapped, target.other_user) == (("*",), (), None, False)
    assert target.tls.fingerprint == PIN


def test_everything_at_once(folder: Path) -> None:
    settings = read(
        folder,
        listen=(
            'address = ":3389"\ncertificate = "/gw.pem"\nsecurity = "nla+tls"\nkeytab = "k"\n'
            'allow_from = ["192.0.2.0/24"]'
        ),
        rest="[limits]\nhalf_open = 16\nsessions_per_user = 2\nidle = 600\ntotal = 36000.5\n",
        target=(
            'name = "a"\nusers = ["LAB\\\\alice", "group:S-1-5-32-555"]\ntokens = ["office*"]\n'
            'address = "unix:/run/x.sock"\n'
            'security = "tls"\ncacert = "ca.pem"\nserver_name = "srv.lab.test"\ncredentials = "mapped"\n'
            'as = { user = "svc", domain = "LAB", password_file = "secret" }\ndeny_channels = ["cliprdr"]\n'
            'mechanism = "ntlm"\nother_user = true\n'
        ),
    )
    (target,) = settings.targets
    assert settings.listen.address == ("0.0.0.0", 3389)  # noqa: S104  # what ":3389" means
    assert settings.limits.half_open == 16
    assert (settings.sessions.sessions_per_user, settings.sessions.idle, settings.sessions.total) == (2, 600, 36000.5)
    assert (target.path, target.address) == ("/run/x.sock", "unix:/run/x.sock")
    assert target.mapped is not None
    assert (target.mapped.username, target.mapped.password.reveal()) == ("svc", "a password")
    assert target.tls.cafile == str(folder / "ca.pem")
    assert "a password" not in repr(settings)


@pytest.mark.parametrize(
    "pin", [PIN, PIN.upper(), f"sha256:{PIN}", ":".join(["ab"] * 32), "SHA256:" + ":".join(["AB"] * 32)]
)
def test_fingerprints_are_taken_as_they_are_written(folder: Path, pin: str) -> None:
    target = TARGET.replace(PIN, pin)
    assert read(folder, target=target).targets[0].tls.fingerprint == pin


@pytest.mark.parametrize(
    ("listen", "target", "rest", "text"),
    [
        (LISTEN + "addr = 1", TARGET, "", "listen: addr is not a key here"),
        (LISTEN, TARGET + 'user = ["x"]', "", "target office: user is not a key|target 1: user is not a key"),
        (LISTEN, TARGET, "[limits]\nhalfopen = 3", "limits: halfopen is not a key"),
        (LISTEN, TARGET, "[limits]\nhalf_open = -3", "limits: half_open is a number"),
        (LISTEN, TARGET, "[limits]\nhalf_open = true", "limits: half_open is a number"),
        (LISTEN, TARGET, "[other]\nx = 1", "other is not a key here; the keys are limits, listen, target"),
        ('certificate = "x"', TARGET, "", "listen: address is missing"),
        ('address = "3389"\ncertificate = "x"\nusers_file = "a"', TARGET, "", "address is HOST:PORT"),
        ('address = ":3389"\nusers_file = "a"', TARGET, "", "listen: certificate is missing"),
        (
            'address = ":3389"\ncertificate = "x"',
            TARGET,
            "",
            "users_file or keytab or winbind is missing: no user could log on",
        ),
        (LISTEN + 'security = "rdp"', TARGET, "", "security is one of nla, tls, nla.tls, not 'rdp'"),
        (LISTEN + 'security = "tls"', TARGET, "", "tls authenticates no user"),
        (LISTEN + 'allow_from = ["here"]', TARGET, "", "allow_from has networks such as"),
        (LISTEN + 'path = "/run/x"', TARGET, "", "path is not a key here"),
        (LISTEN + 'socket_mode = "0660"', TARGET, "", "socket_mode is for a Unix socket"),
        (LISTEN + "winbind = 1", TARGET, "", "winbind is true or false"),
        (LISTEN + 'security = "tls"\nwinbind = true', TARGET, "", "tls authenticates no user"),
        (LISTEN + "workers = 0", TARGET, "", "workers is a number of 1 or more"),
        (LISTEN + "workers = 1000", TARGET, "", "workers is at most 256"),
        (LISTEN + "workers = 2", TARGET, "[limits]\nsessions_per_user = 1", "workers is 1 with sessions_per_user"),
        (LISTEN, TARGET + 'users = ["group:LAB\\\\Staff"]', "", "is a name, which only winbind = true"),
        (LISTEN, TARGET + 'users = ["group:S-1-5-x"]', "", "has group:DOMAIN.NAME or group:SID"),
        (WINBIND, TARGET + 'users = ["group:LAB\\\\S*"]', "", "no wildcards there, not group:LAB.S"),
        (WINBIND, TARGET + 'users = ["group:"]', "", "has group:DOMAIN.NAME or group:SID"),
        (LISTEN, TARGET, "[limits]\nidle = nan", "limits: idle is a number"),
        (LISTEN, TARGET, "[limits]\ntotal = inf", "limits: total is a number"),
        (LISTEN, TARGET.replace("192.0.2.1:3389", "unix:/" + "x" * 107), "", "has at most 107 bytes"),
        (LISTEN, TARGET.replace("office", "off\\u0000ice"), "", "name is a text that is not empty, without null"),
        (
            LISTEN,
            TARGET.replace("fingerprint", "#"),
            "",
            "goes to no server whose certificate is not checked",
        ),
        (LISTEN, TARGET.replace(PIN, "abc"), "", "fingerprint is not valid"),
        (LISTEN, TARGET + 'security = "rdp"', "", "rdp has no encryption: only for a Unix socket or loopback"),
        (LISTEN, TARGET.replace("192.0.2.1", "127.0.0.1") + 'security = "rdp"', "", "rdp has no certificate to check"),
        (LISTEN, TARGET.replace("192.0.2.1:3389", "192.0.2.1"), "", "address is HOST:PORT or unix:/PATH"),
        (LISTEN, TARGET.replace("192.0.2.1:3389", "unix:x"), "", "address is unix: with a whole path"),
        (LISTEN, TARGET + 'credentials = "mapped"', "", "mapped needs as = "),
        (
            LISTEN,
            TARGET + 'as = { user = "a", password = "b" }',
            "",
            "password is not written here",
        ),
        (LISTEN, TARGET + 'as = { user = "a" }', "", "target office: as: password_file is missing"),
        (LISTEN, TARGET + 'as = { user = "a", password_file = "none" }', "", "none cannot be read: No such file"),
        (LISTEN, TARGET + 'credentials = "none"', "", "none cannot log on to a server with NLA"),
        (LISTEN, TARGET + 'users = "alice"', "", "users is a list of texts, not 'alice'"),
        (LISTEN, TARGET + "other_user = 1", "", "other_user is true or false, not 1"),
        (LISTEN, TARGET + f"[[target]]\n{TARGET}", "", "two targets have the name office"),
        ("x = =", TARGET, "", "is not TOML"),
    ],
)
def test_what_is_unknown_or_unsafe_is_refused(folder: Path, listen: str, target: str, rest: str, text: str) -> None:
    with pytest.raises(LocalProtocolError, match=text) as refused:
        read(folder, listen, target, rest)
    assert str(folder / "gateway.toml") in str(refused.value)


TLS = 'address = "0.0.0.0:3389"\ncertificate = "gw.pem"\nsecurity = "tls"\n'
AS = 'as = { user = "svc", password_file = "secret" }\n'


@pytest.mark.parametrize(
    ("listen", "target", "text"),
    [
        (TLS, TARGET + AS + 'users = ["LAB\\\\alice"]', 'users is "\\*" only'),
        (TLS, TARGET + AS, "makes everybody who reaches the port this user"),
        (TLS, TARGET + 'credentials = "delegated"', "delegated needs NLA in front"),
        (LISTEN, TARGET + 'credentials = "client-info"', "client-info is for a server with NLA and"),
        (TLS, TARGET + 'credentials = "client-info"\nsecurity = "tls"', "client-info is for a server with NLA and"),
    ],
)
def test_a_front_without_nla_has_narrower_rules(folder: Path, listen: str, target: str, text: str) -> None:
    with pytest.raises(LocalProtocolError, match=text):
        read(folder, listen, target)


UNIX = 'address = "unix:/run/gateway"\ncertificate = "gw.pem"\n'


@pytest.mark.parametrize(
    ("listen", "target", "text"),
    [
        (UNIX.replace("unix:/", "unix:"), TARGET, "address is unix: with a whole path"),
        (UNIX + 'users_file = "a"\nallow_from = ["::/0"]', TARGET, "allow_from does not go with a Unix socket"),
        (UNIX + 'users_file = "a"\nsocket_mode = "rw"', TARGET, "socket_mode is text such as"),
        (UNIX + 'security = "tls"', TARGET + 'credentials = "client-info"', "a Unix socket has none"),
        (
            TLS + "workers = 2",
            TARGET + 'credentials = "client-info"',
            "workers is 1 with client-info .target office.: the client's second connection",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(folder: Path, listen: str, target: str, text: str) -> None:
    with pytest.raises(LocalProtocolError, match=text):
        read(folder, listen, target)


def test_a_unix_socket_is_for_this_machine_alone(folder: Path) -> None:
    listen = read(folder, UNIX + 'security = "tls"\nsocket_mode = "0660"\nworkers = 2', TARGET + AS).listen
    assert (listen.path, listen.socket_mode, listen.is_local, listen.workers) == ("/run/gateway", 0o660, True, 2)
    assert listen.allows("")


def test_groups_have_names_where_a_domain_is_asked(folder: Path) -> None:
    target = TARGET + 'users = ["LAB\\\\alice", "group:LAB\\\\Staff", "group:S-1-5-32-555"]'
    settings = read(folder, WINBIND, target)
    asked: list[str] = []

    def find(name: str) -> str:
        asked.append(name)
        if name == "LAB\\Staff":
            return "S-1-5-21-1-2-3-1116"
        raise LocalProtocolError(f"winbindd does not find the group {name!r}")

    assert with_group_sids(settings, find).targets[0].group_sids == {"LAB\\Staff": "S-1-5-21-1-2-3-1116"}
    assert asked == ["LAB\\Staff"]
    settings = read(folder, WINBIND, target.replace("Staff", "Nobody"))
    with pytest.raises(LocalProtocolError, match="target office: users: winbindd does not find the group"):
        with_group_sids(settings, find)
    with pytest.raises(LocalProtocolError, match="no domain is asked"):
        with_group_sids(settings, None)


def test_fixed_credentials_are_for_those_who_are_allowed(folder: Path) -> None:
    read(folder, TLS + 'allow_from = ["192.0.2.0/24"]', TARGET + AS)
    read(folder, TLS.replace("0.0.0.0", "127.0.0.1"), TARGET + AS)  # noqa: S104  # not bound to


def test_a_file_that_everybody_can_write_is_refused(folder: Path) -> None:
    read(folder)
    (folder / "gateway.toml").chmod(0o666)
    with pytest.raises(LocalProtocolError, match="can be written by every user"):
        read_settings(folder / "gateway.toml")
    with pytest.raises(LocalProtocolError, match="nowhere.toml cannot be read: No such file"):
        read_settings(folder / "nowhere.toml")


@pytest.mark.parametrize(
    ("host", "allowed"),
    [("192.0.2.77", True), ("::ffff:192.0.2.1", True), ("198.51.100.1", False), ("2001:db8::1", True), ("host", False)],
)
def test_allow_from_knows_networks(folder: Path, host: str, allowed: bool) -> None:
    listen = read(folder, LISTEN + 'allow_from = ["192.0.2.0/24", "2001:db8::/32"]').listen
    assert listen.allows(host) is allowed
