"""Talking to a running procman: the messages of the protocol, the client, and where the socket is."""
