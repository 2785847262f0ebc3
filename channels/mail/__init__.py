"""Mail: SMTP in; SMTP relay or files out. `build.py` makes the parts."""
