"""One reading of a recorded login: what `credssp.dissect` takes apart and `credssp.conformance` judges.

====================  ==================================================================================================
`recorded_login`      the TSRequests in order, the inner tokens by what they are, and what both sides said
`opening`             with the password, an NT hash or the session key: proof, MICs, pubKeyAuth and authInfo
`binding_check`       what pubKeyAuth holds, against the server's key
`fixture`             logins on disk, with a manifest that says where they are from
`account`             whose login it is
====================  ==================================================================================================
"""
