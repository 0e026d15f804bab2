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
