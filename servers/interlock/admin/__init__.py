"""The command line, for people. Never imports `mcp`; each command is a module that only its own use loads."""
