"""Pure: raw bytes in, an Event out. No I/O, no clock, no randomness, no logging, no SDK."""
