"""NTLMv2 for both roles: messages, keys, session, initiator and acceptor ([MS-NLMP])."""
