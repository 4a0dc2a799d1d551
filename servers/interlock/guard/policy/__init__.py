"""The policy language: from the user's YAML file to checked values and compiled rules. Start with `loading`.
What a rule does to a call is `guard.decide`'s; the rules that no file can change are in `builtin`.
"""
