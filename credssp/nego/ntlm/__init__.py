"""NTLMv2 for servers ([MS-NLMP]): messages, session security and an acceptor."""
