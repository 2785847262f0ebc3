"""Feeds: the ticket stores that desks already have (`contract` says what one is)."""
