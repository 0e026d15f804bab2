"""The only modules of the library that wait for something: blocking sockets and asyncio, and nothing but that.

The protocol is in the ends that they drive (`credssp.drivers.handshake.Handshake`). What a driver adds is time (every
wait has an end), the bounds of what a peer may cost, and the stream after the login.
"""
