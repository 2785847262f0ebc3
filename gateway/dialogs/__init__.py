"""Conversations that follow a menu, as pure functions: a state and an event in, a state and actions out.

Nothing here imports the store, a channel or a clock; what actions do is the shell's affair.
"""
