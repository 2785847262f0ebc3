"""Parts of the end-to-end benchmark: the mail, the senders, the two servers, the machine, old tickets, a profile."""
