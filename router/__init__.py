"""Pure: a message, a policy and a time in, an Assignment out. No I/O, no clock, no randomness, no logging."""
