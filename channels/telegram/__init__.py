"""Telegram: a bot's webhook or polling in; the Bot API out. `build.py` makes the parts."""
