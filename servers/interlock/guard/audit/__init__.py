"""Records: written (`records`), brought together after a crash (`reconciling`), judged (`verification`) and read.
What a chain looks like on disk is told in `chains`; what a record says of a call is `guard.trail`'s.
"""
