"""Takes captures of CredSSP apart: packets, TCP, TLS, TSRequests, NTLM, and what follows from them.

From the file to the answer, one module each:

===================== ===============================================================================================
`container`           pcap and pcapng, with the secrets that pcapng can carry
`packet`              link layers, IPv4, IPv6, TCP headers
`streams`             TCP streams out of segments, in bounded memory
`conversation`        what a connection speaks, detected from its first bytes: RDP, HTTP, TLS
`tls`                 TLS 1.0 to 1.3 opened with a key log or an RSA key
`credssp_layer`       TSRequests out of plaintext
`unlock`              NTLM's keys from a password, a hash or the session key: MIC, pubKeyAuth, authInfo
`judgement`           binding, version and policy judged
`report`, `text`,     one tree of plain data, and how it is shown
`html`
`transcript`          records of our own logins, and fixtures
`dissector`           all of it together
===================== ===============================================================================================

Nothing is imported here, since ``credssp decode`` needs no more than `views`.
"""
