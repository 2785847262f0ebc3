"""The imperative shell: journal, pipeline, store, outbox, web site and commands."""
