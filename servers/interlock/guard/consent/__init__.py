"""What a person consents to, and when it is used up: calls that wait (`pending`), their ledger (`approvals`), `grants`.
What a signature is worth is told in `guard.statements`.
"""
