import pytest

from credssp.nt_hash import md4, nt_hash


@pytest.mark.parametrize(
    ("text", "digest"),
    [  # RFC 1320 appendix A.5
        (b"", "31d6cfe0d16ae931b73c59d7e0c089c0"),
        (b"a", "bde52cb31de33e46245e05fbdbd6fb24"),
        (b"abc", "a448017aaf21d8525fc10ae87aa6729d"),
        (b"message digest", "d9130a8164549fe818874806e1c7014b"),
        (b"abcdefghijklmnopqrstuvwxyz", "d79e1c308aa5bbcdeea8ed63df412da9"),
        (b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "043f8582f241db351ce627e153e7f0e4"),
        (b"1234567890" * 8, "e33b4ddc9c38f2199c3e7b164fcc0536"),
    ],
)
def test_md4_gives_the_digests_of_rfc_1320(text, digest):
    assert md4(text).hex() == digest


@pytest.mark.parametrize("size", [55, 56, 63, 64, 65, 119, 120])
def test_md4_agrees_with_pycryptodome_at_the_block_borders(size):
    from Cryptodome.Hash import MD4  # comes with impacket

    assert md4(b"x" * size) == MD4.new(b"x" * size).digest()  # noqa: S303


def test_nt_hash_gives_the_value_of_ms_nlmp_4_2_2():
    assert nt_hash("Password").hex() == "a4f49c406510bdcab6824ee7c30fd852"


def test_nt_hash_takes_any_sixteen_bit_units():
    assert len(nt_hash("\ud800 lone surrogate, and beyond the plane: \U0001f511")) == 16
