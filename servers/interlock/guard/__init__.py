"""The guard: decides and enforces. It knows no server, and only it makes a permit.

Read it in this order: `model` (the words as values), `decide` (the pure decision), `pipeline` (the one path of a
call). These stand on `state`, `limits`, `keys` and on five packages, each a matter of its own: `policy` (where rules
come from), `consent` (a person's yes), `halt` (the kill switch), `undo` (what puts a change back) and `audit`
(records).
"""
