"""How processes are kept in: the server's own confinement, the broker that starts children, and the engines
that run an agent's text tools. Not the policy: what is allowed is decided elsewhere, this makes it hold."""
