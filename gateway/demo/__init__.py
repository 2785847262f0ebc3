"""`gateway demo`: a gateway of its own in a temporary folder, and a story told through its sockets."""
