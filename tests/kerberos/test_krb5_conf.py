import os
from pathlib import Path

import pytest

from credssp.kerberos import krb5_conf

TEXT = """\
# a comment
[libdefaults]
    default_realm = LAB.TEST
    default_realm = SECOND.TEST
    rdns = "false"
    dns_lookup_kdc = yes
include {folder}/more.conf
includedir {folder}/conf.d
[realms]
    LAB.TEST = {{
        kdc = dc1.lab.test
        kdc = dc2.lab.test:8888
        admin_server = dc1.lab.test
    }}
    ; another comment
    OTHER.TEST = {{
        kdc* = kdc.other.test
    }}
[domain_realm]
    .lab.test = LAB.TEST
    odd.lab.test = OTHER.TEST
    test = ANY.TEST
    kdc = not-one
nonsense
"""


@pytest.fixture
def conf(tmp_path, monkeypatch):
    (tmp_path / "krb5.conf").write_text(TEXT.format(folder=tmp_path))
    (tmp_path / "more.conf").write_text("[libdefaults]\nticket_lifetime = 1d\n")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "extra").write_text("[libdefaults]\nforwardable = true\n")
    (tmp_path / "conf.d" / "old.rpmsave").write_text("[libdefaults]\nold = true\n")
    monkeypatch.setenv("KRB5_CONFIG", f"{tmp_path / 'krb5.conf'}:{tmp_path / 'missing.conf'}")
    return krb5_conf.load()


def test_what_counts_is_read(conf, tmp_path):
    assert conf.libdefaults["default_realm"] == "LAB.TEST"
    assert conf.libdefaults["ticket_lifetime"] == "1d"
    assert conf.libdefaults["forwardable"] == "true"
    assert "old" not in conf.libdefaults
    assert conf.kdcs == {"LAB.TEST": ["dc1.lab.test", "dc2.lab.test:8888"], "OTHER.TEST": ["kdc.other.test"]}
    assert [file.rpartition("/")[2] for file in conf.files] == ["krb5.conf", "more.conf", "extra"]
    assert conf.missing == [str(tmp_path / "missing.conf")]


@pytest.mark.parametrize(
    ("host", "realm"),
    [
        ("srv.lab.test", "LAB.TEST"),
        ("a.b.lab.test", "LAB.TEST"),
        ("odd.lab.test", "OTHER.TEST"),
        ("lab.test", "ANY.TEST"),
        ("elsewhere.example", ""),
        ("srv", ""),
        ("", ""),
    ],
)
def test_realm_of_a_host_is_the_one_of_its_nearest_domain(conf, host, realm):
    assert conf.realm_of(host) == realm


def test_flags(conf):
    assert not conf.flag("rdns", default=True)
    assert conf.flag("dns_lookup_kdc", default=False)
    assert conf.flag("not_there", default=True)


def test_files_that_include_one_another(tmp_path, monkeypatch):
    path = tmp_path / "krb5.conf"
    path.write_text(f"include {path}\nincludedir {tmp_path}/nothing\n[libdefaults]\ndefault_realm = A\n")
    monkeypatch.setenv("KRB5_CONFIG", str(path))
    assert krb5_conf.load().libdefaults == {"default_realm": "A"}


def test_junk(tmp_path, monkeypatch):
    (tmp_path / "junk").write_bytes(bytes(range(256)))
    monkeypatch.setenv("KRB5_CONFIG", str(tmp_path / "junk"))
    assert krb5_conf.load().kdcs == {}


# Read again only after it changed


@pytest.fixture
def reads(conf, tmp_path, monkeypatch):
    """Files that were opened since, of a configuration that nobody has changed for an hour."""
    for path in [*tmp_path.rglob("*"), tmp_path]:
        age(path, 3600)
    krb5_conf.load()
    opened = []
    real = Path.open

    def noted(self, *arguments, **keywords):
        opened.append(self.name)
        return real(self, *arguments, **keywords)

    monkeypatch.setattr(Path, "open", noted)
    return opened


def age(path, seconds):
    now = path.stat().st_mtime_ns
    os.utime(path, ns=(now, now - seconds * 1_000_000_000))


def test_nothing_is_read_while_nothing_changes(reads):
    assert krb5_conf.load() is krb5_conf.load()
    assert krb5_conf.load().realms == {"LAB.TEST", "OTHER.TEST"}
    assert reads == []


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "krb5.conf").write_text("[libdefaults]\ndefault_realm = NEW\n"),
        lambda folder: (folder / "more.conf").write_text("[libdefaults]\nticket_lifetime = 2d\n"),
        lambda folder: (folder / "more.conf").unlink(),
        lambda folder: (folder / "conf.d" / "extra").write_text("[libdefaults]\nforwardable = no\n"),
        lambda folder: (folder / "conf.d" / "another").write_text("[libdefaults]\nnew = 1\n"),
        lambda folder: (folder / "missing.conf").write_text("[libdefaults]\nnew = 1\n"),
        lambda folder: (folder / "conf.d" / "old.rpmsave").rename(folder / "conf.d" / "old"),
    ],
    ids=["file", "included", "removed", "in-folder", "added", "appeared", "renamed"],
)
def test_any_change_is_noticed(reads, tmp_path, change):
    before = krb5_conf.load()
    change(tmp_path)
    after = krb5_conf.load()
    assert (after.libdefaults, after.files) != (before.libdefaults, before.files)
    assert "krb5.conf" in reads


def test_file_replaced_by_one_of_the_same_size_and_time_is_noticed(reads, tmp_path):
    path, new = tmp_path / "more.conf", tmp_path / "new"
    new.write_text(path.read_text().replace("1d", "2d"))
    os.utime(new, ns=(path.stat().st_mtime_ns, path.stat().st_mtime_ns))
    new.replace(path)
    assert krb5_conf.load().libdefaults["ticket_lifetime"] == "2d"


def test_file_that_has_just_been_written_is_read_again(reads, tmp_path):
    path = tmp_path / "more.conf"
    path.write_text("[libdefaults]\nticket_lifetime = 2d\n")
    krb5_conf.load()
    stamp = path.stat().st_mtime_ns
    path.write_text("[libdefaults]\nticket_lifetime = 3d\n")
    os.utime(path, ns=(stamp, stamp))  # within the same tick of the clock
    assert krb5_conf.load().libdefaults["ticket_lifetime"] == "3d"


def test_other_files_are_read_at_once(reads, tmp_path, monkeypatch):
    monkeypatch.setenv("KRB5_CONFIG", str(tmp_path / "more.conf"))
    assert krb5_conf.load().realms == set()
