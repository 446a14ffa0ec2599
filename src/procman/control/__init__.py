"""How one talks to a running procman: the protocol's messages, the client, and where the socket is."""
