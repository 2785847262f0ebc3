"""A telephone of our own at an exchange, over SIP (RFC 3261)."""
