"""The guard: decides and enforces. It knows no server, and only it makes a permit.

Read it in this order: `model` (the words as values), `decide` (the pure decision),
`pipeline` (the one path of a call), then what the pipeline stands on: `policy`,
`approvals`, `limits`, `halt`, `snapshots`, `records`, `state`.
"""
