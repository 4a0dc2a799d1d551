"""Repeatable measurements. Each module measures one thing beside a peer in the same run and prints ratios."""
