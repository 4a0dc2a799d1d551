"""The demo's scripted agent: a real MCP client that needs no model. Started by `interlock demo`."""
